#include "engine/similarity_matrix.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"

static const float not_matched = -100.0f; /* as LAVIS fills its matrices */

blip2_status b2_similarity_open(blip2_similarity **out, size_t images, size_t texts) {
    blip2_similarity *s = b2_calloc(1, sizeof *s);
    size_t cells;

    *out = s;
    if (s == NULL || !b2_size_mul(images, texts, &cells))
        return b2_fail_memory();
    s->images = images;
    s->texts = texts;
    s->itc = b2_calloc(cells, sizeof *s->itc);
    s->itm = b2_alloc_array(cells, sizeof *s->itm);
    s->picked = b2_calloc(cells, sizeof *s->picked);
    if (s->itc == NULL || s->itm == NULL || s->picked == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < cells; i++)
        s->itm[i] = NAN;
    return BLIP2_OK;
}

void blip2_similarity_free(blip2_similarity *s) {
    if (s == NULL)
        return;
    b2_free(s->itc);
    b2_free(s->itm);
    b2_free(s->picked);
    b2_free(s);
}

/* best: the cells so far, best first. Few cells of a long row get past the comparison with the
 * last. */
void b2_similarity_pick(blip2_similarity *s, blip2_direction direction, size_t row, size_t most,
                        size_t *best) {
    size_t columns = b2_similarity_columns(s, direction), count = 0;

    for (size_t c = 0; c < columns && most > 0; c++) {
        size_t cell = b2_similarity_cell(s, direction, row, c), at;

        if (count == most && !(s->itc[cell] > s->itc[best[count - 1]]))
            continue;
        at = count < most ? count++ : count - 1;
        for (; at > 0 && s->itc[cell] > s->itc[best[at - 1]]; at--)
            best[at] = best[at - 1];
        best[at] = cell;
    }
    for (size_t i = 0; i < count; i++)
        s->picked[best[i]] |= (uint8_t)(1U << direction);
}

/* ---- what the caller sees ----------------------------------------------------------------- */

size_t blip2_similarity_images(const blip2_similarity *s) {
    return s != NULL ? s->images : 0;
}

size_t blip2_similarity_texts(const blip2_similarity *s) {
    return s != NULL ? s->texts : 0;
}

const float *blip2_similarity_itc(const blip2_similarity *s) {
    return s != NULL ? s->itc : NULL;
}

static bool has_row(const blip2_similarity *s, blip2_direction direction, size_t row) {
    return s != NULL && (unsigned)direction <= BLIP2_IMAGES_OF_TEXT &&
           row < b2_similarity_rows(s, direction);
}

static bool is_matched(const blip2_similarity *s, blip2_direction direction, size_t cell) {
    return (s->picked[cell] >> direction & 1) != 0 && !isnan(s->itm[cell]);
}

blip2_status blip2_similarity_scores(const blip2_similarity *s, blip2_direction direction,
                                     size_t row, float *scores) {
    if (!has_row(s, direction, row) || scores == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_similarity_scores: %s",
                       scores == NULL ? "scores is NULL" : "no such row");
    for (size_t c = 0; c < b2_similarity_columns(s, direction); c++) {
        size_t cell = b2_similarity_cell(s, direction, row, c);

        scores[c] = is_matched(s, direction, cell) ? s->itm[cell] + s->itc[cell] : not_matched;
    }
    return BLIP2_OK;
}

typedef struct ranked {
    bool matched;
    float score; /* a NaN counts as the smallest number: sorting needs an order */
    size_t column;
} ranked;

static int better_first(const void *a, const void *b) {
    const ranked *x = a, *y = b;

    if (x->matched != y->matched)
        return x->matched ? -1 : 1;
    if (x->score > y->score || x->score < y->score)
        return x->score > y->score ? -1 : 1;
    return x->column < y->column ? -1 : 1;
}

size_t blip2_similarity_best(const blip2_similarity *s, blip2_direction direction, size_t row,
                             size_t most, size_t *order) {
    size_t columns, count;
    ranked *all;

    if (!has_row(s, direction, row) || order == NULL)
        return 0;
    columns = b2_similarity_columns(s, direction);
    if ((all = b2_alloc_array(columns, sizeof *all)) == NULL)
        return 0;
    for (size_t c = 0; c < columns; c++) {
        size_t cell = b2_similarity_cell(s, direction, row, c);
        bool matched = is_matched(s, direction, cell);
        float score = s->itc[cell] + (matched ? s->itm[cell] : 0.0f);

        all[c] = (ranked){matched, isnan(score) ? -INFINITY : score, c};
    }
    qsort(all, columns, sizeof *all, better_first);
    count = b2_size_min(columns, most);
    for (size_t i = 0; i < count; i++)
        order[i] = all[i].column;
    b2_free(all);
    return count;
}
