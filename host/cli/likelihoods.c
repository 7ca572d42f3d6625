/* blip2 rank-answers and blip2 logits: how likely given texts are of pictures. Pictures go through
 * in groups, each with all prompts and all of the texts. */
#include "likelihoods.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "default_model.h"
#include "group.h"
#include "likelihood_lines.h"
#include "loaded.h"
#include "prompts.h"

enum { CALL = 256 /* prompts of one call of the library, if a picture has no more */ };

typedef struct session {
    b2_settings settings;
    const char *command;
    b2_inputs inputs;
    b2_texts texts;
    b2_prompts prompts;
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
    size_t pictures;              /* most of one call */
    blip2_candidates *candidates; /* [pictures, prompts.count] of one call */
    const char **lists; /* [prompts.count, texts.count]: a list for each prompt, so that no
                           loss depends on other prompts */
    size_t *order;      /* [top], of rank-answers */
    size_t top;
} session;

/* Pictures first .. first + n - 1 of the group, each with all prompts. */
static blip2_status compute(session *s, size_t first, size_t n, blip2_likelihood **out) {
    const b2_settings *settings = &s->settings;
    size_t prompts = s->prompts.count, texts = s->texts.count;
    blip2_likelihood_options options;

    blip2_likelihood_options_init(&options, sizeof options);
    options.top_logprobs = settings->logprobs;
    options.end = (blip2_end_token)settings->end;
    options.verbatim = settings->verbatim;
    options.segments = settings->segments;
    options.compat = (blip2_compat)settings->compat;
    for (size_t i = 0; i < n * prompts; i++)
        s->candidates[i] = (blip2_candidates){.image = s->group.inputs[first + i / prompts].image,
                                              .prompt = s->prompts.texts[i % prompts],
                                              .texts = s->lists + i % prompts * texts,
                                              .text_count = texts};
    return blip2_likelihood_compute(s->loaded.engine, s->candidates, n * prompts, &options, out);
}

/* What is printed of picture `index` of the group and of one prompt, input `input` of the call. */
static char *lines_of(const session *s, size_t index, size_t prompt,
                      const blip2_likelihood *likelihood, size_t input) {
    const b2_likelihood_lines lines = {.settings = &s->settings,
                                       .texts = &s->texts,
                                       .model = s->loaded.model,
                                       .likelihood = likelihood,
                                       .index = input,
                                       .path = s->group.items[s->group.item_of[index]].path,
                                       .question = b2_prompts_question(&s->prompts, prompt),
                                       .prompt = s->prompts.texts[prompt],
                                       .show_name = s->group.show_names,
                                       .show_question = s->prompts.count > 1};

    if (s->order == NULL)
        return b2_token_lines(&lines);
    return b2_answer_lines(&lines, s->order,
                           blip2_likelihood_best(likelihood, input, s->top, s->order));
}

/* likelihood: input `input` is the picture's first. */
static void finish(session *s, size_t index, const blip2_likelihood *likelihood, size_t input) {
    b2_text_buffer all = {0};

    for (size_t p = 0; p < s->prompts.count && !all.failed; p++) {
        char *lines = lines_of(s, index, p, likelihood, input + p);

        if (lines == NULL)
            all.failed = true;
        else
            b2_text_append(&all, lines, strlen(lines));
        b2_free(lines);
    }
    b2_group_finish(&s->group, index, all.failed ? NULL : b2_text_data(&all), 0);
    b2_text_free(&all);
    b2_group_print(&s->group);
    b2_progress_show(&s->progress, "%zu of %zu pictures",
                     s->group.taken - s->group.input_count + index + 1, s->inputs.count);
}

/* Open the model, and take over how it is asked. */
static blip2_status open_model(session *s) {
    const char *template = NULL;
    blip2_generate_options unused;
    size_t most;
    blip2_status status;

    if (!b2_size_mul(s->inputs.count, s->prompts.count, &most))
        most = SIZE_MAX;
    blip2_generate_options_init(&unused, sizeof unused);
    if ((status = b2_loaded_open(&s->loaded, most)) < 0 ||
        (s->prompts.questions.count > 0 &&
         (status = blip2_question_defaults(s->loaded.model, &unused, &template)) < 0))
        return status;
    return b2_prompts_make(&s->prompts, &s->settings, template);
}

