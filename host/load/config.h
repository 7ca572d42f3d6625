/* config.json (and the image processor's file beside it) as one struct, with the defaults that
 * transformers has where a file is silent (docs/model.md). */
#ifndef B2_CONFIG_H
#define B2_CONFIG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/status.h"
#include "device.h"

typedef enum b2_language {
    B2_LANGUAGE_NONE,
    B2_LANGUAGE_OPT,
    B2_LANGUAGE_T5,
    B2_LANGUAGE_LLAMA
} b2_language;

typedef struct b2_vit_config {
    uint32_t width;        /* C, 1408 */
    uint32_t layers;       /* L, 39 */
    uint32_t heads;        /* H, 16 */
    uint32_t ffn;          /* F, 6144 */
    uint32_t image;        /* side in pixels, 224; of the checkpoint's pictures */
    uint32_t patch;        /* P, 14 */
    b2_activation act;     /* GELU */
    float block_eps;       /* 1e-6 */
    float post_eps;        /* Hugging Face: as block_eps; LAVIS: 1e-5 */
    bool clip;             /* CLIP's tower: a norm in front of the blocks, no bias of patches */
    bool resize_positions; /* LAVIS: a position table for another picture size is interpolated;
                              false: it is refused, as transformers does */
    uint32_t image_height, image_width; /* of the pictures that are read, where another size is
                                           asked for (b2_config_set_image_size); 0: image */
} b2_vit_config;

static inline uint32_t b2_vit_height(const b2_vit_config *vit) {
    return vit->image_height != 0 ? vit->image_height : vit->image;
}
static inline uint32_t b2_vit_width(const b2_vit_config *vit) {
    return vit->image_width != 0 ? vit->image_width : vit->image;
}
/* Patches from top to bottom, and from left to right. */
static inline uint32_t b2_vit_rows(const b2_vit_config *vit) {
    return b2_vit_height(vit) / vit->patch;
}
static inline uint32_t b2_vit_cols(const b2_vit_config *vit) {
    return b2_vit_width(vit) / vit->patch;
}

typedef struct b2_qformer_config {
    uint32_t queries;      /* Q, 32 */
    uint32_t width;        /* C, 768 */
    uint32_t layers;       /* L, 12 */
    uint32_t heads;        /* H, 12 */
    uint32_t ffn;          /* F, 3072 */
    uint32_t vocab;        /* V, 30522; 30523 with [DEC] */
    uint32_t positions;    /* 512 */
    uint32_t cross_every;  /* cross-attention in layers with layer % cross_every == 0; 2 */
    uint32_t vision_width; /* width of the image features: the vision tower's, always */
    b2_activation act;     /* GELU */
    float eps;             /* 1e-12 */
    bool text_input;       /* use_qformer_text_input; false */
} b2_qformer_config;

typedef struct b2_opt_config {
    uint32_t vocab;     /* V, 50272 */
    uint32_t width;     /* C, 768 */
    uint32_t layers;    /* L, 12 */
    uint32_t heads;     /* H, 12 */
    uint32_t ffn;       /* F, 3072 */
    uint32_t positions; /* 2048 (the table has 2 more rows) */
    uint32_t embed;     /* E, word_embed_proj_dim; C */
    b2_activation act;  /* RELU */
    float eps;          /* 1e-5 */
    bool pre_norm;      /* do_layer_norm_before; true */
} b2_opt_config;

typedef struct b2_t5_config {
    uint32_t vocab;                  /* V, 32128 */
    uint32_t width;                  /* C, d_model; 512 */
    uint32_t heads;                  /* H, 8 */
    uint32_t head_size;              /* D, d_kv; 64. H * D need not be C */
    uint32_t ffn;                    /* F, d_ff; 2048 */
    uint32_t layers, decoder_layers; /* of the encoder, 6; of the decoder, as many */
    uint32_t buckets, max_distance;  /* of relative positions; 32, 128 */
    b2_activation act;               /* feed_forward_proj, dense_act_fn; RELU */
    bool gated;                      /* likewise; false */
    bool scaled_head;                /* logits are scaled by C^-0.5; unless tie_word_embeddings is
                                        false, or as scale_decoder_outputs says */
    float eps;                       /* 1e-6 */
    int32_t start;                   /* decoder_start_token_id; bos, else pad */
} b2_t5_config;

