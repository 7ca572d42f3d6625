/* Questions as LAVIS's predict_answers asks them, and the room that a prompt has. */
#include <string.h>

#include "base/options.h"
#include "base/size.h"
#include "engine/engine.h"
#include "engine/generate_options.h"

enum { BEAMS = 5, TOKENS = 10, VICUNA_TOKENS = 9 /* its max_length counts the start token */ };

static const float opt_penalty = 0.0f, t5_penalty = -1.0f;
static const float instructed_penalty = 1.5f; /* it answers by way of generate, which has that */

static bool writes(const blip2_model *model) {
    return model->config.language != B2_LANGUAGE_NONE;
}

blip2_status blip2_question_defaults(const blip2_model *model, blip2_generate_options *options,
                                     const char **prompt) {
    const b2_config *config = model != NULL ? &model->config : NULL;
    blip2_generate_options known;
    blip2_status status;

    if (model == NULL || options == NULL || prompt == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_question_defaults: %s is NULL",
                       model == NULL     ? "model"
                       : options == NULL ? "options"
                                         : "prompt");
    if (!writes(model))
        return b2_fail(BLIP2_ENOTSUP,
                       "this checkpoint (%s) has no language model: it answers no questions",
                       b2_model_name(model));
    if ((status = b2_options_copy(&known, sizeof known, options, "blip2_generate_options")) < 0)
        return status;
    known.size = options->size; /* the caller's struct may be another version's */
    known.num_beams = BEAMS;
    known.max_new_tokens = config->language == B2_LANGUAGE_LLAMA ? VICUNA_TOKENS : TOKENS;
    known.length_penalty = config->language == B2_LANGUAGE_T5 ? &t5_penalty : &opt_penalty;
    known.repetition_penalty = config->instructed ? instructed_penalty : 1.0f;
    known.compat = BLIP2_COMPAT_LAVIS;
    known.max_prompt_tokens = UINT32_MAX; /* LAVIS would cut OPT's question, and "Answer:" */
    memcpy(options, &known, b2_size_min(known.size, sizeof known));
    *prompt = config->instructed ? "{}" : "Question: {} Answer:";
    return BLIP2_OK;
}

blip2_status blip2_question_prompt(char **out, const blip2_question *question) {
    const char *prompt = question != NULL ? question->prompt : NULL;
    b2_text_buffer text = {0};

    if (out != NULL)
        *out = NULL;
    if (out == NULL || question == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_question_prompt: %s is NULL",
                       out == NULL ? "out" : "question");
    if (prompt == NULL || *prompt == '\0')
        prompt = question->question != NULL ? "{}" : "";
    if (question->caption != NULL)
        b2_text_appendf(&text, "This image has the caption \"%s\". ", question->caption);
    if (question->history != NULL)
        b2_text_appendf(&text, "dialog history: %s\n", question->history);
    if (question->context != NULL)
        b2_text_appendf(&text, "context: %s. ", question->context);
    if (question->question != NULL)
        b2_text_append_filled(&text, prompt, question->question);
    else
        b2_text_appendf(&text, "%s", prompt);
    *out = b2_text_take(&text);
    return *out != NULL ? BLIP2_OK : b2_fail_memory();
}

/* What is left of `most` when `taken` of it are. */
static int64_t left(size_t most, size_t taken) {
    return (int64_t)most - (int64_t)taken;
}

/* Tokens of a text, the special ones included. */
static blip2_status count(size_t *out, const b2_tokenizer *tokenizer, const char *text) {
    b2_tokens tokens = {0};
    blip2_status status = b2_tokenizer_encode(tokenizer, text, strlen(text), true, &tokens);

    *out = tokens.count;
    b2_tokens_free(&tokens);
    return status;
}

blip2_status blip2_generate_room(const blip2_engine *engine, const char *prompt, size_t frames,
                                 const blip2_generate_options *options, int64_t *room) {
    const blip2_model *model;
    blip2_generate_options known;
    b2_generate_plan plan;
    size_t tokens, soft;
    blip2_status status;

    if (engine == NULL || room == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_generate_room: %s is NULL",
                       engine == NULL ? "engine" : "room");
    *room = 0;
    model = engine->model;
    prompt = prompt != NULL ? prompt : "";
    if (!writes(model))
        return b2_fail(BLIP2_ENOTSUP, "this checkpoint (%s) has no language model",
                       b2_model_name(model));
    if ((status = b2_options_copy(&known, sizeof known, options, "blip2_generate_options")) < 0 ||
        (status = b2_generate_plan_make(&plan, &known, model)) < 0 ||
        (status = count(&tokens, model->tokenizer, prompt)) < 0)
        return status;
    if (plan.request.max_prompt_tokens != 0)
        tokens = b2_size_min(tokens, plan.request.max_prompt_tokens);
    soft = model->config.qformer.queries * b2_size_max(b2_size_min(frames, INT32_MAX), 1);
    /* all but the answer's last token, unless it is fed as well */
    *room = left((size_t)engine->plan.limits.max_tokens + (plan.request.penalty_alpha == 0.0f),
                 soft + tokens + plan.request.max_new_tokens);
    if (model->instructions == NULL || plan.request.rule == B2_BEAM_LAVIS)
        return BLIP2_OK;
    if ((status = count(&tokens, model->instructions, prompt)) < 0)
        return status;
    if (left(model->config.qformer.positions, tokens) < *room)
        *room = left(model->config.qformer.positions, tokens);
    return BLIP2_OK;
}
