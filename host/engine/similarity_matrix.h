/* What is known of every picture with every text. For COCO's 5,000 pictures and 25,000 texts 1.1
 * GB: the two matrices of scores that LAVIS keeps are made of it row by row. */
#ifndef B2_SIMILARITY_MATRIX_H
#define B2_SIMILARITY_MATRIX_H
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "blip2.h"

struct blip2_similarity {
    size_t images, texts;
    float *itc;      /* [images, texts] */
    float *itm;      /* [images, texts] logit of a match; NAN: not matched */
    uint8_t *picked; /* [images, texts] bit 1 << blip2_direction: among the best of that row */
};

/* Rows of a direction, and the cell of (row, column) in the matrices above. */
static inline size_t b2_similarity_rows(const blip2_similarity *s, blip2_direction direction) {
    return direction == BLIP2_TEXTS_OF_IMAGE ? s->images : s->texts;
}
static inline size_t b2_similarity_columns(const blip2_similarity *s, blip2_direction direction) {
    return direction == BLIP2_TEXTS_OF_IMAGE ? s->texts : s->images;
}
static inline size_t b2_similarity_cell(const blip2_similarity *s, blip2_direction direction,
                                        size_t row, size_t column) {
    return direction == BLIP2_TEXTS_OF_IMAGE ? row * s->texts + column : column * s->texts + row;
}

/* All contrast still to come, nothing matched. */
blip2_status b2_similarity_open(blip2_similarity **out, size_t images, size_t texts);
/* Mark the `most` best cells of the row, by contrast; the first among equals. best [most]: scratch.
 */
void b2_similarity_pick(blip2_similarity *s, blip2_direction direction, size_t row, size_t most,
                        size_t *best);

#endif
