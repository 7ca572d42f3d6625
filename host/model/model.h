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
#include "model/language.h"
#include "model/qformer.h"
#include "model/stage1.h"
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
    b2_stage1 stage1;
    b2_dense projection; /* [E, C] */
    b2_language_model language;
    b2_writer writer;
    b2_sha256 digest;   /* of its small files (digest.h) */
    atomic_flag in_use; /* by an engine: a device serves one thread at a time */
};

/* What the checkpoint calls itself, for messages. */
static inline const char *b2_model_name(const blip2_model *model) {
    return model->config.architecture[0] != '\0' ? model->config.architecture
                                                 : model->config.model_type;
}

/* Open the parts that a checkpoint has and check every tensor; make the weights only with `make`.
 * Without a language model (a stage-1 checkpoint) only vision and Q-Former are loaded. */
blip2_status b2_model_load(blip2_model **out, const char *directory,
                           const blip2_model_options *options, bool make);

#endif
