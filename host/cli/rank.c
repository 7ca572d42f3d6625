/* blip2 rank: the best texts of every picture, or the best pictures of every text. What comes first
 * is known when all have been compared, so nothing is printed before. */
#include "rank.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "default_model.h"
#include "gallery.h"
#include "json.h"
#include "loaded.h"
#include "texts.h"

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_gallery gallery;
    b2_texts texts;
    b2_progress progress;
    b2_loaded loaded;
    blip2_direction direction;
    blip2_similarity *similarity;
    float *scores; /* [columns] of one row */
    size_t *order; /* [top] */
    size_t top;
    bool stopped; /* the output cannot be written */
} session;

/* One place of one row. score: -100 where it was not matched. */
static bool print_json(size_t place, const char *path, const char *text, float score, float itc) {
    json_t *line = json_pack("{s:I, s:o, s:o, s:f}", "rank", (json_int_t)place, "file",
                             b2_json_text(path), "text", b2_json_text(text), "itc", (double)itc);

    if (score > -100.0f && json_object_set_new(line, "score", json_real((double)score)) != 0) {
        json_decref(line);
        line = NULL;
    }
    return b2_json_print_line(line);
}

static void print_plain(size_t place, bool show_name, const char *name, const char *what,
                        float score, float itc) {
    if (show_name) {
        b2_print_name(name);
        (void)fputs(": ", stdout);
    }
    (void)printf("%2zu.  ", place);
    if (score > -100.0f)
        (void)printf("score %8.4f  ", (double)score);
    (void)printf("itc %7.4f  ", (double)itc);
    b2_print_name(what);
    (void)putchar('\n');
}

static blip2_status print_row(session *s, size_t row) {
    bool texts = s->direction == BLIP2_TEXTS_OF_IMAGE;
    size_t count = blip2_similarity_best(s->similarity, s->direction, row, s->top, s->order);
    const float *itc = blip2_similarity_itc(s->similarity);
    blip2_status status = blip2_similarity_scores(s->similarity, s->direction, row, s->scores);

    if (status < 0)
        return status;
    if (count == 0)
        return b2_fail_memory(); /* there are columns */
    for (size_t i = 0; i < count; i++) {
        size_t column = s->order[i], image = texts ? row : column, text = texts ? column : row;
        const char *path = s->gallery.paths[image], *shown = s->texts.shown[text];
        float cosine = itc[image * s->texts.count + text];

        if (!s->settings->json)
            print_plain(i + 1, texts ? s->inputs.many : s->texts.count > 1, texts ? path : shown,
                        texts ? shown : path, s->scores[column], cosine);
        else if (!print_json(i + 1, path, shown, s->scores[column], cosine))
            return b2_fail_memory();
    }
    s->stopped = !b2_flush_output();
    return BLIP2_OK;
}

static blip2_status print_all(session *s) {
    bool texts = s->direction == BLIP2_TEXTS_OF_IMAGE;
    size_t rows = texts ? s->gallery.count : s->texts.count,
           columns = texts ? s->texts.count : s->gallery.count;
    blip2_status status = BLIP2_OK;

    s->top = b2_size_min(s->settings->top, columns);
    s->scores = b2_alloc_array(columns, sizeof *s->scores);
    s->order = b2_alloc_array(s->top, sizeof *s->order);
    if (s->scores == NULL || s->order == NULL)
        return b2_fail_memory();
    for (size_t row = 0; row < rows && status == BLIP2_OK && !s->stopped; row++)
        status = print_row(s, row);
    return status;
}

static int on_progress(uint64_t done, uint64_t total, void *payload) {
    session *s = payload;

    b2_progress_show(&s->progress, "comparing: %.0f %%", 100.0 * (double)done / (double)total);
    return 0;
}

static blip2_status compare(session *s) {
    blip2_similarity_options options;
    blip2_status status;

    blip2_similarity_options_init(&options, sizeof options);
    options.rerank = s->settings->rerank;
    options.no_itm = s->settings->rerank == 0;
    options.only_texts_of_image = s->direction == BLIP2_TEXTS_OF_IMAGE;
    options.only_images_of_text = s->direction == BLIP2_IMAGES_OF_TEXT;
    options.on_progress = on_progress;
    options.payload = s;
    status = blip2_similarity_compute(
        s->loaded.engine, (const blip2_image *const *)s->gallery.images, s->gallery.count,
        (const char *const *)s->texts.read, s->texts.count, &options, &s->similarity);
    b2_progress_erase(&s->progress);
    return status;
}

static blip2_status run(session *s) {
    const b2_settings *settings = s->settings;
    blip2_status status;

    if ((status = b2_texts_open(&s->texts, settings)) < 0 ||
        (status = b2_inputs_expand(&s->inputs, settings->operands, settings->operand_count)) < 0 ||
        (status = b2_gallery_open(&s->gallery, &s->inputs, settings, &s->progress)) < 0 ||
        s->gallery.count == 0)
        return status;
    if ((status = b2_loaded_open(&s->loaded, SIZE_MAX)) == BLIP2_OK &&
        (status = compare(s)) == BLIP2_OK)
        status = print_all(s);
    return status;
}

b2_exit_code b2_rank_run(const b2_settings *settings) {
    session s = {.settings = settings, .direction = (blip2_direction)settings->best};
    b2_exit_code code;
    blip2_status status;

    if (settings->operand_count == 0) {
        b2_complain("rank: no picture given; see 'blip2 help rank'");
        return B2_EXIT_BAD_INPUT;
    }
    b2_progress_start(&s.progress, settings->quiet);
    s.loaded = (b2_loaded){.settings = settings, .progress = &s.progress, .demo = B2_DEMO_MATCH};
    status = run(&s);
    code = s.gallery.code;
    if (status < 0)
        code = b2_exit_code_worse(code, b2_complain_status(status));
    if (s.stopped)
        code = b2_exit_code_worse(code, B2_EXIT_BAD_INPUT);
    blip2_similarity_free(s.similarity);
    b2_loaded_close(&s.loaded);
    b2_gallery_free(&s.gallery);
    b2_inputs_free(&s.inputs);
    b2_texts_free(&s.texts);
    b2_free(s.scores);
    b2_free(s.order);
    return code;
}