typedef struct b2_llama_config {
    uint32_t vocab;     /* V, 32000 */
    uint32_t width;     /* C, 4096 */
    uint32_t layers;    /* L, 32 */
    uint32_t heads;     /* H, 32 */
    uint32_t kv_heads;  /* of keys and values: H, or a divisor of it that groups of heads share */
    uint32_t head_size; /* D, C / H */
    uint32_t ffn;       /* F, 11008 */
    uint32_t positions; /* 2048 */
    b2_activation act;  /* SILU */
    float eps;          /* 1e-6 */
    float rope_theta;   /* 10000 */
    float rope_factor;  /* linear scaling: angles are divided by it; 1 */
    bool tied;          /* the head is the token embedding; false */
    uint32_t added;     /* the last so many words have no rows in the file, which stand for zeros;
                           LAVIS's [PAD]: 1, else 0 */
} b2_llama_config;

typedef struct b2_image_config {
    uint32_t width, height; /* 224; what the processor resizes to */
    float mean[3], std[3];  /* CLIP's */
} b2_image_config;

enum { B2_MAX_STOP_IDS = 8 };

typedef struct b2_config {
    char model_type[32];   /* "blip-2" */
    char architecture[64]; /* architectures[0], "" if absent */
    b2_vit_config vit;
    b2_qformer_config qformer;
    b2_language language;  /* NONE for Blip2ForImageTextRetrieval */
    b2_opt_config opt;     /* when language is OPT */
    b2_t5_config t5;       /* when it is T5 */
    b2_llama_config llama; /* when it is LLAMA */
    bool instructed;       /* InstructBLIP: the Q-Former reads the prompt as well */
    uint32_t instruction;  /* LAVIS's max_txt_len, 128: where its rules hold, longer prompts are cut
                              on the left for the Q-Former. Hugging Face has no such limit */
    uint32_t prompt; /* LAVIS's max_txt_len of OPT, 32: where its rules hold, longer prompts are
                        cut on the right */
    b2_image_config image;
    int32_t image_token;               /* image_token_index; -1: none */
    int32_t bos, pad;                  /* of text_config; OPT: 2, 1 */
    int32_t stop_ids[B2_MAX_STOP_IDS]; /* text_config.eos_token_id (a number or a list) */
    uint32_t stop_count;
    uint32_t itc_width; /* image_text_hidden_size; 256 */
} b2_config;

/* Read directory/config.json and, where present, processor_config.json / preprocessor_config.json.
 * EIO if config.json cannot be read, EFORMAT (file and field, expected against actual) if a value
 * has the wrong type or range (zero or huge sizes, width not a multiple of heads, image not a
 * multiple of patch, NaN), ENOTSUP for what is well-formed but not BLIP-2 or not built yet. */
blip2_status b2_config_read(b2_config *out, const char *directory, const b2_log *log);

/* The language model's part of *config from directory/config.json, a folder of that model alone. */
blip2_status b2_config_read_language_file(b2_config *config, const char *directory);

/* Have the vision tower read pictures of this size, by interpolated positions. 0 and 0: the
 * checkpoint's. EINVAL: no multiples of the patch, too many patches, or only one of them. */
blip2_status b2_config_set_image_size(b2_config *config, uint32_t height, uint32_t width);

/* The defaults of a config.json that says nothing. */
void b2_config_default(b2_config *out);

/* config.json from memory, with the picture size of the vision tower and CLIP's mean and std. name:
 * for messages. *out is all zero on failure. */
blip2_status b2_config_parse(b2_config *out, const char *json, size_t size, const char *name);
/* The image processor's file from memory on top of that: preprocessor_config.json, or a
 * processor_config.json with the same under "image_processor" (one without it changes nothing and
 * gives *found false). config is unchanged on failure. */
blip2_status b2_config_parse_processor(b2_config *config, const char *json, size_t size,
                                       const char *name, bool *found);

#endif
