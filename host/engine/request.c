#include "engine/request.h"

#include <string.h>

#include "base/alloc.h"

/* The prompt's ids. Where the Q-Former writes, the token that starts its texts is all. */
static blip2_status encode_prompt(const blip2_model *model, const char *prompt, b2_tokens *tokens) {
    if (model->writer.kind == B2_WRITER_LANGUAGE)
        return b2_tokenizer_encode(model->tokenizer, prompt, strlen(prompt), true, tokens);
    if (*prompt != '\0')
        return b2_fail(
            BLIP2_EINVAL,
            "prompt: this checkpoint has no language model, its Q-Former writes captions "
            "and reads no prompt: expected none");
    return b2_tokens_append(tokens, model->writer.start);
}

/* The places of the picture's rows are ours to put in front: in a prompt they would be further,
 * empty ones. */
static blip2_status check_prompt(const blip2_model *model, const b2_tokens *tokens) {
    int32_t image = model->config.image_token;

    for (size_t i = 0; i < tokens->count; i++)
        if (tokens->ids[i] == image)
            return b2_fail(BLIP2_EINVAL,
                           "prompt: holds the image token (id %d), expected text alone: the "
                           "picture is put in front of it",
                           image);
    return BLIP2_OK;
}

void b2_request_cut_prompt(const blip2_model *model, b2_tokens *tokens, uint32_t most) {
    if (most == 0 || tokens->count <= most)
        return;
    if (model->writer.reads)
        tokens->ids[most - 1] = tokens->ids[tokens->count - 1];
    tokens->count = most;
}

/* What is left are the first token, [CLS], and the last limit - 1. */
static void cut_left(b2_tokens *tokens, size_t limit) {
    if (tokens->count <= limit)
        return;
    memmove(tokens->ids + 1, tokens->ids + tokens->count - (limit - 1),
            (limit - 1) * sizeof *tokens->ids);
    tokens->count = limit;
}

/* The same prompt for the Q-Former, which has positions for so many tokens. */
static blip2_status encode_instruction(b2_request *request, const char *prompt, b2_beam_rule rule) {
    const blip2_model *model = request->model;
    b2_tokens *tokens = &request->instruction;
    blip2_status status;

    if (model->instructions == NULL)
        return BLIP2_OK;
    status = b2_tokenizer_encode(model->instructions, prompt, strlen(prompt), true, tokens);
    if (status == BLIP2_OK && rule == B2_BEAM_LAVIS)
        cut_left(tokens, model->config.instruction);
    if (status == BLIP2_OK && tokens->count > model->config.qformer.positions)
        status = b2_fail(BLIP2_EINVAL,
                         "prompt: %zu tokens as the Q-Former reads it, expected at most %u",
                         tokens->count, model->config.qformer.positions);
    return status;
}

/* What penalty and bans look at before the first new token: as in transformers, the image tokens
 * that stand for the soft prompt and the prompt itself, or the start token. */
static blip2_status init_decoding(b2_request *request, const b2_request_options *options) {
    const b2_config *config = &request->model->config;
    const b2_writer *writer = &request->model->writer;
    const b2_decoding_options decoding = {
        .min_new_tokens = options->min_new_tokens,
        .max_new_tokens = options->max_new_tokens,
        .repetition_penalty = options->repetition_penalty,
        .stop_ids = config->stop_ids,
        .stop_count = config->stop_count,
        .no_repeat_ngram = options->no_repeat_ngram,
        .bad_words = request->rules.bad_words.count > 0 ? &request->rules.bad_words : NULL};
    bool whole = options->rule != B2_BEAM_LAVIS; /* else only what starts the text counts */
    uint32_t count = 0;
    int32_t *past = b2_alloc_array((size_t)request->soft_count + request->prompt_count +
                                       options->seen_count + 1,
                                   sizeof *past);
    blip2_status status;

    if (past == NULL)
        return b2_fail_memory();
    if (whole && config->image_token >= 0 && (uint32_t)config->image_token < writer->vocab &&
        writer->kind == B2_WRITER_LANGUAGE && !writer->reads)
        while (count < request->soft_count)
            past[count++] = config->image_token;
    if (whole && options->seen_count > 0) {
        memcpy(past + count, options->seen, options->seen_count * sizeof *past);
        count += options->seen_count;
    }
    if (whole || writer->start >= 0) {
        memcpy(past + count, request->ids, request->prompt_count * sizeof *past);
        count += request->prompt_count;
    } else if (config->bos >= 0) {
        past[count++] = config->bos;
    }
    status = b2_decoding_init(&request->decoding, &decoding, past, count, writer->vocab);
    b2_free(past);
    return status;
}

