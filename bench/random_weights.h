/* Weights drawn at random, fast enough to fill a disk and the same for everyone with the same
 * seed: each element is picked from a table of normal values by a hash of its tensor's name and its
 * place, so that any piece can be made on its own. */
#ifndef BENCH_RANDOM_WEIGHTS_H
#define BENCH_RANDOM_WEIGHTS_H
#include "shapes.h"

enum { RANDOM_TABLE = 1 << 16 };

typedef struct random_weights {
    const bench_tensors *tensors; /* borrowed */
    uint64_t seed;
    void *values; /* [RANDOM_TABLE] normal(0, 0.02), in the tensors' type */
    void *gains;  /* [RANDOM_TABLE] 1 + normal(0, 0.02) */
} random_weights;

blip2_status random_weights_init(random_weights *out, const bench_tensors *tensors, b2_type type,
                                 uint64_t seed);
void random_weights_free(random_weights *random);

/* A b2_tensor_fill; payload: random_weights. */
blip2_status random_weights_fill(void *payload, size_t index, size_t first, size_t count,
                                 void *data);

#endif
