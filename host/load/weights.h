/* The weights of a checkpoint folder by what they mean, whatever the file calls them.
 *
 * Model code asks for a weight by id and layer and says the shape it must have; one table
 * (names.c) maps ids to the names that Hugging Face and LAVIS files use. Every tensor that was
 * asked for and is missing, and every tensor that nobody asked for, is known at the end.      */
#ifndef B2_WEIGHTS_H
#define B2_WEIGHTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/sha256.h"
#include "base/status.h"
#include "base/type.h"

enum { B2_MAX_RANK = 8 };

typedef struct b2_tensor {
    const char *name; /* in the file, for messages */
    const char *file; /* file name without folders, for messages */
    const void *data; /* row-major, as long as the b2_weights; not aligned beyond a byte */
    b2_type type;     /* only where usable */
    uint32_t rank;
    int64_t dim[B2_MAX_RANK];
    size_t count;          /* elements */
    size_t bytes;          /* of data */
    const char *type_name; /* "F32", "BF16", "I8", ... as safetensors writes it */
    bool
        usable; /* false: a type of the format that no b2_type stands for; good for listings only */
} b2_tensor;

/* What a weight is, with its shape; its names in files are in names.c. Weights with a _W end in
 * ".weight", with a _B in ".bias". */
typedef enum b2_weight_id {
    /* vision tower (EVA, or CLIP's) */
    B2_VIT_CLS,      /* [C] (files: [1, 1, C]) */
    B2_VIT_POS,      /* [1 + g, C] (files: [1, 1 + g, C]) */
    B2_VIT_PATCH_W,  /* [C, 3, P, P] */
    B2_VIT_PATCH_B,  /* [C]; not in a CLIP tower */
    B2_VIT_PRE_LN_W, /* [C], only in a CLIP tower */
    B2_VIT_PRE_LN_B,
    B2_VIT_LN1_W, /* [C] per layer, so are the next ones */
    B2_VIT_LN1_B,
    B2_VIT_QKV_W,  /* [3C, C] */
    B2_VIT_QKV_B,  /* [3C]; LAVIS: joined from q_bias, 0, v_bias */
    B2_VIT_PROJ_W, /* [C, C] */
    B2_VIT_PROJ_B,
    B2_VIT_LN2_W,
    B2_VIT_LN2_B,
    B2_VIT_FC1_W, /* [F, C] */
    B2_VIT_FC1_B,
    B2_VIT_FC2_W, /* [C, F] */
    B2_VIT_FC2_B,
    B2_VIT_POST_LN_W, /* [C] */
    B2_VIT_POST_LN_B,
    /* Q-Former */
    B2_QF_QUERIES,  /* [Q, C] (files: [1, Q, C]) */
    B2_QF_EMB_LN_W, /* [C] */
    B2_QF_EMB_LN_B,
    B2_QF_SELF_Q_W, /* [C, C] per layer, so are the next ones */
    B2_QF_SELF_Q_B,
    B2_QF_SELF_K_W,
    B2_QF_SELF_K_B,
    B2_QF_SELF_V_W,
    B2_QF_SELF_V_B,
    B2_QF_SELF_OUT_W,
    B2_QF_SELF_OUT_B,
    B2_QF_SELF_LN_W,
    B2_QF_SELF_LN_B,
    B2_QF_CROSS_Q_W, /* [C, C], layers with cross-attention only */
    B2_QF_CROSS_Q_B,
    B2_QF_CROSS_K_W, /* [C, vision width] */
    B2_QF_CROSS_K_B,
    B2_QF_CROSS_V_W,
    B2_QF_CROSS_V_B,
    B2_QF_CROSS_OUT_W,
    B2_QF_CROSS_OUT_B,
    B2_QF_CROSS_LN_W,
    B2_QF_CROSS_LN_B,
    B2_QF_QUERY_FC1_W, /* [F, C] feed-forward of query rows */
    B2_QF_QUERY_FC1_B,
    B2_QF_QUERY_FC2_W, /* [C, F] */
    B2_QF_QUERY_FC2_B,
    B2_QF_QUERY_LN_W,
    B2_QF_QUERY_LN_B,
    B2_QF_TEXT_FC1_W, /* [F, C] feed-forward of text rows; with the embeddings: models that read
                         text */
    B2_QF_TEXT_FC1_B,
    B2_QF_TEXT_FC2_W, /* [C, F] */
    B2_QF_TEXT_FC2_B,
    B2_QF_TEXT_LN_W,
    B2_QF_TEXT_LN_B,
    B2_QF_WORDS,     /* [V, C] */
    B2_QF_POSITIONS, /* [positions, C] */
    /* stage 1 */
    B2_QF_HEAD_DENSE_W, /* [C, C] of the head that writes captions; LAVIS only */
    B2_QF_HEAD_DENSE_B,
    B2_QF_HEAD_LN_W, /* [C] */
    B2_QF_HEAD_LN_B,
    B2_QF_HEAD_BIAS,      /* [V] */
    B2_QF_HEAD_DECODER_W, /* the word embeddings once more */
    B2_QF_HEAD_DECODER_B, /* B2_QF_HEAD_BIAS once more */
    B2_ITC_VISION_W,      /* [itc width, C] */
    B2_ITC_VISION_B,
    B2_ITC_TEXT_W, /* [itc width, C] */
    B2_ITC_TEXT_B,
    B2_ITM_W, /* [2, C] */
    B2_ITM_B,
    B2_ITC_TEMPERATURE, /* [], of training */
    /* soft prompt */
    B2_PROJ_W, /* [language width, C] */
    B2_PROJ_B,
    /* OPT */
    B2_OPT_TOKENS,      /* [V, E], E = word_embed_proj_dim */
    B2_OPT_POSITIONS,   /* [positions + 2, C] */
    B2_OPT_PROJECT_IN,  /* [C, E], only where E != C */
    B2_OPT_PROJECT_OUT, /* [E, C] */
    B2_OPT_FINAL_LN_W,  /* [C], pre-LN models */
    B2_OPT_FINAL_LN_B,
    B2_OPT_HEAD_W, /* [V, E]; absent where tied to B2_OPT_TOKENS */
    B2_OPT_Q_W,    /* [C, C] per layer, so are the next ones */
    B2_OPT_Q_B,
    B2_OPT_K_W,
    B2_OPT_K_B,
    B2_OPT_V_W,
    B2_OPT_V_B,
    B2_OPT_OUT_W,
    B2_OPT_OUT_B,
    B2_OPT_ATTN_LN_W,
    B2_OPT_ATTN_LN_B,
    B2_OPT_FC1_W, /* [F, C] */
    B2_OPT_FC1_B,
    B2_OPT_FC2_W, /* [C, F] */
    B2_OPT_FC2_B,
    B2_OPT_MLP_LN_W,
    B2_OPT_MLP_LN_B,
    /* Llama; none has a bias */
    B2_LLAMA_TOKENS,    /* [V, C] */
    B2_LLAMA_NORM,      /* [C] */
    B2_LLAMA_HEAD,      /* [V, C]; absent where tied to B2_LLAMA_TOKENS */
    B2_LLAMA_ATTN_NORM, /* [C] per layer, so are the next ones */
    B2_LLAMA_Q,         /* [H D, C] */
    B2_LLAMA_K,         /* [heads of keys and values * D, C] */
    B2_LLAMA_V,
    B2_LLAMA_OUT,      /* [C, H D] */
    B2_LLAMA_MLP_NORM, /* [C] */
    B2_LLAMA_GATE,     /* [F, C] */
    B2_LLAMA_UP,       /* [F, C] */
    B2_LLAMA_DOWN,     /* [C, F] */
    /* T5, E its encoder and D its decoder; I = heads * head size */
    B2_T5_TOKENS,     /* [V, C] */
    B2_T5_E_TOKENS,   /* the same once more */
    B2_T5_D_TOKENS,   /* likewise */
    B2_T5_HEAD,       /* [V, C]; absent where tied to B2_T5_TOKENS */
    B2_T5_E_BUCKETS,  /* [buckets, H] bias by relative position, in layer 0 for all layers */
    B2_T5_E_FINAL_LN, /* [C] */
    B2_T5_E_LN,       /* [C] per layer, so are the next ones */
    B2_T5_E_Q,        /* [I, C] */
    B2_T5_E_K,
    B2_T5_E_V,
    B2_T5_E_OUT, /* [C, I] */
    B2_T5_E_MLP_LN,
    B2_T5_E_WI,   /* [F, C], models without a gate */
    B2_T5_E_WI_0, /* [F, C], with one: the gate */
    B2_T5_E_WI_1, /* [F, C] */
    B2_T5_E_WO,   /* [C, F] */
    B2_T5_D_BUCKETS,
    B2_T5_D_FINAL_LN,
    B2_T5_D_LN,
    B2_T5_D_Q,
    B2_T5_D_K,
    B2_T5_D_V,
    B2_T5_D_OUT,
    B2_T5_D_CROSS_LN,
    B2_T5_D_CROSS_Q,
    B2_T5_D_CROSS_K,
    B2_T5_D_CROSS_V,
    B2_T5_D_CROSS_OUT,
    B2_T5_D_MLP_LN,
    B2_T5_D_WI,
    B2_T5_D_WI_0,
    B2_T5_D_WI_1,
    B2_T5_D_WO,
    B2_WEIGHT_ID_COUNT
} b2_weight_id;

