/* Normalisers: a text is rewritten before it is cut into pieces. A tokenizer.json's BertNormalizer
 * and Sequence are taken apart, so that a normaliser is a list of simple steps. */
#ifndef B2_NORMALIZE_H
#define B2_NORMALIZE_H
#include "base/arena.h"
#include "base/text_buffer.h"
#include "load/fields.h"
#include "text/charsmap.h"

/* A piece of text on its way through. `origin`: so many bytes at its front come from the very first
 * character of the input, which is what Metaspace's "first" asks for. */
typedef struct b2_span {
    const char *text; /* [length], valid UTF-8 */
    size_t length, origin;
} b2_span;

typedef enum b2_normalize_step {
    B2_NORMALIZE_CLEAN,       /* no control characters, one kind of white space */
    B2_NORMALIZE_CHINESE,     /* a space on either side of each ideograph */
    B2_NORMALIZE_DECOMPOSE,   /* NFD */
    B2_NORMALIZE_STRIP_MARKS, /* no nonspacing marks */
    B2_NORMALIZE_LOWER,
    B2_NORMALIZE_STRIP,    /* no white space at the ends */
    B2_NORMALIZE_PREPEND,  /* content in front, unless the text is empty */
    B2_NORMALIZE_REPLACE,  /* content for each pattern */
    B2_NORMALIZE_CHARSMAP, /* SentencePiece's table */
} b2_normalize_step;

typedef struct b2_normalizer {
    b2_normalize_step step;
    bool left, right;                      /* STRIP: at which ends */
    bool runs;                             /* REPLACE: two patterns and more in a row, as one */
    const char *pattern, *content;         /* REPLACE, PREPEND */
    size_t pattern_length, content_length; /* bytes; a pattern has some */
    const b2_charsmap *charsmap;
} b2_normalizer;

/* Most steps of a file, and how much longer they may make a text: real ones have at most four steps
 * and a factor below 100. A short file could otherwise ask for any amount of memory. */
enum { B2_NORMALIZE_MAX = 16, B2_NORMALIZE_GROWTH = 4096 };

typedef struct b2_normalizers {
    b2_normalizer list[B2_NORMALIZE_MAX]; /* [count], applied in this order */
    size_t count;
    double growth; /* a text becomes at most so many times longer */
} b2_normalizers;

/* Read the "normalizer" value: null, one or a Sequence. */
blip2_status b2_normalizers_read(b2_normalizers *out, b2_arena *arena, b2_fields *fields,
                                 const json_t *json);

/* Memory that one call after the other uses. Zero-initialise. */
typedef struct b2_normalized {
    b2_text_buffer text;
    size_t origin;
} b2_normalized;

/* *out lies in `in` or in one of the two buffers. */
blip2_status b2_normalize(const b2_normalizers *normalizers, b2_span in, b2_normalized work[2],
                          b2_span *out);

#endif
