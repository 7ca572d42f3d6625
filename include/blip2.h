/* blip2.h - BLIP-2 inference: pictures in, text out.
 *
 *     blip2_model *model = NULL;
 *     blip2_engine *engine = NULL;
 *     blip2_image *image = NULL;
 *     blip2_result *result = NULL;
 *     blip2_input input = {0};
 *
 *     if (blip2_model_open(&model, "models/demo/caption", NULL) < 0 ||
 *         blip2_engine_open(&engine, model, NULL) < 0 ||
 *         blip2_image_open(&image, "picture.png", NULL) < 0)
 *         goto fail;                                   // blip2_error_message() says why
 *     input.image = image;
 *     if (blip2_generate(engine, &input, 1, NULL, &result) < 0)
 *         goto fail;
 *     puts(blip2_result_text(result, 0));
 *
 * Errors     A function that can fail returns a blip2_status: 0, or a negative code with a one-line
 *            message for people in blip2_error_message(). On failure *out is set to NULL and the
 *            objects passed in are as they were.
 * Ownership  What arrives through `**out` is yours; its _close or _free accepts NULL and cannot
 *            fail. What a getter returns belongs to the object asked (of NULL: 0 or NULL).
 *            Arguments are borrowed for the length of the call; NULL for one that is needed is
 *            BLIP2_EINVAL.
 * Threads    A model never changes once open; one engine at a time works on it. An engine serves
 *            any number of threads, whose requests it runs together, on a thread of its own; it is
 *            closed when none uses it any more. Other objects serve one thread at a time. Error
 *            messages are per thread.
 *            The CPU device's own threads are OpenMP's, which ends the process where the system
 *            refuses to make them: ask for fewer where threads or address space are limited.
 * Callbacks  run on the calling thread, inside the call, and may use its engine: a
 *            blip2_engine_close there is done at the end of the call. Those of submitted jobs run
 *            on the engine's thread and must not wait for it (blip2/submit.h).
 * Options    Call _init(&o, sizeof o), then set fields; 0 means the default given here. NULL: all
 *            defaults. New fields are appended, so older programs keep working.             */
#ifndef BLIP2_H
#define BLIP2_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
#define BLIP2_API __attribute__((visibility("default")))

/* Name, ABI value (append, never renumber), what it means. */
#define BLIP2_STATUS_MAP(X) X(BLIP2_OK, 0, "success") BLIP2_ERROR_MAP(X)
#define BLIP2_ERROR_MAP(X)                                                                         \
    X(BLIP2_EINVAL, -1, "an argument is outside its documented range")                             \
    X(BLIP2_ENOMEM, -2, "out of host memory")                                                      \
    X(BLIP2_EDEVMEM, -3, "out of device memory")                                                   \
    X(BLIP2_EIO, -4, "a file could not be opened, read or written")                                \
    X(BLIP2_EFORMAT, -5, "a file was read and is not what it must be")                             \
    X(BLIP2_ENOTSUP, -6, "this checkpoint, build or device cannot do that")                        \
    X(BLIP2_EDEVICE, -7, "the device failed; only closing is left")                                \
    X(BLIP2_ESTOP, -8, "the caller's callback asked to stop")                                      \
    X(BLIP2_EINTERNAL, -9, "a mistake in this library; please report it")                          \
    X(BLIP2_EBUSY, -10, "too much waits already; try again later")                                 \
    X(BLIP2_ETIMEDOUT, -11, "it was not done by its deadline")

typedef enum blip2_status {
    BLIP2_OK = 0
#define BLIP2_ERROR_ENUM(name, value, text) , name = value
    BLIP2_ERROR_MAP(BLIP2_ERROR_ENUM)
#undef BLIP2_ERROR_ENUM
} blip2_status;

BLIP2_API const char *blip2_status_name(blip2_status status); /* "BLIP2_EIO"; never NULL */
BLIP2_API const char *blip2_status_text(blip2_status status); /* its meaning; never NULL */
BLIP2_API const char *blip2_error_message(void); /* last failure on this thread; never NULL */
BLIP2_API const char *blip2_version(void);       /* "0.1.0" */

typedef struct blip2_model blip2_model;   /* weights on a device, tokenizer; immutable */
typedef struct blip2_engine blip2_engine; /* workspace, KV pages, running requests */
typedef struct blip2_image blip2_image;   /* decoded 8-bit RGB on the host */
typedef struct blip2_result blip2_result; /* what a call generated */

