/* blip2 explain: a heat map for every picture and text, and for the tokens of captions, each a PNG.
 * Pictures go through one by one: a map costs more than a picture's encoding. */
#include "explain.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "default_model.h"
#include "image/heat.h"
#include "inputs.h"
#include "json.h"
#include "loaded.h"
#include "texts.h"

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_texts texts; /* none: the picture without a text, or the caption that is written for it */
    b2_progress progress;
    b2_loaded loaded;
    bool numbered;     /* more than one map: out-1.png, out-2.png ... */
    size_t done;       /* maps, tokens' not counted */
    size_t unreadable; /* pictures */
    b2_exit_code code;
} session;

/* One picture with one text. */
typedef struct view {
    const char *path;
    const blip2_image *image;
    const char *shown, *read; /* NULL: no text */
    blip2_match_score score;
    bool scored;
    blip2_explanation *explanation;
} view;

/* ---- files -------------------------------------------------------------------------------- */

/* --out with the map's number, and the token's, in front of its ending. NULL: no memory. */
static char *file_name(const session *s, size_t token) {
    const char *out = s->settings->out, *slash = strrchr(out, '/'), *dot = strrchr(out, '.');
    size_t stem = dot != NULL && (slash == NULL || dot > slash) ? (size_t)(dot - out) : strlen(out);
    b2_text_buffer name = {0};

    b2_text_append(&name, out, stem);
    if (s->numbered)
        b2_text_appendf(&name, "-%zu", s->done + 1);
    if (token > 0)
        b2_text_appendf(&name, "-token%02zu", token);
    b2_text_appendf(&name, "%s", out + stem);
    return b2_text_take(&name);
}

static blip2_status write_map(const view *v, const float *map, size_t rows, size_t cols,
                              const char *path) {
    uint32_t width = blip2_image_width(v->image), height = blip2_image_height(v->image);
    uint8_t *rgb = b2_alloc_array((size_t)width * 3, height); /* as large as the picture itself */
    blip2_status status;

    if (rgb == NULL)
        return b2_fail_memory();
    if ((status = blip2_paint_heat(v->image, map, rows, cols, rgb)) == BLIP2_OK)
        status = b2_png_write(path, rgb, width, height);
    b2_free(rgb);
    return status;
}

/* ---- lines -------------------------------------------------------------------------------- */

static b2_peak peak_of(const view *v, const float *map, size_t rows, size_t cols) {
    return b2_heat_peak(map, rows, cols, blip2_image_width(v->image), blip2_image_height(v->image));
}

static void print_plain(const view *v, b2_peak peak, const char *out, const char *text) {
    b2_text_buffer line = {0};

    b2_text_appendf(&line, "%s: %s: peak at %.0f,%.0f", v->path, out, peak.x, peak.y);
    if (text != NULL)
        b2_text_appendf(&line, "  %s", text);
    b2_print_name(b2_text_data(&line));
    (void)putchar('\n');
    b2_text_free(&line);
}

static int set_map(json_t *to, b2_peak peak, const char *out) {
    int failed = json_object_set_new(to, "out", b2_json_text(out));

    return failed | json_object_set_new(to, "peak", json_pack("[f, f]", peak.x, peak.y));
}

/* The scores that the checkpoint has heads for. */
static int set_scores(const session *s, json_t *line, const view *v) {
    const blip2_model *model = s->loaded.model;
    int failed = 0;

    if (v->scored && blip2_model_can(model, "itm"))
        failed |= json_object_set_new(line, "itm", json_real((double)v->score.itm_probability));
    if (v->scored && blip2_model_can(model, "itc"))
        failed |= json_object_set_new(line, "itc", json_real((double)v->score.itc));
    return failed;
}

/* ---- maps --------------------------------------------------------------------------------- */

/* Map number `token` of the caption, from 1, or the whole (0): written, and told. line: NULL
 * without
 * --json. */
static blip2_status finish_map(session *s, const view *v, size_t token, json_t *line) {
    size_t rows, cols;
    const float *map = token == 0
                           ? blip2_explanation_map(v->explanation, &rows, &cols)
                           : blip2_explanation_token_map(v->explanation, token - 1, &rows, &cols);
    const char *text = token == 0 ? v->shown : blip2_explanation_token(v->explanation, token - 1);
    char *out = file_name(s, token);
    blip2_status status = out != NULL ? write_map(v, map, rows, cols, out) : b2_fail_memory();

    if (status == BLIP2_OK && line == NULL)
        print_plain(v, peak_of(v, map, rows, cols), out, text);
    else if (status == BLIP2_OK && set_map(line, peak_of(v, map, rows, cols), out) != 0)
        status = b2_fail_memory();
    b2_free(out);
    return status;
}

static blip2_status finish_tokens(session *s, const view *v, json_t *line) {
    json_t *list = line != NULL ? json_array() : NULL;
    blip2_status status = BLIP2_OK;

    for (size_t i = 1; i <= blip2_explanation_tokens(v->explanation) && status == BLIP2_OK; i++) {
        json_t *item = line != NULL ? json_object() : NULL;

        status = finish_map(s, v, i, item);
        if (line != NULL &&
            (json_object_set_new(item, "token",
                                 b2_json_text(blip2_explanation_token(v->explanation, i - 1))) |
             json_array_append_new(list, item)) != 0)
            status = b2_fail_memory();
    }
    if (line != NULL && json_object_set_new(line, "tokens", list) != 0)
        status = b2_fail_memory();
    return status;
}

