/* Image-text contrast. One pair on the host; a picture with all texts of a job on the device, where
 * the texts' vectors are the weight of a GEMM. COCO's 5,000 pictures and 25,000 texts are 2 TFLOP.
 */
#ifndef B2_CONTRAST_H
#define B2_CONTRAST_H
#include "device.h"
#include "engine/score.h"

/* The best of the picture's rows for the text, in double. Both have vectors of W numbers. */
double b2_contrast_of(const b2_score *image, const b2_score *text, size_t width);

enum { B2_CONTRAST_TEXTS = 64 }; /* that are read together */

/* The vectors [count, W] of at most B2_CONTRAST_TEXTS texts. */
blip2_status b2_contrast_texts(blip2_engine *engine, const char *const *texts, size_t count,
                               uint32_t max_tokens, float *vectors);

typedef struct b2_contrast {
    b2_device *device;
    b2_weight *texts;            /* [T, W] */
    void *memory;                /* behind the three below */
    b2_mat rows, products, best; /* [B*Q, W], [B*Q, T], [B, T] */
    size_t queries;              /* Q */
} b2_contrast;

/* vectors: host [texts, width], which stay as they are until close; not none. images: B, how many
 * are compared together at most. ENOMEM, EDEVMEM. */
blip2_status b2_contrast_open(b2_contrast *out, b2_device *device, const float *vectors,
                              size_t texts, size_t width, size_t queries, size_t images);
void b2_contrast_close(b2_contrast *contrast); /* all zero is allowed */

/* out: host [T], of the picture with rows: host [Q, W]. */
blip2_status b2_contrast_run(b2_contrast *contrast, const float *rows, float *out);
/* out: host [images, T], of pictures whose vectors are in device memory: rows [images*Q, W], images
 * at most B. On the CPU every score has the same bits whichever texts and pictures are beside it.
 */
blip2_status b2_contrast_of_rows(b2_contrast *contrast, b2_mat rows, float *out);

#endif