typedef enum blip2_log_level {
    BLIP2_LOG_ERROR = 1,
    BLIP2_LOG_WARNING = 2,
    BLIP2_LOG_INFO = 3,
    BLIP2_LOG_DEBUG = 4
} blip2_log_level;
/* One line without a newline. The library itself never prints. */
typedef void (*blip2_log_fn)(blip2_log_level level, const char *line, void *payload);

/* ---- model ------------------------------------------------------------------------------- */

/* How weights are kept on the device. Arithmetic is fp32 on the CPU whatever is chosen; a GPU keeps
 * what goes with activations of a type in that type (see blip2_compute). */
typedef enum blip2_weight_type {
    BLIP2_WEIGHT_AUTO = 0, /* as stored in the checkpoint */
    BLIP2_WEIGHT_F32 = 1,
    BLIP2_WEIGHT_F16 = 2,
    BLIP2_WEIGHT_BF16 = 3
} blip2_weight_type;

/* Type of the activations of vision tower and language model, and with it of their products. Sums,
 * residual streams, softmax and the Q-Former's activations are fp32 whatever is chosen. */
typedef enum blip2_compute {
    BLIP2_COMPUTE_AUTO = 0, /* F32 on the CPU; F16 on a GPU, BF16 with T5, which refuses F16 */
    BLIP2_COMPUTE_F32 = 1,
    BLIP2_COMPUTE_TF32 = 2, /* F32, but products of 11 bits on tensor cores. GPU only, like: */
    BLIP2_COMPUTE_F16 = 3,
    BLIP2_COMPUTE_BF16 = 4
} blip2_compute;

typedef struct blip2_model_options {
    size_t size;                   /* set by _init */
    const char *device;            /* "auto", "cpu", "cuda", "cuda:N"; default "auto": the first GPU
                                      that works, else the CPU (the log says why) */
    uint32_t threads;              /* CPU threads, at most 1024, cut to four a core; default: all
                                      cores this process may use */
    blip2_weight_type weight_type; /* default AUTO */
    blip2_log_fn log;              /* NULL: no log */
    void *log_payload;
    blip2_log_level log_level; /* most detailed level passed to log; default WARNING */
    /* Loading so far, 0 <= done <= total bytes of weights; non-zero stops (BLIP2_ESTOP). */
    int (*on_progress)(uint64_t done, uint64_t total, void *payload);
    void *progress_payload;
    blip2_compute compute; /* default AUTO */
    /* Pixels of the pictures that the vision tower reads, multiples of its patches: positions are
     * interpolated (transformers' interpolate_pos_encoding). Default: the checkpoint's size; both
     * or none. It is part of the model's digest. */
    uint32_t image_height, image_width;
    /* Non-zero: the bits of an answer do not depend on what else the engine works on, nor on its
     * limits. On a CPU they never do; a GPU gives up speed for it. ENOTSUP at the first product for
     * which cuBLASLt has no algorithm of that kind. docs/architecture.md, "Determinism". */
    int deterministic;
} blip2_model_options;
BLIP2_API void blip2_model_options_init(blip2_model_options *options, size_t size);

/* Load a checkpoint folder: config.json, safetensors (single or sharded) or PyTorch .bin, and the
 * tokenizer's files; or LAVIS's model.json with .pth files. */
BLIP2_API blip2_status blip2_model_open(blip2_model **out, const char *directory,
                                        const blip2_model_options *options);
BLIP2_API void blip2_model_close(blip2_model *model); /* after the last engine on it is closed */

/* Non-zero if the model can do a task: "caption", "vqa", "video" (blip2_generate), "features",
 * "match", "itm", "itc" (blip2_match, and its two scores). 0 for a task that is not known. */
BLIP2_API int blip2_model_can(const blip2_model *model, const char *task);
/* Tells a checkpoint from others, as 64 hexadecimal digits and a zero: SHA-256 of its small files,
 * of all tensors' names and shapes and a sample of their data, and of how pictures are read. */