static blip2_status answer(void *context) {
    session *s = context;
    blip2_status status = open_model(s);

    for (size_t first = 0; status == BLIP2_OK && first < s->group.input_count && !s->group.stopped;
         first += s->pictures) {
        size_t n = b2_size_min(s->pictures, s->group.input_count - first);
        blip2_likelihood *likelihood;

        if ((status = compute(s, first, n, &likelihood)) < 0)
            break;
        for (size_t i = 0; i < n && !s->group.stopped; i++)
            finish(s, first + i, likelihood, i * s->prompts.count);
        blip2_likelihood_free(likelihood);
    }
    return status;
}

/* Room for the largest call. */
static blip2_status make_lists(session *s, bool ranked) {
    size_t prompts = s->prompts.count, texts = s->texts.count, pairs, cells;

    s->pictures = b2_size_max(b2_size_min(CALL / prompts, s->group.most), 1);
    s->top = b2_size_min(s->settings.top, texts);
    if (!b2_size_mul(s->pictures, prompts, &pairs) || !b2_size_mul(prompts, texts, &cells) ||
        (s->candidates = b2_calloc(pairs, sizeof *s->candidates)) == NULL ||
        (s->lists = b2_calloc(cells, sizeof *s->lists)) == NULL ||
        (ranked && (s->order = b2_calloc(s->top, sizeof *s->order)) == NULL))
        return b2_fail_memory();
    for (size_t i = 0; i < cells; i++)
        s->lists[i] = s->texts.shown[i % texts];
    return BLIP2_OK;
}

static blip2_status open_session(session *s, bool ranked) {
    b2_settings plain = s->settings;
    blip2_status status;

    plain.no_clean = true; /* texts are what the model writes, not what it reads */
    b2_progress_start(&s->progress, s->settings.quiet);
    s->loaded =
        (b2_loaded){.settings = &s->settings, .progress = &s->progress, .demo = B2_DEMO_CAPTION};
    if ((status = b2_prompts_open(&s->prompts, &s->settings, false)) < 0 ||
        (status = b2_texts_open(&s->texts, &plain)) < 0 ||
        (status = b2_inputs_expand(&s->inputs, s->settings.operands, s->settings.operand_count)) <
            0 ||
        (status = b2_group_init(&s->group, &s->settings, &s->progress, &s->inputs)) < 0)
        return status;
    s->group.formatted = true;
    return make_lists(s, ranked);
}

/* What is wrong is told by the names of the command's options. */
static bool check(const session *s, const char *option) {
    const b2_settings *settings = &s->settings;

    if (settings->operand_count == 0) {
        b2_complain("%s: no picture given; see 'blip2 help %s'", s->command, s->command);
        return false;
    }
    if (settings->texts.count == 0 && settings->text_file == NULL) {
        b2_complain("%s: no %s given: --%s TEXT or --%ss FILE", s->command, option, option, option);
        return false;
    }
    for (size_t i = 0; i < settings->texts.count; i++)
        if (*settings->texts.texts[i] == '\0') {
            b2_complain("--%s: got '', expected a text", option);
            return false;
        }
    return true;
}

static void close_session(session *s) {
    b2_loaded_close(&s->loaded);
    b2_free(s->candidates);
    b2_free(s->lists);
    b2_free(s->order);
    b2_group_free(&s->group);
    b2_inputs_free(&s->inputs);
    b2_texts_free(&s->texts);
    b2_prompts_free(&s->prompts);
}

static b2_exit_code run(const b2_settings *settings, const char *command, const char *option,
                        bool ranked) {
    session s = {.settings = *settings,
                 .command = command,
                 .group = {.settings = settings, .progress = &s.progress}};

    if (!check(&s, option))
        return B2_EXIT_BAD_INPUT;
    b2_group_run(&s.group, &s.inputs, open_session(&s, ranked), answer, &s);
    close_session(&s);
    return s.group.code;
}

b2_exit_code b2_rank_answers_run(const b2_settings *settings) {
    return run(settings, "rank-answers", "answer", true);
}

b2_exit_code b2_logits_run(const b2_settings *settings) {
    return run(settings, "logits", "text", false);
}
