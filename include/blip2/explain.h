/* blip2/explain.h - where the Q-Former looks in a picture; part of blip2.h, which includes it. */
#ifndef BLIP2_EXPLAIN_H
#define BLIP2_EXPLAIN_H
#ifndef BLIP2_H
#error "include blip2.h"
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* What a heat map shows. The formulas: docs/model.md. */
typedef enum blip2_map {
    BLIP2_MAP_AUTO = 0, /* CONTRAST for a text where the checkpoint has contrast heads and options
                           ask for no caption; else MEAN */
    BLIP2_MAP_MEAN = 1, /* cross-attention of the queries, mean over heads, layers, queries */
    BLIP2_MAP_CONTRAST = 2 /* the same, times how likely the text is said of each patch */
} blip2_map;

typedef struct blip2_explain_options {
    size_t size;              /* set by _init */
    blip2_map map;            /* default AUTO */
    uint32_t layer;           /* only this one of the layers with cross-attention, from 1; default:
                                 all of them */
    uint32_t query;           /* only this learned query, from 1; default: all */
    int caption;              /* non-zero: the text as a caption, token by token (ITG), instead of
                                 with the picture as matching reads it (ITM) */
    uint32_t max_text_tokens; /* longer texts are cut; default 32 */
} blip2_explain_options;
BLIP2_API void blip2_explain_options_init(blip2_explain_options *options, size_t size);

typedef struct blip2_explanation blip2_explanation; /* heat maps of one picture */

/* Where the queries look in input->image for the text input->prompt, or, if that is NULL, without
 * one. CONTRAST reads the picture once more for each patch. EINVAL: an empty text, no such layer or
 * query. ENOTSUP: the Q-Former reads no text, or lacks the head for what is asked. */
BLIP2_API blip2_status blip2_explain(blip2_engine *engine, const blip2_input *input,
                                     const blip2_explain_options *options, blip2_explanation **out);
/* Heat [*rows, *cols] of the picture's patches, none below 0, from the upper left corner on. MEAN:
 * shares of attention; what the class token got is missing to 1. CONTRAST: sums to 1. */
BLIP2_API const float *blip2_explanation_map(const blip2_explanation *explanation, size_t *rows,
                                             size_t *cols);
/* Of a caption: tokens between start and end, what they say, and the heat of each: the attention of
 * its row over the queries, times theirs over the patches. NULL: there is no such token. */
BLIP2_API size_t blip2_explanation_tokens(const blip2_explanation *explanation);
BLIP2_API const char *blip2_explanation_token(const blip2_explanation *explanation, size_t index);
BLIP2_API const float *blip2_explanation_token_map(const blip2_explanation *explanation,
                                                   size_t index, size_t *rows, size_t *cols);
BLIP2_API void blip2_explanation_free(blip2_explanation *explanation);

/* rgb: 8-bit [height, width, 3] of the image's own size, is set to the image under a map [rows,
 * cols], which is scaled so that its peak is the brightest colour. */
BLIP2_API blip2_status blip2_paint_heat(const blip2_image *image, const float *map, size_t rows,
                                        size_t cols, uint8_t *rgb);

#ifdef __cplusplus
}
#endif
#endif