BLIP2_API blip2_status blip2_model_digest(const blip2_model *model, char hex[65]);
/* What contrast is divided by before a softmax: the checkpoint's, or 0.07 where it has none. */
BLIP2_API float blip2_model_temperature(const blip2_model *model);
/* Tokens that a picture, or each frame of a video, takes in front of a prompt. */
BLIP2_API uint32_t blip2_model_image_tokens(const blip2_model *model);

/* What a checkpoint folder holds, without loading its weights: a JSON object (UTF-8), yours to
 * free with blip2_string_free. Fields: docs/api.md. */
BLIP2_API blip2_status blip2_model_describe(char **out, const char *directory);
BLIP2_API void blip2_string_free(char *string);

#include "blip2/convert.h" /* checkpoints of any form as a folder that opens by mapping */

/* ---- images ------------------------------------------------------------------------------ */

typedef struct blip2_image_options {
    size_t size;            /* set by _init */
    uint64_t max_pixels;    /* width x height; default 178956970, Pillow's bomb limit x 2 */
    uint64_t max_file_size; /* bytes; default 256 MiB */
} blip2_image_options;
BLIP2_API void blip2_image_options_init(blip2_image_options *options, size_t size);

/* PNG or JPEG, told by content; decoded as Pillow's convert("RGB") does. Files that are cut short
 * or break their format are refused, some of which Pillow reads (docs/api.md). */
BLIP2_API blip2_status blip2_image_open(blip2_image **out, const char *path,
                                        const blip2_image_options *options);
BLIP2_API blip2_status blip2_image_from_memory(blip2_image **out, const void *data, size_t size,
                                               const blip2_image_options *options);
/* rgb: 8-bit [height, width, 3], rows row_bytes apart (>= 3*width); copied. */
BLIP2_API blip2_status blip2_image_from_rgb(blip2_image **out, const uint8_t *rgb, uint32_t width,
                                            uint32_t height, size_t row_bytes);
/* A video: count frames (copied) in their order, for blip2_generate with InstructBLIP, which reads
 * each with the prompt; each takes blip2_model_image_tokens of max_tokens. Other calls take
 * pictures only. */
BLIP2_API blip2_status blip2_image_from_frames(blip2_image **out, const blip2_image *const *frames,
                                               size_t count);
BLIP2_API uint32_t blip2_image_width(const blip2_image *image);
BLIP2_API uint32_t blip2_image_height(const blip2_image *image);
BLIP2_API void blip2_image_free(blip2_image *image);

/* ---- generation -------------------------------------------------------------------------- */

typedef struct blip2_engine_options {
    size_t size;                /* set by _init */
    uint32_t max_requests;      /* requests that run together in one step; default 8 */
    uint32_t max_images;        /* pictures encoded together in one step; default 4 */
    uint32_t max_tokens;        /* longest soft prompt + prompt + answer of one request, less the
                                   answer's last token; default 256 or what the language model can, if
                                   less */
    uint64_t max_kv_bytes;      /* memory for keys and values; default: max_requests x max_tokens */
    uint64_t image_cache_bytes; /* memory for pictures that are kept encoded, told by content; at
                                   least max_requests pictures are; default 64 MiB */
    uint32_t max_waiting;       /* requests of submitted jobs (blip2/submit.h) that may wait for
                                   others to finish, more are refused as busy; default 1024 */
    uint32_t max_frames;        /* the default of max_tokens has room for a video of so many frames;
                                   default 1 */
    uint32_t decode_steps; /* while texts are written, steps that go on with them between two that
                              encode pictures; default 1. More: steadier texts, later first words */
} blip2_engine_options;
BLIP2_API void blip2_engine_options_init(blip2_engine_options *options, size_t size);

/* Allocates everything that later calls need on the device. The model must outlive the engine; it
 * serves one engine at a time (EINVAL for a second one). */
BLIP2_API blip2_status blip2_engine_open(blip2_engine **out, blip2_model *model,
                                         const blip2_engine_options *options);
BLIP2_API void blip2_engine_close(blip2_engine *engine);

typedef struct blip2_input {
    const blip2_image *image; /* not NULL */
    const char *prompt;       /* UTF-8; NULL or "": caption without a prompt, which is all that
                                 the Q-Former of stage 1 can write */
} blip2_input;

#include "blip2/generate.h"

/* ---- stage 1: features, matching, contrast ------------------------------------------------ */

/* A caption or a question as LAVIS rewrites it before a model reads it (its processors blip_caption
 * and blip_question, 50 words): yours to free with blip2_string_free. The calls below read texts as
 * they are. */
