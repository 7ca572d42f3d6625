/* Inside blip2_similarity_compute: one job, its pictures, and what its work folder keeps of it. */
#ifndef B2_SIMILARITY_JOB_H
#define B2_SIMILARITY_JOB_H
#include "engine/contrast.h"
#include "engine/engine.h"
#include "engine/similarity_matrix.h"
#include "image/image.h"
#include "load/work.h"

enum { B2_SIMILARITY_GROUP = 64 }; /* requests of one call of the engine */

typedef struct b2_similarity_job {
    blip2_engine *engine;
    const blip2_image *const *images; /* [s->images]; NULL: options->open_image has them */
    const char *const *texts;         /* [s->texts] */
    const blip2_similarity_options *options;
    blip2_similarity *s;
    size_t queries, width; /* Q, W of the contrast heads */
    float *vectors;        /* [texts, W] of all texts */
    b2_contrast contrast;
    size_t *best; /* [rerank] scratch */
    uint64_t done, total;

    size_t together;        /* B: pictures of a group, encoded in one step */
    blip2_image *known;     /* [s->images] those read so far, by their sums */
    b2_image_source source; /* of those */
    float *rows;            /* [B, Q, W] contrast of a group's pictures */
    float *features;        /* [B, n, Cv] of the vision tower; NULL without a work folder */
    size_t feature_rows, feature_cols;

    b2_work work;
    b2_part group; /* of the group whose features were asked for last */
    size_t group_number;

    b2_request *requests[B2_SIMILARITY_GROUP]; /* those of one call */
    size_t cells[B2_SIMILARITY_GROUP]; /* of the matrix: a text's or picture's index, or a cell */
    size_t count;
} b2_similarity_job;

/* Open options->work, where there is one, and make the pictures' source. */
blip2_status b2_similarity_open_work(b2_similarity_job *j);
void b2_similarity_close_work(b2_similarity_job *j);

/* Open picture `index` of the caller's. */
blip2_status b2_similarity_open_image(b2_similarity_job *j, size_t index, blip2_image **out);

/* Finished parts. read: *found says whether it was there, and is now where it belongs.
 * texts: vectors of texts first .. first + count - 1; images: rows and sums of a group of pictures,
 * whose features stay on disk; matches: scores of cells [count] of the matrix, which must be those
 * of then. */
blip2_status b2_similarity_read_texts(b2_similarity_job *j, size_t first, size_t count,
                                      bool *found);
blip2_status b2_similarity_keep_texts(b2_similarity_job *j, size_t first, size_t count);
blip2_status b2_similarity_read_images(b2_similarity_job *j, size_t first, size_t count,
                                       bool *found);
blip2_status b2_similarity_keep_images(b2_similarity_job *j, size_t first, size_t count);
blip2_status b2_similarity_read_matches(b2_similarity_job *j, const char *kind, size_t number,
                                        const int64_t *cells, size_t count, bool *found);
blip2_status b2_similarity_keep_matches(b2_similarity_job *j, const char *kind, size_t number,
                                        const int64_t *cells, size_t count);

#endif
