/* blip2 ask: every picture with every question. The pictures go through in groups, as with caption;
 * a call of the library takes whole pictures, whose lines are printed when it returns. */
#include "ask.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "caption_lines.h"
#include "decoding_options.h"
#include "default_model.h"
#include "group.h"
#include "loaded.h"
#include "prompts.h"
#include "video.h"

enum { BEAMS = 5, CALL = 256 /* texts of one call of the library, if a picture has no more */ };

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_prompts prompts; /* once the model is open */
    size_t pictures;    /* most of one call */
    blip2_input *pairs; /* [pictures, prompts.count] of one call */
    size_t done;        /* answered questions */
    blip2_generate_options options;
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
} session;

/* ---- prompts ------------------------------------------------------------------------------- */

static blip2_status check_room(const session *s) {
    blip2_status status = BLIP2_OK;
    int64_t room = 0;

    for (size_t q = 0; q < s->prompts.count && status == BLIP2_OK; q++) {
        if ((status = b2_video_check(&s->loaded, s->prompts.texts[q], &s->options)) == BLIP2_OK)
            status = blip2_generate_room(s->loaded.engine, s->prompts.texts[q], s->loaded.frames,
                                         &s->options, &room);
        if (status == BLIP2_OK && room < 0)
            status = b2_fail(BLIP2_EINVAL,
                             "question %zu of %zu is too long: with picture and answer it takes "
                             "%lld tokens more than there is room for (--max-tokens)",
                             q + 1, s->prompts.count, -(long long)room);
    }
    return status;
}

/* ---- answers ------------------------------------------------------------------------------- */

static int on_text(size_t index, const char *text, size_t length, void *payload) {
    session *s = payload;

    (void)index;
    (void)text;
    (void)length;
    b2_progress_show(&s->progress, "%zu of %zu answers", s->done,
                     s->inputs.count * s->prompts.count);
    return 0;
}

static void on_done(size_t index, const char *text, const int32_t *tokens, size_t count,
                    void *payload) {
    session *s = payload;

    (void)text;
    (void)tokens;
    (void)count;
    s->done += index % s->settings->sequences == 0;
}

/* The lines of picture number `index` of the group, whose texts begin at `first` of the result. */
static void finish_picture(session *s, size_t index, const blip2_result *result, size_t first) {
    const b2_group_item *item = &s->group.items[s->group.item_of[index]];
    b2_line_head head = {.path = item->path,
                         .frames = item->frames,
                         .show_path = s->group.show_names,
                         .show_question = s->prompts.count > 1};
    b2_text_buffer lines = {0};

    for (size_t q = 0; q < s->prompts.count; q++) {
        head.question = b2_prompts_question(&s->prompts, q);
        head.prompt = s->prompts.texts[q];
        b2_caption_lines(&lines, s->settings, &head, result, first + q * s->settings->sequences);
    }
    b2_group_finish(&s->group, index, lines.failed ? NULL : b2_text_data(&lines), 0);
    b2_text_free(&lines);
}

static blip2_status answer_group(session *s) {
    size_t questions = s->prompts.count;

    for (size_t first = 0; first < s->group.input_count && !s->group.stopped;
         first += s->pictures) {
        size_t n = b2_size_min(s->pictures, s->group.input_count - first);
        blip2_result *result = NULL;
        blip2_status status;

        for (size_t i = 0; i < n * questions; i++)
            s->pairs[i] = (blip2_input){s->group.inputs[first + i / questions].image,
                                        s->prompts.texts[i % questions]};
        status = blip2_generate(s->loaded.engine, s->pairs, n * questions, &s->options, &result);
        if (status < 0)
            return status;
        for (size_t i = 0; i < n; i++)
            finish_picture(s, first + i, result, i * questions * s->settings->sequences);
        blip2_result_free(result);
        b2_group_print(&s->group);
    }
    return BLIP2_OK;
}

/* Open the model, once, and take over how it is asked. */
static blip2_status open_model(session *s) {
    const b2_settings *settings = s->settings;
    const char *template;
    blip2_status status;
    size_t most;

    if (s->prompts.texts != NULL)
        return BLIP2_OK;
    if (!b2_size_mul(s->inputs.count, s->prompts.count, &most) ||
        !b2_size_mul(most, settings->sequences, &most))
        most = SIZE_MAX;
    blip2_generate_options_init(&s->options, sizeof s->options);
    if ((status = b2_loaded_open(&s->loaded, most)) < 0 ||
        (status = blip2_question_defaults(s->loaded.model, &s->options, &template)) < 0)
        return status;
    b2_decoding_options_set(&s->options, settings);
    s->options.on_text = on_text;
    s->options.on_done = on_done;
    s->options.payload = s;
    status = b2_prompts_make(&s->prompts, settings, template);
    return status < 0 ? status : check_room(s);
}

static blip2_status answer(void *context) {
    session *s = context;
    blip2_status status = open_model(s);

    return status < 0 ? status : answer_group(s);
}

static blip2_status open_session(session *s) {
    const b2_settings *settings = s->settings;
    blip2_status status;
    size_t count;

    b2_progress_start(&s->progress, settings->quiet);
    s->loaded =
        (b2_loaded){.settings = settings, .progress = &s->progress, .demo = B2_DEMO_CAPTION};
    if ((status = b2_prompts_open(&s->prompts, settings, true)) < 0 ||
        (status = b2_video_inputs(&s->inputs, settings)) < 0 ||
        (status = b2_group_init(&s->group, settings, &s->progress, &s->inputs)) < 0)
        return status;
    s->group.formatted = true;
    s->pictures = b2_size_max(CALL / s->prompts.count, 1);
    if (!b2_size_mul(s->pictures, s->prompts.count, &count) ||
        (s->pairs = b2_alloc_array(count, sizeof *s->pairs)) == NULL)
        return b2_fail_memory();
    s->loaded.frames = b2_video_frames(&s->inputs.names[0]);
    return s->loaded.frames > 0 ? open_model(s) : BLIP2_OK;
}

static void close_session(session *s) {
    b2_loaded_close(&s->loaded);
    b2_free(s->pairs);
    b2_group_free(&s->group);
    b2_inputs_free(&s->inputs);
    b2_prompts_free(&s->prompts);
}

b2_exit_code b2_ask_run(const b2_settings *settings) {
    b2_settings asked = *settings; /* with the beams that are followed: they need room */
    session s = {.settings = &asked, .group = {.settings = &asked, .progress = &s.progress}};

    if (settings->operand_count == 0) {
        b2_complain("ask: no picture given; see 'blip2 help ask'");
        return B2_EXIT_BAD_INPUT;
    }
    if (asked.beams == 0)
        asked.beams = asked.sample || asked.penalty_alpha > 0.0f ? 1 : BEAMS;
    if (!b2_decoding_options_check(&asked, "ask"))
        return B2_EXIT_BAD_INPUT;
    b2_group_run(&s.group, &s.inputs, open_session(&s), answer, &s);
    close_session(&s);
    return s.group.code;
}
