/* blip2 rank-answers and blip2 logits: how likely given texts are of pictures. Pictures go through
 * in groups, each with all of the texts. */
#include "likelihoods.h"

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "default_model.h"
#include "group.h"
#include "likelihood_lines.h"
#include "loaded.h"

typedef struct session {
    b2_settings settings;
    const char *command;
    b2_inputs inputs;
    b2_texts texts;
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
    blip2_candidates *candidates; /* [pictures of a group] */
    size_t *order;                /* [top], of rank-answers */
    size_t top;
} session;

static blip2_status compute(session *s, blip2_likelihood **out) {
    const b2_settings *settings = &s->settings;
    blip2_likelihood_options options;

    blip2_likelihood_options_init(&options, sizeof options);
    options.top_logprobs = settings->logprobs;
    options.end = (blip2_end_token)settings->end;
    options.verbatim = settings->verbatim;
    options.segments = settings->segments;
    options.compat = (blip2_compat)settings->compat;
    for (size_t i = 0; i < s->group.input_count; i++)
        s->candidates[i] = (blip2_candidates){.image = s->group.inputs[i].image,
                                              .prompt = settings->prompt,
                                              .texts = (const char *const *)s->texts.shown,
                                              .text_count = s->texts.count};
    return blip2_likelihood_compute(s->loaded.engine, s->candidates, s->group.input_count, &options,
                                    out);
}

static void finish(session *s, const blip2_likelihood *likelihood, size_t i) {
    const b2_likelihood_lines lines = {.settings = &s->settings,
                                       .texts = &s->texts,
                                       .model = s->loaded.model,
                                       .likelihood = likelihood,
                                       .index = i,
                                       .path = s->group.items[s->group.item_of[i]].path,
                                       .show_name = s->group.show_names};
    char *text;

    if (s->order != NULL)
        text = b2_answer_lines(&lines, s->order,
                               blip2_likelihood_best(likelihood, i, s->top, s->order));
    else
        text = b2_token_lines(&lines);
    b2_group_finish(&s->group, i, text, 0);
    b2_free(text);
    b2_group_print(&s->group);
    b2_progress_show(&s->progress, "%zu of %zu pictures",
                     s->group.taken - s->group.input_count + i + 1, s->inputs.count);
}

static blip2_status answer(void *context) {
    session *s = context;
    blip2_likelihood *likelihood;
    blip2_status status;

    if ((status = b2_loaded_open(&s->loaded, s->inputs.count)) < 0 ||
        (status = compute(s, &likelihood)) < 0)
        return status;
    for (size_t i = 0; i < s->group.input_count && !s->group.stopped; i++)
        finish(s, likelihood, i);
    blip2_likelihood_free(likelihood);
    return BLIP2_OK;
}

static blip2_status open_session(session *s, bool ranked) {
    blip2_status status;

    b2_progress_start(&s->progress, s->settings.quiet);
    s->loaded =
        (b2_loaded){.settings = &s->settings, .progress = &s->progress, .demo = B2_DEMO_CAPTION};
    if ((status = b2_texts_open(&s->texts, &s->settings)) < 0 ||
        (status = b2_inputs_expand(&s->inputs, s->settings.operands, s->settings.operand_count)) <
            0 ||
        (status = b2_group_init(&s->group, &s->settings, &s->progress, &s->inputs)) < 0)
        return status;
    s->group.formatted = true;
    s->top = b2_size_min(s->settings.top, s->texts.count);
    s->candidates = b2_calloc(s->group.most, sizeof *s->candidates);
    if (ranked)
        s->order = b2_calloc(s->top, sizeof *s->order);
    return s->candidates == NULL || (ranked && s->order == NULL) ? b2_fail_memory() : BLIP2_OK;
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
    b2_free(s->order);
    b2_group_free(&s->group);
    b2_inputs_free(&s->inputs);
    b2_texts_free(&s->texts);
}

static b2_exit_code run(const b2_settings *settings, const char *command, const char *option,
                        bool ranked) {
    session s = {.settings = *settings,
                 .command = command,
                 .group = {.settings = settings, .progress = &s.progress}};

    s.settings.no_clean = true; /* texts are what the model writes, not what it reads */
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