BLIP2_API blip2_status blip2_clean_caption(char **out, const char *caption);
BLIP2_API blip2_status blip2_clean_question(char **out, const char *question);

/* What features are of. */
typedef enum blip2_mode {
    BLIP2_MODE_IMAGE = 0,     /* the picture: the Q-Former's queries read it */
    BLIP2_MODE_TEXT = 1,      /* the text alone */
    BLIP2_MODE_MULTIMODAL = 2 /* the picture read with the text in mind */
} blip2_mode;

typedef struct blip2_features blip2_features; /* matrices, one or two an input */

typedef struct blip2_features_options {
    size_t size;              /* set by _init */
    blip2_mode mode;          /* default IMAGE */
    uint32_t max_text_tokens; /* longer texts are cut; default: the Q-Former's positions */
} blip2_features_options;
BLIP2_API void blip2_features_options_init(blip2_features_options *options, size_t size);

/* Features of count inputs (image, and as prompt the text, as the mode needs them), as LAVIS's
 * extract_features gives them. ENOTSUP: the checkpoint's Q-Former reads no text. */
BLIP2_API blip2_status blip2_features_extract(blip2_engine *engine, const blip2_input *inputs,
                                              size_t count, const blip2_features_options *options,
                                              blip2_features **out);
BLIP2_API size_t blip2_features_count(const blip2_features *features);
/* Last hidden states [*rows, *cols] of one input: IMAGE and MULTIMODAL a row a query, TEXT a row a
 * token. NULL if index is out of range. */
BLIP2_API const float *blip2_features_hidden(const blip2_features *features, size_t index,
                                             size_t *rows, size_t *cols);
/* The same rows projected and of unit length, to compare pictures (every row) with texts (row 0).
 * NULL in MULTIMODAL mode, or if the checkpoint has no contrast heads. */
BLIP2_API const float *blip2_features_projected(const blip2_features *features, size_t index,
                                                size_t *rows, size_t *cols);
BLIP2_API void blip2_features_free(blip2_features *features);

typedef struct blip2_match_score {
    float itm_logits[2];   /* image-text matching: no, yes; mean over the queries */
    float itm_probability; /* of yes */
    float itc;             /* image-text contrast: cosine of the text and the best query */
} blip2_match_score;

typedef struct blip2_match_options {
    size_t size;        /* set by _init */
    int no_itm, no_itc; /* non-zero: leave it out (0 in the score). A checkpoint without one of
                           the two heads leaves it out too */
    uint32_t max_text_tokens; /* longer texts are cut; default 32, as LAVIS has it */
} blip2_match_options;
BLIP2_API void blip2_match_options_init(blip2_match_options *options, size_t size);

/* How well pictures and texts (pairs[i].image, pairs[i].prompt) match. A picture is encoded once,
 * however many pairs it is in. ENOTSUP: the checkpoint has neither head. */
BLIP2_API blip2_status blip2_match(blip2_engine *engine, const blip2_input *pairs, size_t count,
                                   const blip2_match_options *options, blip2_match_score *scores);

/* A row of blip2_similarity: the texts of a picture, or the pictures of a text. */
typedef enum blip2_direction {
    BLIP2_TEXTS_OF_IMAGE = 0, /* a row a picture, a column a text */
    BLIP2_IMAGES_OF_TEXT = 1  /* a row a text, a column a picture */
} blip2_direction;

/* Every picture with every text, for retrieval. */
typedef struct blip2_similarity blip2_similarity;

typedef struct blip2_similarity_options {
    size_t size;              /* set by _init */
    uint32_t rerank;          /* so many of each row, best by contrast, are matched too; default
                                 128, as LAVIS has it for COCO and Flickr (k_test) */
    int no_itm;               /* non-zero: contrast only */
    int only_texts_of_image;  /* non-zero: match the best of these rows only */
    int only_images_of_text;  /* likewise */
    uint32_t max_text_tokens; /* longer texts are cut; default 35, as LAVIS has it here */
    /* Work so far, of a total that is not exceeded; non-zero stops (BLIP2_ESTOP). */
    int (*on_progress)(uint64_t done, uint64_t total, void *payload);
    void *payload;
    /* Instead of images, NULL then: opens picture `index`, which the call frees, when it is needed.
     * A few are held at a time. Once more only when it has left the engine's image cache: then on
     * the engine's thread, where it must not use the engine. */
    blip2_status (*open_image)(size_t index, blip2_image **out, void *payload);
    /* A folder, made if it is not there, that keeps what is finished (docs/api.md): the same call
     * goes on from it after a stop or the end of the process. NULL: nothing is kept. */
    const char *work;
    const char *work_inputs; /* with open_image: a text that tells these pictures from others */
} blip2_similarity_options;
BLIP2_API void blip2_similarity_options_init(blip2_similarity_options *options, size_t size);

