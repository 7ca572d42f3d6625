/* blip2/convert.h - one folder of safetensors from any checkpoint that opens; part of blip2.h,
 * which includes it. */
#ifndef BLIP2_CONVERT_H
#define BLIP2_CONVERT_H
#ifndef BLIP2_H
#error "include blip2.h"
#endif

typedef struct blip2_convert_options {
    size_t size; /* set by _init */

    /* LAVIS's files, where no folder has a model.json that names them (directory is NULL then) */
    const char *checkpoint;     /* .pth of the Q-Former and what it was trained with */
    const char *vit;            /* .pth of the vision tower; NULL: the checkpoint has it */
    const char *vocabulary;     /* BERT's vocab.txt; stage 1 and InstructBLIP need it */
    const char *language_model; /* folder of OPT, T5 or Vicuna (Hugging Face); NULL: stage 1 */
    uint32_t image;             /* side of a picture; default: that of the position table */
    uint32_t vit_layers;        /* default: as the file has them, of an EVA tower at most 39 */
    uint32_t vit_heads;         /* default: heads of 88 (EVA) or 64 (CLIP) */
    uint32_t qformer_heads;     /* default: heads of 64 */

    blip2_weight_type weight_type; /* of matrices and tables; vectors stay as stored. AUTO: as
                                      stored, all of them */
    uint64_t shard_bytes;          /* most data in a file; default 5,000,000,000 */
    blip2_log_fn log;              /* optional; warnings name the tensors that are left out */
    void *log_payload;
    int (*on_progress)(uint64_t done, uint64_t total, void *payload); /* bytes; optional; non-zero
                                                                        stops with BLIP2_ESTOP */
    void *progress_payload;
} blip2_convert_options;
BLIP2_API void blip2_convert_options_init(blip2_convert_options *options, size_t size);

/* Write the checkpoint in `directory` (or that of the files in options, with NULL) as a new folder
 * `out`: what the model uses of its tensors, its configuration and its tokenizer. Opened, `out`
 * gives the same results bit for bit where weight_type is AUTO. `out` must not exist, or be an
 * empty folder (BLIP2_EIO); it appears when it is complete, after a failure it is as it was. A
 * number that weight_type cannot hold is BLIP2_EFORMAT. */
BLIP2_API blip2_status blip2_convert(const char *directory, const char *out,
                                     const blip2_convert_options *options);

#endif