static blip2_status finish(session *s, const view *v) {
    bool json = s->settings->json;
    json_t *line = json ? json_object() : NULL;
    blip2_status status;

    if (json &&
        (json_object_set_new(line, "file", b2_json_text(v->path)) |
         (v->shown != NULL ? json_object_set_new(line, "text", b2_json_text(v->shown)) : 0) |
         set_scores(s, line, v)) != 0) {
        json_decref(line);
        return b2_fail_memory();
    }
    if ((status = finish_map(s, v, 0, line)) == BLIP2_OK && s->settings->tokens)
        status = finish_tokens(s, v, line);
    if (!json || status < 0)
        json_decref(line);
    else if (!b2_json_print_line(line))
        status = b2_fail_memory();
    s->done++;
    return status;
}

static blip2_status explain(session *s, view *v) {
    const b2_settings *settings = s->settings;
    const blip2_input input = {v->image, v->read};
    blip2_explain_options options;
    blip2_status status;

    blip2_explain_options_init(&options, sizeof options);
    options.map = (blip2_map)settings->map;
    options.layer = settings->layer;
    options.query = settings->query;
    options.caption = settings->tokens;
    if ((status = blip2_explain(s->loaded.engine, &input, &options, &v->explanation)) < 0)
        return status;
    v->scored = settings->json && v->read != NULL && blip2_model_can(s->loaded.model, "match");
    if (v->scored)
        status = blip2_match(s->loaded.engine, &input, 1, NULL, &v->score);
    if (status == BLIP2_OK)
        status = finish(s, v);
    blip2_explanation_free(v->explanation);
    return status;
}

/* The picture's caption takes the place of a text. */
static blip2_status explain_caption(session *s, view *v) {
    const blip2_input input = {v->image, NULL};
    blip2_result *result;
    blip2_status status = blip2_generate(s->loaded.engine, &input, 1, NULL, &result);

    if (status < 0)
        return status;
    v->shown = v->read = blip2_result_text(result, 0);
    status = explain(s, v);
    blip2_result_free(result);
    return status;
}

static blip2_status explain_picture(session *s, const char *path, const blip2_image *image) {
    view v = {.path = path, .image = image};
    blip2_status status;

    if ((status = b2_loaded_open(&s->loaded, SIZE_MAX)) < 0)
        return status;
    if (s->texts.count == 0)
        return s->settings->tokens ? explain_caption(s, &v) : explain(s, &v);
    for (size_t t = 0; t < s->texts.count && status == BLIP2_OK; t++) {
        v.shown = s->texts.shown[t];
        v.read = s->texts.read[t];
        b2_progress_show(&s->progress, "%zu of %zu maps", s->done,
                         s->inputs.count * s->texts.count);
        status = explain(s, &v);
    }
    return status;
}

/* A picture that cannot be read is told, and the others go on. */
static void skip(session *s, const char *path, const char *error) {
    b2_progress_erase(&s->progress);
    b2_complain("%s", error);
    s->code = b2_exit_code_worse(s->code, B2_EXIT_BAD_INPUT);
    s->unreadable++;
    s->done += b2_size_max(s->texts.count, 1);
    if (s->settings->json)
        (void)b2_json_print_line(
            json_pack("{s: o, s: o}", "file", b2_json_text(path), "error", b2_json_text(error)));
}

static blip2_status run_input(session *s, const b2_input_name *name) {
    blip2_image *image = NULL;
    blip2_status status;

    if (name->error != NULL) {
        skip(s, name->path, name->error);
        return BLIP2_OK;
    }
    if (blip2_image_open(&image, name->path, NULL) < 0) {
        skip(s, name->path, blip2_error_message());
        return BLIP2_OK;
    }
    status = explain_picture(s, name->path, image);
    blip2_image_free(image);
    return status;
}

static blip2_status open_session(session *s) {
    const b2_settings *settings = s->settings;
    blip2_status status = BLIP2_OK;

    b2_progress_start(&s->progress, settings->quiet);
    s->loaded = (b2_loaded){
        .settings = settings,
        .progress = &s->progress,
        .demo = settings->tokens ? B2_DEMO_LAVIS : B2_DEMO_MATCH,
    };
    if ((settings->texts.count > 0 || settings->text_file != NULL) &&
        (status = b2_texts_open(&s->texts, settings)) < 0)
        return status;
    status = b2_inputs_expand(&s->inputs, settings->operands, settings->operand_count);
    s->numbered = s->inputs.many || s->inputs.count > 1 || s->texts.count > 1;
    return status;
}

b2_exit_code b2_explain_run(const b2_settings *settings) {
    session s = {.settings = settings};
    blip2_status status;

    if (settings->operand_count == 0 || settings->out == NULL) {
        b2_complain("explain: no %s given; see 'blip2 help explain'",
                    settings->operand_count == 0 ? "picture" : "--out");
        return B2_EXIT_BAD_INPUT;
    }
    status = open_session(&s);
    for (size_t i = 0; i < s.inputs.count && status == BLIP2_OK; i++)
        status = run_input(&s, &s.inputs.names[i]);
    b2_progress_erase(&s.progress);
    if (status < 0)
        s.code = b2_exit_code_worse(s.code, b2_complain_status(status));
    else if (!settings->json)
        b2_complain_unreadable(s.unreadable, s.inputs.count);
    b2_loaded_close(&s.loaded);
    b2_inputs_free(&s.inputs);
    b2_texts_free(&s.texts);
    return s.code;
}