/* LAVIS's compute_sim_matrix: contrast of all pairs, then matching of the best of every row, each
 * pair once. The vision tower runs once a picture; again only for pictures of texts that have left
 * the engine's image cache. ENOTSUP: the checkpoint lacks a head that is needed. */
BLIP2_API blip2_status blip2_similarity_compute(blip2_engine *engine,
                                                const blip2_image *const *images,
                                                size_t image_count, const char *const *texts,
                                                size_t text_count,
                                                const blip2_similarity_options *options,
                                                blip2_similarity **out);
BLIP2_API size_t blip2_similarity_images(const blip2_similarity *similarity);
BLIP2_API size_t blip2_similarity_texts(const blip2_similarity *similarity);
/* Contrast [images, texts]: cosine of the text and the picture's best query. */
BLIP2_API const float *blip2_similarity_itc(const blip2_similarity *similarity);
/* One row of LAVIS's matrices into scores [columns]: logit of a match + contrast where the row was
 * matched, -100 elsewhere. EINVAL: no such row. */
BLIP2_API blip2_status blip2_similarity_scores(const blip2_similarity *similarity,
                                               blip2_direction direction, size_t row,
                                               float *scores);
/* The columns of a row, best first, at most `most` of them into order; their number. Those that
 * were matched come first, by score; the others follow by contrast. 0 if there is no such row or no
 * memory. */
BLIP2_API size_t blip2_similarity_best(const blip2_similarity *similarity,
                                       blip2_direction direction, size_t row, size_t most,
                                       size_t *order);
BLIP2_API void blip2_similarity_free(blip2_similarity *similarity);

/* Losses of stage 1's training, of count pairs as one batch, without dropout. */
typedef struct blip2_losses {
    double itc; /* image-text contrast, mean of both directions */
    double itm; /* image-text matching, of the pairs and of each one's two hard negatives */
    double itg; /* image-grounded text generation: the texts as captions. LAVIS's loss_lm */
} blip2_losses;

typedef struct blip2_losses_options {
    size_t size;              /* set by _init */
    float temperature;        /* of the contrast; default: the checkpoint's, or else 0.07 */
    float label_smoothing;    /* below 1, of itc and itg; default 0.1; negative: none */
    uint32_t max_text_tokens; /* longer texts are cut; default 32 */
    const int64_t *image_ids; /* [count]: equal ids mean the same picture; NULL: all are others */
    /* Hard negatives [count], by their pair's number; NULL: drawn by the weights below, by seed. */
    const size_t *negative_images; /* of text i */
    const size_t *negative_texts;  /* of image i */
    uint64_t seed;
    /* [count, count] if not NULL, are set: how likely image j is drawn for text i, and text j for
     * image i. */
    float *image_weights, *text_weights;
} blip2_losses_options;
BLIP2_API void blip2_losses_options_init(blip2_losses_options *options, size_t size);

/* ENOTSUP: the checkpoint lacks a head, of LAVIS's stage 1 all are there. EINVAL: less than two
 * different pictures, or a negative that is none. */
BLIP2_API blip2_status blip2_losses_compute(blip2_engine *engine, const blip2_input *pairs,
                                            size_t count, const blip2_losses_options *options,
                                            blip2_losses *out);

#ifdef __cplusplus
}
#endif
#include "blip2/explain.h"    /* where the Q-Former looks in a picture */
#include "blip2/index.h"      /* a big gallery, searched by text or picture */
#include "blip2/likelihood.h" /* how likely given texts are */
#include "blip2/stats.h"      /* what an engine has done, and holds */
#include "blip2/submit.h"     /* many requests at once, answered later */

#include "blip2/pool.h" /* several engines under one front; has jobs of submit.h */
#endif
