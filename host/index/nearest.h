/* Approximate nearest neighbours among unit vectors: a graph (HNSW) of faiss where this build has
 * it. The interface is C; nearest_faiss.cpp stands behind it, or nearest_none.c. */
#ifndef B2_INDEX_NEAREST_H
#define B2_INDEX_NEAREST_H
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef struct b2_nearest b2_nearest;

/* Over vectors [count, width], which are copied. ENOTSUP: there is no faiss. ENOMEM. */
blip2_status b2_nearest_open(b2_nearest **out, size_t width, uint32_t threads);
/* count more vectors; their numbers go on from those before. */
blip2_status b2_nearest_add(b2_nearest *nearest, const float *vectors, size_t count);
/* The numbers of about the `most` nearest of vector [width] by inner product into out [most]; -1
 * where there are fewer. */
blip2_status b2_nearest_find(const b2_nearest *nearest, const float *vector, size_t most,
                             int64_t *out);
void b2_nearest_close(b2_nearest *nearest); /* NULL is allowed */

#ifdef __cplusplus
}
#endif
#endif
