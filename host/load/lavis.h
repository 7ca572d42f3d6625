/* LAVIS model folders: .pth files, and a model.json with what LAVIS itself has in code or yaml.
 *
 *   checkpoint          the .pth file                        vit   folder of the vision tower with
 *   bert_vocab          vocabulary of the Q-Former's text          a model.json of its own; absent:
 *   arch                "blip2", "blip2_opt", ... (lavis.c)         the checkpoint holds the tower
 *   hyper               sizes                                 llm   folder of the language model
 *
 * All are in the folder; the folders vit and llm may be beside it ("../NAME"), where several models
 * share them.
 */
#ifndef B2_LAVIS_H
#define B2_LAVIS_H
#include <jansson.h>

#include "load/config.h"
#include "load/weights.h"

typedef struct b2_lavis {
    char *directory;
    char *file; /* directory/model.json, for messages */
    json_t *json;
} b2_lavis;

/* Is there a model.json? */
bool b2_lavis_is_folder(const char *directory);
/* EIO, EFORMAT. */
blip2_status b2_lavis_open(b2_lavis *out, const char *directory);
void b2_lavis_close(b2_lavis *model);

/* The file that model.json names under key, yours to b2_free. EFORMAT if it names none, or one
 * outside the folder. */
blip2_status b2_lavis_path(const b2_lavis *model, const char *key, char **out);

/* The vision tower of `hyper` (of a tower's folder, or vit_inside_checkpoint) for pictures of image
 * x image; ENOTSUP for another tower than EVA's or CLIP's. */
blip2_status b2_lavis_vit_config(const b2_lavis *model, const json_t *hyper, uint32_t image,
                                 b2_vit_config *out);
/* vocab stays 0: as the checkpoint has it. */
blip2_status b2_lavis_qformer_config(const b2_lavis *model, uint32_t vision_width,
                                     b2_qformer_config *out);
/* eps of the LayerNorm behind the vision tower. */
blip2_status b2_lavis_ln_vision_eps(const b2_lavis *model, float *out);

/* A whole model: its configuration and its files (*tower NULL: inside the checkpoint). ENOTSUP for
 * an arch that is not built yet. */
typedef struct b2_lavis_files {
    char *checkpoint, *tower; /* files */
    char *vocabulary;         /* file, where the Q-Former reads text: stage 1, instructions */
    char *language;           /* folder of stage 2: configuration, tokenizer and weights */
    bool language_inside;     /* no, its weights are in the checkpoint */
} b2_lavis_files;             /* yours to free with b2_lavis_files_free */
blip2_status b2_lavis_read(b2_config *out, b2_lavis_files *files, const char *directory);
void b2_lavis_files_free(b2_lavis_files *files);

/* The language model in a folder of its own, as LAVIS joins it to a Q-Former that reads prompts
 * (instructed) or reads none: arch, and what LAVIS changes in it. ENOTSUP for two that it never
 * joins. */
blip2_status b2_lavis_read_language(b2_config *config, const char *folder, bool instructed);

/* Files without a model.json: what their tensors tell, and for the rest what LAVIS has in code. */
typedef struct b2_lavis_sizes {
    uint32_t image;         /* side of a picture; 0: that of the position table */
    uint32_t vit_layers;    /* 0: as the file has them, of an EVA tower at most 39 */
    uint32_t vit_heads;     /* 0: heads of 88 (EVA) or 64 (CLIP) */
    uint32_t qformer_heads; /* 0: heads of 64 */
} b2_lavis_sizes;
/* Everything but the language model. EFORMAT naming the tensor that is missing or does not fit. */
blip2_status b2_lavis_infer(b2_config *out, b2_weights *weights, const b2_lavis_sizes *sizes);

/* The model.json, yours to b2_free, of a model whose tensors are all in one safetensors file or
 * index beside it, named checkpoint, its vocabulary and language model beside it too. original: the
 * model.json that it comes from, whose hyper-parameters are kept, or NULL. */
#define B2_LAVIS_VOCABULARY "bert_vocab.txt"
#define B2_LAVIS_LANGUAGE "language_model"
blip2_status b2_lavis_model_json(char **out, const b2_config *config, const json_t *original,
                                 const char *checkpoint);

#endif
