/* The shapes of released checkpoints, and all tensors of a checkpoint of some shape. */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H
#include "base/arena.h"
#include "load/config.h"
#include "load/safetensors_write.h"

/* "blip2-opt-2.7b", "blip2-opt-6.7b", "blip2-flan-t5-xl", "opt-125m", "tiny", "tiny-t5"; of
 * image-text retrieval "blip2-itm-vit-g" and "tiny-itm"; "instructblip-vicuna-7b",
 * "tiny-instructblip". False: there is no such shape. */
bool bench_shape(const char *name, b2_config *out);

typedef struct bench_tensors {
    b2_tensor_shape *shapes; /* [count] */
    bool *gains;             /* [count] weights of norms, which are about 1 */
    size_t count;
    b2_arena arena; /* all of this */
} bench_tensors;    /* all zero: empty */

/* Tensors of a Hugging Face checkpoint of such a shape, each of `type`. */
blip2_status bench_tensors_list(bench_tensors *out, const b2_config *config, b2_type type);

#endif