/* Does a beam's text end with the token, by a stop string? */
static bool ends_beam(void *context, const int32_t *tokens, uint32_t count, int32_t token) {
    b2_request *request = context;
    b2_decoding *decoding = &request->decoding;
    int32_t *new_ids = decoding->history + decoding->past_count;

    memcpy(new_ids, tokens, count * sizeof *tokens);
    new_ids[count] = token;
    return b2_stop_texts_end(&request->rules.stops, request->model->tokenizer, decoding->history,
                             decoding->past_count + count + 1);
}

static blip2_status init_branches(b2_request *request, const b2_request_options *options) {
    const b2_config *config = &request->model->config;
    const b2_beam_options beams = {.rule = options->rule,
                                   .beams = options->beams,
                                   .max_new_tokens = options->max_new_tokens,
                                   .length_penalty = options->length_penalty,
                                   .stop_ids = config->stop_ids,
                                   .stop_count = config->stop_count,
                                   .ends = options->stop_string_count > 0 ? ends_beam : NULL,
                                   .context = request};

    if (options->penalty_alpha != 0.0f)
        return b2_request_open_contrastive(request, options->penalty_alpha, options->candidates);
    if (options->beams == 0)
        return BLIP2_OK;
    if (options->rule == B2_BEAM_LAVIS && options->stop_string_count > 0)
        return b2_fail(BLIP2_EINVAL, "stop_strings: LAVIS's beam search has none: expected none, "
                                     "or the rules of HF");
    return b2_branches_open(&request->branches, &beams, options->answers);
}

/* Rows that the Q-Former makes of the picture, or of all frames. */
static uint32_t soft_count(const b2_request *request) {
    return request->model->config.qformer.queries * b2_image_frames(request->image);
}

/* The prompt goes before the new tokens, or to an encoder, and then a start token does. */
static blip2_status take_prompt(b2_request *request, b2_tokens *tokens, uint32_t new_tokens) {
    const b2_writer *writer = &request->model->writer;
    uint32_t soft = soft_count(request);

    if (writer->reads) {
        request->reading = (b2_reading){
            .soft_count = soft, .ids = tokens->ids, .id_count = (uint32_t)tokens->count};
        *tokens = (b2_tokens){0};
        request->prompt_count = 1;
    } else {
        request->soft_count = soft;
        request->prompt_count = (uint32_t)tokens->count;
    }
    request->id_count = request->prompt_count;
    request->ids = b2_alloc_array((size_t)request->prompt_count + new_tokens, sizeof *request->ids);
    if (request->ids == NULL)
        return b2_fail_memory();
    if (writer->reads)
        request->ids[0] = writer->start;
    else
        memcpy(request->ids, tokens->ids, tokens->count * sizeof *tokens->ids);
    return BLIP2_OK;
}

static blip2_status init_choice(b2_request *request, const b2_request_options *options) {
    b2_choice *choice = &request->choice;

    *choice = (b2_choice){.sample = options->sample,
                          .warpers = options->warpers,
                          .seed = options->seed,
                          .logprobs = options->logprobs};
    choice->warpers.least = options->beams > 0 ? request->model->config.stop_count + 1 : 1;
    return b2_choice_init(choice, request->model->writer.vocab,
                          b2_decoding_has_bans(&request->decoding) ||
                              options->penalty_alpha != 0.0f,
                          options->beams, options->max_new_tokens);
}