typedef struct b2_weights b2_weights;

/* Open a folder's tensors: model.safetensors, or model.safetensors.index.json with its shards, or
 * the same as pytorch_model.bin. path may also name a file directly: safetensors, an index, or what
 * torch.save wrote (a LAVIS .pth file); the content tells. EIO if a file cannot be opened, EFORMAT
 * if it is not what it must be. log may be NULL; its callback is used until close. */
blip2_status b2_weights_open(b2_weights **out, const char *path, const b2_log *log);
void b2_weights_close(b2_weights *weights); /* NULL is allowed */

/* Another file whose tensors join those of `weights` (a LAVIS vision tower beside its Q-Former).
 * prefix is put in front of its tensor names ("visual_encoder."), "" for none. EFORMAT if a name is
 * there already; `weights` is as it was after any failure. */
blip2_status b2_weights_join(b2_weights *weights, const char *path, const char *prefix);

/* Is the tensor there? layer is ignored for ids that have none. */
bool b2_weights_has(const b2_weights *weights, b2_weight_id id, uint32_t layer);

/* Hand out a weight of exactly this shape and mark it used. Dimensions of 1 in front, which files
 * add ([1, Q, C]), are ignored. A missing tensor is noted for b2_weights_finish and answered with
 * out->data NULL and BLIP2_OK; a wrong type or shape is EFORMAT at once, with expected and actual
 * shape. A dim of -1 accepts any size. */
