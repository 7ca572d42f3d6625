/* Image-text contrast. One pair on the host; a picture with all texts of a job on the device, where
 * the texts' vectors are the weight of a GEMM. COCO's 5,000 pictures and 25,000 texts are 2 TFLOP.
 */
#ifndef B2_CONTRAST_H
#define B2_CONTRAST_H
#include "device.h"
#include "engine/score.h"

/* The best of the picture's rows for the text, in double. Both have vectors of W numbers. */
double b2_contrast_of(const b2_score *image, const b2_score *text, size_t width);

typedef struct b2_contrast {
    b2_device *device;
    b2_weight *texts;            /* [T, W] */
    void *memory;                /* behind the three below */
    b2_mat rows, products, best; /* [Q, W], [Q, T], [1, T] */
} b2_contrast;

/* vectors: host [texts, width], which stay as they are until close; not none. ENOMEM, EDEVMEM. */
blip2_status b2_contrast_open(b2_contrast *out, b2_device *device, const float *vectors,
                              size_t texts, size_t width, size_t queries);
void b2_contrast_close(b2_contrast *contrast); /* all zero is allowed */

/* out: host [T], of the picture with rows: host [Q, W]. */
blip2_status b2_contrast_run(b2_contrast *contrast, const float *rows, float *out);

#endif
