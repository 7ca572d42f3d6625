/* blip2 caption: the pictures go through in groups; the model is loaded when the first group has a
 * picture, so that a wrong file name is told at once. */
#include "caption.h"

#include <stdio.h>
#include <unistd.h>

#include "caption_lines.h"
#include "decoding_options.h"
#include "default_model.h"
#include "group.h"
#include "loaded.h"
#include "video.h"

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    size_t done; /* pictures with a text */
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
    blip2_generate_options options;
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
    b2_print_piece(&s->started, text, length);
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
        const b2_line_head head = {.path = item->path,
                                   .frames = item->frames,
                                   .prompt = s->settings->prompt,
                                   .show_path = s->group.show_names};
        b2_text_buffer lines = {0};

        b2_caption_lines(&lines, s->settings, &head, result, i * s->settings->sequences);
        b2_group_finish(&s->group, i, lines.failed ? NULL : b2_text_data(&lines), 0);
        b2_text_free(&lines);
    }
}

/* Open the model, once. */
static blip2_status open_model(session *s) {
    blip2_status status;

    if (s->loaded.model != NULL)
        return BLIP2_OK;
    blip2_generate_options_init(&s->options, sizeof s->options);
    b2_decoding_options_set(&s->options, s->settings);
    s->options.on_text = on_text;
    s->options.on_done = on_done;
    s->options.payload = s;
    status = b2_loaded_open(&s->loaded, s->inputs.count * s->settings->sequences);
    return status < 0 ? status : b2_video_check(&s->loaded, s->settings->prompt, &s->options);
}

static blip2_status generate(void *context) {
    session *s = context;
    blip2_result *result = NULL;
    blip2_status status = open_model(s);

    if (status < 0)
        return status;
    status = blip2_generate(s->loaded.engine, s->group.inputs, s->group.input_count, &s->options,
                            &result);
    finish_group(s, result);
    blip2_result_free(result);
    return status;
}

b2_exit_code b2_caption_run(const b2_settings *settings) {
    session s = {.settings = settings, .group = {.settings = settings, .progress = &s.progress}};
    blip2_status status;

    if (settings->operand_count == 0) {
        b2_complain("caption: no picture given; see 'blip2 help caption'");
        return B2_EXIT_BAD_INPUT;
    }
    if (!b2_decoding_options_check(settings, "caption"))
        return B2_EXIT_BAD_INPUT;
    s.loaded = (b2_loaded){.settings = settings, .progress = &s.progress, .demo = B2_DEMO_CAPTION};
    b2_progress_start(&s.progress, settings->quiet);
    if ((status = b2_video_inputs(&s.inputs, settings)) == BLIP2_OK)
        status = b2_group_init(&s.group, settings, &s.progress, &s.inputs);
    s.group.formatted = settings->sequences > 1 || settings->logprobs > 0;
    s.stream = s.inputs.count == 1 && !s.inputs.many && !settings->json && !s.group.formatted &&
               isatty(STDOUT_FILENO);
    s.group.streamed = s.stream;
    if (status == BLIP2_OK && (s.loaded.frames = b2_video_frames(&s.inputs.names[0])) > 0)
        status = open_model(&s);
    b2_group_run(&s.group, &s.inputs, status, generate, &s);
    b2_loaded_close(&s.loaded);
    b2_group_free(&s.group);
    b2_inputs_free(&s.inputs);
    return s.group.code;
}
