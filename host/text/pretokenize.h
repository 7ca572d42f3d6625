/* Pre-tokenisers: a text is cut into pieces, each of which the model encodes by itself. */
#ifndef B2_PRETOKENIZE_H
#define B2_PRETOKENIZE_H
#include "base/text_buffer.h"
#include "load/fields.h"
#include "text/regex.h"

/* Strings one behind the other. Zero-initialise. */
typedef struct b2_pieces {
    b2_text_buffer text;
    size_t *ends; /* [count] end of each piece in text, which starts where the one before ends */
    size_t count, capacity;
    size_t origin; /* of text, as in b2_span */
} b2_pieces;
void b2_pieces_clear(b2_pieces *pieces);
blip2_status b2_pieces_append(b2_pieces *pieces, const char *text, size_t length);
/* The text appended to pieces->text since the last piece becomes a piece, unless it is empty. */
blip2_status b2_pieces_end(b2_pieces *pieces);
void b2_pieces_free(b2_pieces *pieces);

typedef enum b2_pretokenizer_kind {
    B2_PRETOKENIZE_BYTE_LEVEL,  /* split as GPT-2 does, then each byte as a printable character */
    B2_PRETOKENIZE_BERT,        /* split at white space, punctuation by itself */
    B2_PRETOKENIZE_WHITE_SPACE, /* split at white space */
    B2_PRETOKENIZE_METASPACE,   /* spaces are written as U+2581 or the like, and start a piece */
} b2_pretokenizer_kind;

typedef enum b2_prepend {
    B2_PREPEND_ALWAYS,
    B2_PREPEND_FIRST, /* where the text itself starts */
    B2_PREPEND_NEVER,
} b2_prepend;

typedef struct b2_pretokenizer {
    b2_pretokenizer_kind kind;
    bool add_prefix_space; /* BYTE_LEVEL: a piece that does not start with a space gets one */
    bool split;            /* BYTE_LEVEL, METASPACE: false: no split */
    b2_prepend prepend;    /* METASPACE: a piece that does not start with a space gets one */
    char space[5];         /* METASPACE: the character, and a zero */
} b2_pretokenizer;

/* Most of a file. Each one may make a text twice as long. */
enum { B2_PRETOKENIZE_MAX = 8 };

typedef struct b2_pretokenizers {
    b2_pretokenizer list[B2_PRETOKENIZE_MAX]; /* [count], applied in this order; none: one piece */
    size_t count;
    b2_regex word; /* the GPT-2 pattern; compiled when a ByteLevel splits */
} b2_pretokenizers;

/* A Metaspace's options, which the decoder of this name has too. */
blip2_status b2_metaspace_read(b2_pretokenizer *out, b2_fields *fields, const json_t *json);

/* Read the "pre_tokenizer" value (null, one or a Sequence). Close with b2_pretokenizers_free. */
blip2_status b2_pretokenizers_read(b2_pretokenizers *out, b2_fields *fields, const json_t *json);
void b2_pretokenizers_free(b2_pretokenizers *pretokenizers);

/* Pieces of pieces. word: a matcher of `word` where that is compiled; spaced: memory that is
 * reused. Empty pieces are dropped, as in the library. */
blip2_status b2_pretokenize(const b2_pretokenizer *pretokenizer, const b2_matcher *word,
                            const b2_pieces *in, b2_text_buffer *spaced, b2_pieces *out);

#endif
