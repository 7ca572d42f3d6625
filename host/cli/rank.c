/* blip2 rank: the best texts of every picture, or the best pictures of every text. What comes first
 * is known when all have been compared, so nothing is printed before. */
#include "rank.h"

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "comparison.h"
#include "default_model.h"
#include "ranked.h"

typedef struct session {
    b2_comparison c;
    blip2_direction direction;
    float *scores; /* [columns] of one row */
    size_t *order; /* [top] */
    size_t top;
    bool stopped; /* the output cannot be written */
} session;

static blip2_status print_row(session *s, size_t row) {
    bool texts = s->direction == BLIP2_TEXTS_OF_IMAGE,
         named = texts ? s->c.inputs.many : s->c.texts.count > 1;
    size_t count = blip2_similarity_best(s->c.similarity, s->direction, row, s->top, s->order);
    const float *itc = blip2_similarity_itc(s->c.similarity);
    blip2_status status = blip2_similarity_scores(s->c.similarity, s->direction, row, s->scores);

    if (status < 0)
        return status;
    if (count == 0)
        return b2_fail_memory(); /* there are columns */
    for (size_t i = 0; i < count; i++) {
        size_t column = s->order[i], image = texts ? row : column, text = texts ? column : row;
        const char *path = s->c.gallery.paths[image], *shown = s->c.texts.shown[text];
        float cosine = itc[image * s->c.texts.count + text];

        if (!s->c.settings->json)
            b2_ranked_print(i + 1, named ? (texts ? path : shown) : NULL, texts ? shown : path,
                            s->scores[column], cosine);
        else if (!b2_ranked_print_json(i + 1, path, "text", shown, s->scores[column], cosine))
            return b2_fail_memory();
    }
    s->stopped = !b2_flush_output();
    return BLIP2_OK;
}

static blip2_status print_all(session *s) {
    bool texts = s->direction == BLIP2_TEXTS_OF_IMAGE;
    size_t rows = texts ? s->c.gallery.count : s->c.texts.count,
           columns = texts ? s->c.texts.count : s->c.gallery.count;
    blip2_status status = BLIP2_OK;

    s->top = b2_size_min(s->c.settings->top, columns);
    s->scores = b2_alloc_array(columns, sizeof *s->scores);
    s->order = b2_alloc_array(s->top, sizeof *s->order);
    if (s->scores == NULL || s->order == NULL)
        return b2_fail_memory();
    for (size_t row = 0; row < rows && status == BLIP2_OK && !s->stopped; row++)
        status = print_row(s, row);
    return status;
}

static blip2_status run(session *s) {
    bool texts = s->direction == BLIP2_TEXTS_OF_IMAGE;
    blip2_status status = b2_comparison_read(&s->c, false);

    if (status < 0 || s->c.gallery.count == 0 ||
        (status = b2_comparison_run(&s->c, texts, !texts)) < 0)
        return status;
    return print_all(s);
}

b2_exit_code b2_rank_run(const b2_settings *settings) {
    session s = {.direction = (blip2_direction)settings->best};
    b2_exit_code code;

    if (settings->operand_count == 0) {
        b2_complain("rank: no picture given; see 'blip2 help rank'");
        return B2_EXIT_BAD_INPUT;
    }
    b2_comparison_start(&s.c, settings, B2_DEMO_MATCH);
    code = b2_comparison_end(&s.c, run(&s));
    if (s.stopped)
        code = b2_exit_code_worse(code, B2_EXIT_BAD_INPUT);
    b2_free(s.scores);
    b2_free(s.order);
    return code;
}
