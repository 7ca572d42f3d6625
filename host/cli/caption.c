/* blip2 caption: the pictures go through in groups; the model is loaded when the first group has a
 * picture, so that a wrong file name is told at once. */
#include "caption.h"

#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/size.h"
#include "default_model.h"
#include "group.h"

enum {
    SHOWN_WARNINGS = 5,  /* a checkpoint with parts for other tasks has hundreds */
    MOST_REQUESTS = 4096 /* that an engine takes */
};

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    size_t taken, done; /* inputs that are in a group or behind; pictures with a text */
    b2_progress progress;
    b2_group group;
    blip2_model *model;
    blip2_engine *engine;
    bool stream;                    /* one picture, and a terminal to show its text as it comes */
    bool started;                   /* past the white space in front of the streamed text */
    char *warnings[SHOWN_WARNINGS]; /* of loading, kept until it has succeeded */
    size_t warning_count;
} session;

static void on_log(blip2_log_level level, const char *line, void *payload) {
    session *s = payload;
    bool warning = level == BLIP2_LOG_WARNING;

    if (s->settings->verbose) {
        b2_progress_erase(&s->progress);
        b2_complain("%s%s", warning ? "warning: " : "", line);
    } else if (warning) { /* what errors say in full, the failing call's message says in short */
        if (s->warning_count < SHOWN_WARNINGS)
            s->warnings[s->warning_count] = b2_strdup(line);
        s->warning_count++;
    }
}

/* A model that cannot be used has its error, which warnings must not hide. */
static void tell_warnings(session *s, bool show) {
    size_t shown = b2_size_min(s->warning_count, SHOWN_WARNINGS);

    for (size_t i = 0; i < shown; i++) {
        if (show)
            b2_complain("warning: %s", s->warnings[i] != NULL ? s->warnings[i] : "out of memory");
        b2_free(s->warnings[i]);
    }
    if (show && s->warning_count > shown)
        b2_complain("warning: and %zu more; --verbose shows all", s->warning_count - shown);
    s->warning_count = 0;
}

static int on_load(uint64_t done, uint64_t total, void *payload) {
    session *s = payload;

    b2_progress_show(&s->progress, "loading: %.0f %%",
                     total > 0 ? 100.0 * (double)done / (double)total : 100.0);
    return 0;
}

static blip2_status open_model(session *s) {
    const b2_settings *settings = s->settings;
    blip2_model_options options;
    char *fallback = NULL;
    blip2_status status;

    if (settings->model == NULL && (status = b2_default_model(&fallback)) < 0)
        return status;
    blip2_model_options_init(&options, sizeof options);
    options.device = settings->device;
    options.threads = settings->threads;
    options.weight_type = (blip2_weight_type)settings->weights;
    options.compute = (blip2_compute)settings->compute;
    options.log = settings->quiet ? NULL : on_log;
    options.log_payload = s;
    options.log_level = settings->verbose ? BLIP2_LOG_INFO : BLIP2_LOG_WARNING;
    options.on_progress = on_load;
    options.progress_payload = s;
    status =
        blip2_model_open(&s->model, settings->model != NULL ? settings->model : fallback, &options);
    b2_progress_erase(&s->progress);
    b2_free(fallback);
    return status;
}

static blip2_status open_engine(session *s) {
    blip2_engine_options options;

    blip2_engine_options_init(&options, sizeof options);
    /* Each beam may need room of its own. */
    options.max_requests = (uint32_t)b2_size_min(b2_size_min(s->settings->batch, s->inputs.count) *
                                                     b2_size_max(s->settings->beams, 1),
                                                 MOST_REQUESTS);
    options.max_tokens = s->settings->max_tokens;
    return blip2_engine_open(&s->engine, s->model, &options);
}

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
    b2_group_finish(&s->group, index, text, count);
    b2_group_print(&s->group);
    s->done++;
}

static blip2_status generate(session *s) {
    const b2_settings *settings = s->settings;
    blip2_generate_options options;
    blip2_result *result = NULL;
    blip2_status status;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = settings->max_new_tokens;
    options.min_new_tokens = settings->min_new_tokens;
    options.repetition_penalty = settings->repetition_penalty;
    options.num_beams = settings->beams;
    options.on_text = on_text;
    options.on_done = on_done;
    options.payload = s;
    status = blip2_generate(s->engine, s->group.inputs, s->group.input_count, &options, &result);
    blip2_result_free(result);
    return status;
}

/* Read the next pictures, caption them, print. */
static blip2_status run_group(session *s) {
    blip2_status status = BLIP2_OK;

    s->taken = b2_group_fill(&s->group, &s->inputs, s->taken);
    b2_group_print(&s->group);
    if (s->group.input_count > 0 && !s->group.stopped) {
        if (s->model == NULL) {
            if ((status = open_model(s)) == BLIP2_OK)
                status = open_engine(s);
            tell_warnings(s, status == BLIP2_OK);
            if (status < 0)
                return status;
        }
        status = generate(s);
    }
    if (status == BLIP2_OK)
        b2_group_print(&s->group);
    return status;
}

b2_exit_code b2_caption_run(const b2_settings *settings) {
    session s = {.settings = settings};
    blip2_status status;

    if (settings->operand_count == 0) {
        b2_complain("caption: no picture given; see 'blip2 help caption'");
        return B2_EXIT_BAD_INPUT;
    }
    b2_progress_start(&s.progress, settings->quiet);
    if ((status = b2_inputs_expand(&s.inputs, settings->operands, settings->operand_count)) == 0)
        status = b2_group_init(&s.group, settings, &s.progress, &s.inputs);
    s.stream = s.inputs.count == 1 && !s.inputs.many && !settings->json && isatty(STDOUT_FILENO);
    s.group.streamed = s.stream;
    while (status == BLIP2_OK && s.taken < s.inputs.count && !s.group.stopped)
        status = run_group(&s);
    b2_progress_erase(&s.progress);
    if (status < 0 && !s.group.stopped)
        s.group.code = b2_exit_code_worse(s.group.code, b2_complain_status(status));
    blip2_engine_close(s.engine);
    blip2_model_close(s.model);
    b2_group_free(&s.group);
    b2_inputs_free(&s.inputs);
    return s.group.code;
}