static blip2_status init(b2_request *request, const b2_request_options *options) {
    const char *prompt = options->prompt != NULL ? options->prompt : "";
    b2_tokens tokens = {0};
    size_t limit = request->model->writer.positions;
    size_t soft = soft_count(request), unfed = options->penalty_alpha != 0.0f ? 0 : 1;
    blip2_status status = encode_prompt(request->model, prompt, &tokens);

    if (status < 0 || (status = check_prompt(request->model, &tokens)) < 0 ||
        (status = encode_instruction(request, prompt, options->rule)) < 0)
        goto out;
    b2_request_cut_prompt(request->model, &tokens, options->max_prompt_tokens);
    if (tokens.count > limit || options->max_new_tokens > limit || soft > limit ||
        soft + tokens.count + options->max_new_tokens > limit + unfed) {
        status = b2_fail(BLIP2_EINVAL,
                         "%zu image, %zu prompt and %u new tokens do not fit: the language model "
                         "has %zu positions, all%s take one",
                         soft, tokens.count, options->max_new_tokens, limit,
                         unfed ? " but the last token" : "");
        goto out;
    }
    if ((status = take_prompt(request, &tokens, options->max_new_tokens)) < 0)
        goto out;
    status = b2_rules_init(&request->rules, request->model->tokenizer, options->bad_words,
                           options->bad_word_count, options->bad_ids, options->stop_strings,
                           options->stop_string_count);
    if (status == BLIP2_OK)
        status = init_decoding(request, options);
    if (status == BLIP2_OK)
        status = init_choice(request, options);
    if (status == BLIP2_OK)
        status = init_branches(request, options);
out:
    b2_tokens_free(&tokens);
    return status;
}

blip2_status b2_request_open(b2_request **out, const blip2_model *model, const blip2_image *image,
                             const b2_request_options *options) {
    b2_request *request = b2_calloc(1, sizeof *request);
    blip2_status status;

    *out = NULL;
    if (request == NULL)
        return b2_fail_memory();
    if (model->writer.kind == B2_WRITER_NONE) {
        b2_request_close(request);
        return b2_fail(BLIP2_ENOTSUP,
                       "this checkpoint (%s) has no language model: it cannot generate text",
                       b2_model_name(model));
    }
    if (b2_image_frames(image) > 1 && !model->config.instructed) {
        b2_request_close(request);
        return b2_fail(BLIP2_ENOTSUP,
                       "this checkpoint (%s) reads no video: expected a picture, or InstructBLIP",
                       b2_model_name(model));
    }
    request->model = model;
    request->image = image;
    b2_detokenizer_init(&request->stream, model->tokenizer, true);
    if ((status = init(request, options)) < 0) {
        b2_request_close(request);
        return status;
    }
    *out = request;
    return BLIP2_OK;
}

/* The ids of a score's text: [CLS] text [SEP]. */
static blip2_status tokenize_text(b2_request *request, const char *text, uint32_t max_tokens) {
    const b2_qformer_config *config = &request->model->config.qformer;
    uint32_t limit = max_tokens < config->positions ? max_tokens : config->positions;
    b2_tokens tokens = {0};
    blip2_status status =
        b2_tokenizer_encode(request->model->tokenizer, text, strlen(text), true, &tokens);

    if (status == BLIP2_OK && tokens.count > limit && limit > 0) {
        tokens.ids[limit - 1] = tokens.ids[tokens.count - 1];
        tokens.count = limit;
    }
    request->ids = tokens.ids;
    request->id_count = (uint32_t)tokens.count;
    return status;
}

blip2_status b2_request_open_score(b2_request **out, const blip2_model *model,
                                   const blip2_image *image, const char *text,
                                   const b2_score *wanted, uint32_t max_text_tokens) {
    b2_request *request = NULL;
    blip2_status status = b2_score_check(wanted, model);

    *out = NULL;
    if (status < 0)
        return status;
    if (image != NULL && b2_image_frames(image) > 1)
        return b2_fail(BLIP2_ENOTSUP, "a video of %u frames: expected a picture",
                       image->frame_count);
    if ((request = b2_calloc(1, sizeof *request)) == NULL)
        return b2_fail_memory();
    request->kind = B2_REQUEST_SCORE;
    request->model = model;
    request->image = image;
    request->score = *wanted;
    if (text != NULL && (status = tokenize_text(request, text, max_text_tokens)) < 0) {
        b2_request_close(request);
        return status;
    }
    *out = request;
    return BLIP2_OK;
}