blip2_status b2_weights_take(b2_weights *weights, b2_weight_id id, uint32_t layer, uint32_t rank,
                             const int64_t *dims, b2_tensor *out);
/* Mark a tensor used without taking it (a part of the checkpoint this task leaves alone). */
void b2_weights_skip(b2_weights *weights, b2_weight_id id, uint32_t layer);

/* EFORMAT naming the missing tensors that were taken, if any (the first few and the number of the
 * rest; every one goes to the log). Unused tensors go to the log as warnings. */
blip2_status b2_weights_finish(b2_weights *weights);

/* All tensors in file order, for listings. Pointers hold until the next join. */
size_t b2_weights_count(const b2_weights *weights);
const b2_tensor *b2_weights_at(const b2_weights *weights, size_t index);
/* Data of a tensor, or a piece of them, that are not needed soon: their memory may go until they
 * are read again. */
void b2_weights_forget(const b2_weights *weights, const void *data, size_t size);
bool b2_weights_used(const b2_weights *weights, size_t index);  /* taken or skipped */
bool b2_weights_taken(const b2_weights *weights, size_t index); /* part of a model */
/* Any tensor by its name in the file; NULL if there is none. */
const b2_tensor *b2_weights_find(const b2_weights *weights, const char *name);
/* Add what tells these weights from others: every tensor's name, type, shape and a sample of its
 * data, by name. Training changes every number, so the sample (all of a small tensor, 64 pieces of
 * a large one) tells checkpoints apart; a few numbers changed by hand it may miss. */
void b2_weights_digest(const b2_weights *weights, b2_sha256 *sha);

#endif
