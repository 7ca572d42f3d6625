/* A BLIP-2 model: vision tower, Q-Former, projection and language model over one device.
 *
 *   pictures -> pixels -> vit -> features -> qformer -> [B*Q, C] -> projection -> soft [B*Q, E]
 *   [soft; prompt ids] -> language model -> text                                (engine/)
 *
 * Immutable once open. */
#ifndef B2_MODEL_H
#define B2_MODEL_H
#include <stdatomic.h>

#include "load/config.h"
#include "model/opt.h"
#include "model/qformer.h"
#include "model/vit.h"
#include "text/tokenizer.h"

struct blip2_model {
    b2_config config;
    b2_log log;
    b2_device *device;
    b2_loader loader;    /* owns the weights on the device */
    b2_weights *weights; /* the file maps, which some weights point into */
    b2_tokenizer *tokenizer;
    b2_vit vit;
    b2_qformer qformer;
    b2_dense projection; /* [E, C] */
    b2_opt opt;
    atomic_flag in_use; /* by an engine: a device serves one thread at a time */
};

/* Open the parts that a checkpoint has and check every tensor; make the weights only with `make`.
 * Without a language model (a stage-1 checkpoint) only vision and Q-Former are loaded. */
blip2_status b2_model_load(blip2_model **out, const char *directory,
                           const blip2_model_options *options, bool make);

/* Workspace to turn up to `images` pictures into soft prompts. */
typedef struct b2_encode_space {
    float *pixels; /* [B, 3, S, S] */
    b2_vit_space vit;
    b2_mat cross_kv; /* [B*n, ..] what the Q-Former reads of the pictures */
    b2_qformer_space qformer;
    b2_qformer_pack pack;
    b2_mat soft; /* [B*Q, E] */
    uint32_t images;
} b2_encode_space;
void b2_encode_carve(b2_encode_space *out, b2_carver *carver, const blip2_model *model,
                     uint32_t images);
/* Host memory and constant arrays, after carving. */
blip2_status b2_encode_prepare(const blip2_model *model, b2_encode_space *space);
void b2_encode_free(b2_encode_space *space);

/* Preprocess image number `index` of the batch into space->pixels. */
blip2_status b2_encode_pixels(const blip2_model *model, const b2_encode_space *space,
                              uint32_t index, const blip2_image *image);
/* Soft prompts of the pictures whose pixels are there: *soft [images * Q, E], in the workspace. */
blip2_status b2_encode_run(const blip2_model *model, const b2_run *run, b2_encode_space *space,
                           uint32_t images, b2_mat *soft);

#endif