blip2_status b2_request_start_caption(b2_request *request) {
    int32_t start = b2_tokenizer_find(request->model->tokenizer, "[DEC]");

    if (start < 0)
        return b2_fail(BLIP2_ENOTSUP, "this checkpoint's tokenizer has no token [DEC], with which "
                                      "captions start");
    if (request->id_count > 0)
        request->ids[0] = start;
    return BLIP2_OK;
}

void b2_request_close(b2_request *request) {
    if (request == NULL)
        return;
    b2_score_free(&request->score);
    b2_rules_free(&request->rules);
    b2_choice_free(&request->choice);
    b2_decoding_free(&request->decoding);
    b2_branches_close(request->branches);
    b2_contrastive_close(request->contrastive);
    b2_candidates_close(request->candidates);
    b2_detokenizer_free(&request->stream);
    b2_text_free(&request->text);
    b2_free(request->reading.ids);
    b2_free(request->pages);
    b2_free(request->keys);
    b2_free(request->ids);
    b2_tokens_free(&request->instruction);
    b2_free(request);
}

uint32_t b2_request_rows(const b2_request *request) {
    return request->soft_count + request->prompt_count + request->decoding.options.max_new_tokens -
           (request->contrastive == NULL);
}

b2_answer b2_request_answer(const b2_request *request, uint32_t i) {
    const b2_hypothesis *text;

    if (!b2_request_has_beams(request))
        return (b2_answer){b2_decoding_tokens(&request->decoding), request->decoding.new_count,
                           request->decoding.stopped, 0.0};
    if (i >= request->branches->beams.finished_count)
        return (b2_answer){0};
    text = &request->branches->beams.finished[i];
    return (b2_answer){text->tokens, text->count, text->stopped, text->score};
}

void b2_request_deliver(b2_request *request, size_t before) {
    size_t length = request->text.length - before;

    if (request->status == BLIP2_OK && length > 0 && request->on_text != NULL &&
        request->on_text(request, request->text.data + before, length, request->payload) != 0)
        request->status = b2_fail(BLIP2_ESTOP, "the caller's on_text asked to stop");
}

static bool ends_text(const b2_request *request) {
    const b2_decoding *decoding = &request->decoding;

    return b2_stop_texts_end(&request->rules.stops, request->model->tokenizer, decoding->history,
                             decoding->past_count + decoding->new_count);
}

void b2_request_push(b2_request *request, int32_t token) {
    size_t before = request->text.length;

    request->ids[request->id_count++] = token;
    b2_decoding_push(&request->decoding, token);
    if (ends_text(request))
        request->decoding.done = true;
    if (!request->decoding.stopped)
        request->status = b2_detokenizer_push(&request->stream, token, &request->text);
    if (request->decoding.done && request->status == BLIP2_OK)
        request->status = b2_detokenizer_finish(&request->stream, &request->text);
    if (request->text.failed && request->status == BLIP2_OK)
        request->status = b2_fail_memory();
    b2_request_deliver(request, before);
    if (request->decoding.done || request->status < 0)
        request->phase = B2_PHASE_DONE;
}

b2_processors b2_request_processors(b2_request *request, uint32_t beam) {
    b2_decoding *decoding = &request->decoding;
    uint32_t count = b2_request_new_count(request);

    if (b2_request_has_beams(request))
        memcpy(decoding->history + decoding->past_count,
               b2_beams_tokens(&request->branches->beams, beam), count * sizeof *decoding->history);
    return (b2_processors){.repetition_penalty = decoding->options.repetition_penalty,
                           .seen = decoding->history,
                           .seen_count = decoding->past_count + count,
                           .banned = decoding->banned,
                           .banned_count = b2_decoding_bans(decoding, count)};
}

blip2_status b2_request_choose(b2_request *request, b2_mat row, int32_t *token) {
    b2_processors processors = b2_request_processors(request, 0);

    return b2_choice_make(&request->choice, request->model->device, row, &processors,
                          request->decoding.new_count, token);
}
