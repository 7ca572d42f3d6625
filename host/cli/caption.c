/* blip2 caption: the pictures go through in groups; the model is loaded when the first group has a
 * picture, so that a wrong file name is told at once. */
#include "caption.h"

#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "caption_lines.h"
#include "default_model.h"
#include "group.h"
#include "loaded.h"

enum { DEFAULT_TOP_K = 50 }; /* transformers' and LAVIS's */

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    size_t taken, done; /* inputs that are in a group or behind; pictures with a text */
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
    bool stream;  /* one picture, and a terminal to show its text as it comes */
    bool started; /* past the white space in front of the streamed text */
} session;

static int on_text(size_t index, const char *text, size_t length, void *payload) {
    session *s = payload;

    (void)index;
    if (!s->stream) {
        b2_progress_show(&s->progress, "%zu of %zu pictures", s->done, s->inputs.count);
        return s->group.stopped;
    }
    for (size_t i = 0; i < length; i++) {
        const char piece[2] = {text[i], '\0'};

        s->started = s->started || !isspace((unsigned char)text[i]);
        if (s->started)
            b2_print_text(piece);
    }
    b2_group_flush(&s->group);
    return s->group.stopped;
}

static void on_done(size_t index, const char *text, const int32_t *tokens, size_t count,
                    void *payload) {
    session *s = payload;

    (void)tokens;
    if (!s->group.formatted) {
        b2_group_finish(&s->group, index, text, count);
        b2_group_print(&s->group);
    }
    s->done += index % s->settings->sequences == 0;
}

/* Lines that the whole result is needed for. */
static void finish_group(session *s, const blip2_result *result) {
    for (size_t i = 0; i < s->group.input_count && s->group.formatted && result != NULL; i++) {
        const b2_group_item *item = &s->group.items[s->group.item_of[i]];
        char *lines = b2_caption_lines(s->settings, item->path, s->group.show_names, result,
                                       i * s->settings->sequences);

        b2_group_finish(&s->group, i, lines, 0);
        b2_free(lines);
    }
}

static void set_options(blip2_generate_options *options, const b2_settings *settings) {
    blip2_generate_options_init(options, sizeof *options);
    options->max_new_tokens = settings->max_new_tokens;
    options->min_new_tokens = settings->min_new_tokens;
    options->repetition_penalty = settings->repetition_penalty;
    options->num_beams = settings->beams;
    options->length_penalty = &settings->length_penalty;
    options->compat = (blip2_compat)settings->compat;
    options->num_return_sequences = settings->sequences;
    options->do_sample = settings->sample;
    options->temperature = settings->temperature;
    if (settings->top_k != B2_TOP_K_UNSET)
        options->top_k = settings->top_k;
    else
        options->top_k = settings->sample ? DEFAULT_TOP_K : 0;
    options->top_p = settings->top_p;
    options->min_p = settings->min_p;
    options->typical_p = settings->typical_p;
    options->seed = settings->seed;
    options->no_repeat_ngram_size = settings->no_repeat_ngram;
    options->bad_words = settings->bad_words.texts;
    options->bad_word_count = settings->bad_words.count;
    options->stop_strings = settings->stops.texts;
    options->stop_string_count = settings->stops.count;
    options->logprobs = settings->logprobs;
}

static blip2_status generate(session *s) {
    blip2_generate_options options;
    blip2_result *result = NULL;
    blip2_status status;

    set_options(&options, s->settings);
    options.on_text = on_text;
    options.on_done = on_done;
    options.payload = s;
    status =
        blip2_generate(s->loaded.engine, s->group.inputs, s->group.input_count, &options, &result);
    finish_group(s, result);
    blip2_result_free(result);
    return status;
}

/* Read the next pictures, caption them, print. */
static blip2_status run_group(session *s) {
    blip2_status status = BLIP2_OK;

    s->taken = b2_group_fill(&s->group, &s->inputs, s->taken);
    b2_group_print(&s->group);
    if (s->group.input_count > 0 && !s->group.stopped) {
        if ((status = b2_loaded_open(&s->loaded, s->inputs.count * s->settings->sequences)) < 0)
            return status;
        status = generate(s);
    }
    if (status == BLIP2_OK)
        b2_group_print(&s->group);
    return status;
}

/* Options that go together are told here by the names that a user gave. */
static bool check_options(const b2_settings *s) {
    const struct {
        const char *name;
        bool given;
    } drawn[] = {{"temperature", s->temperature != 0.0f},
                 {"top-k", s->top_k != B2_TOP_K_UNSET},
                 {"top-p", s->top_p != 0.0f},
                 {"min-p", s->min_p != 0.0f},
                 {"typical-p", s->typical_p != 0.0f},
                 {"seed", s->seed != 0}};

    for (size_t i = 0; i < sizeof drawn / sizeof *drawn; i++)
        if (drawn[i].given && !s->sample) {
            b2_complain("caption: --%s means nothing without --sample", drawn[i].name);
            return false;
        }
    if (s->sequences > 1 && s->sequences > s->beams && (!s->sample || s->beams > 1)) {
        b2_complain("caption: --sequences: got %u, expected at most --beams, or --sample without "
                    "--beams",
                    s->sequences);
        return false;
    }
    if (s->logprobs > 0 && !s->json)
        b2_complain("caption: --logprobs is told with --json only");
    return s->logprobs == 0 || s->json;
}

b2_exit_code b2_caption_run(const b2_settings *settings) {
    session s = {.settings = settings};
    blip2_status status;

    if (settings->operand_count == 0) {
        b2_complain("caption: no picture given; see 'blip2 help caption'");
        return B2_EXIT_BAD_INPUT;
    }
    if (!check_options(settings))
        return B2_EXIT_BAD_INPUT;
    s.loaded = (b2_loaded){.settings = settings, .progress = &s.progress, .demo = B2_DEMO_CAPTION};
    b2_progress_start(&s.progress, settings->quiet);
    if ((status = b2_inputs_expand(&s.inputs, settings->operands, settings->operand_count)) == 0)
        status = b2_group_init(&s.group, settings, &s.progress, &s.inputs);
    s.group.formatted = settings->sequences > 1 || settings->logprobs > 0;
    s.stream = s.inputs.count == 1 && !s.inputs.many && !settings->json && !s.group.formatted &&
               isatty(STDOUT_FILENO);
    s.group.streamed = s.stream;
    while (status == BLIP2_OK && s.taken < s.inputs.count && !s.group.stopped)
        status = run_group(&s);
    b2_progress_erase(&s.progress);
    if (status < 0 && !s.group.stopped)
        s.group.code = b2_exit_code_worse(s.group.code, b2_complain_status(status));
    else if (!settings->json)
        b2_complain_unreadable(s.group.unreadable, s.inputs.count);
    b2_loaded_close(&s.loaded);
    b2_group_free(&s.group);
    b2_inputs_free(&s.inputs);
    return s.group.code;
}
