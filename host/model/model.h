/* A BLIP-2 model: vision tower, Q-Former, projection and language model over one device.
 *
 *   pictures -> pixels -> vit -> features -> qformer -> [B*Q, C] -> projection -> soft [B*Q, E]
 *   [soft; prompt ids] -> language model -> text                                (engine/)
 *
 * InstructBLIP's Q-Former reads the prompt as well, with a tokenizer of its own.
 *
 * Immutable once open. */
#ifndef B2_MODEL_H
#define B2_MODEL_H
#include <stdatomic.h>

#include "load/lavis.h"
#include "model/language.h"
#include "model/qformer.h"
#include "model/stage1.h"
#include "model/vit.h"
#include "text/tokenizer.h"

struct blip2_model {
    b2_config config;
    char *directory;      /* NULL: files named one by one */
    b2_lavis_files files; /* none in a folder of Hugging Face's */
    b2_log log;
    b2_device *device;
    b2_loader loader;    /* owns the weights on the device */
    b2_weights *weights; /* the file maps, which some weights point into */
    b2_tokenizer *tokenizer;
    b2_tokenizer *instructions; /* how the Q-Former reads prompts; NULL: it reads none */
    b2_vit vit;
    b2_qformer qformer;
    b2_stage1 stage1;
    b2_dense projection; /* [E, C] */
    b2_language_model language;
    b2_writer writer;
    b2_sha256 digest;   /* of its small files (digest.h) */
    atomic_flag in_use; /* by an engine: a device serves one thread at a time */
    atomic_uint owners; /* the caller and that engine, which may end after the caller closed both */
};

/* What the checkpoint calls itself, for messages. */
static inline const char *b2_model_name(const blip2_model *model) {
    return model->config.architecture[0] != '\0' ? model->config.architecture
                                                 : model->config.model_type;
}

/* Where it is, for messages. */
static inline const char *b2_model_place(const blip2_model *model) {
    return model->directory != NULL ? model->directory : model->files.checkpoint;
}

/* Where a model is. */
typedef struct b2_model_source {
    const char *directory; /* NULL: LAVIS's files below, as in b2_lavis_files */
    const char *checkpoint, *tower, *vocabulary, *language;
    b2_lavis_sizes sizes;
} b2_model_source;

/* Open the parts that a checkpoint has and check every tensor; make the weights only with `make`.
 * Without a language model (a stage-1 checkpoint) only vision and Q-Former are loaded. */
blip2_status b2_model_load(blip2_model **out, const b2_model_source *source,
                           const blip2_model_options *options, bool make);
/* The folder of the tokenizer that InstructBLIP's Q-Former has, in a folder of Hugging Face's. */
#define B2_INSTRUCTIONS "qformer_tokenizer"
/* The tokenizers that the model has use for, of texts and of what InstructBLIP's Q-Former reads;
 * _load does it with `make` only. */
blip2_status b2_model_open_tokenizer(blip2_model *model);
blip2_status b2_model_open_instructions(blip2_model *model);

#endif
