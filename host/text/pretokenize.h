/* Pre-tokenisers: a text is cut into pieces, each of which the model encodes by itself. */
#ifndef B2_PRETOKENIZE_H
#define B2_PRETOKENIZE_H
#include "base/arena.h"
#include "base/text_buffer.h"
#include "load/fields.h"
#include "text/regex.h"

/* Strings one behind the other. Zero-initialise. */
typedef struct b2_pieces {
    b2_text_buffer text;
    size_t *ends; /* [count] end of each piece in text, which starts where the one before ends */
    size_t count, capacity;
} b2_pieces;
void b2_pieces_clear(b2_pieces *pieces);
blip2_status b2_pieces_append(b2_pieces *pieces, const char *text, size_t length);
void b2_pieces_free(b2_pieces *pieces);

/* ByteLevel, the one kind there is so far: split as GPT-2 does, then write each byte as a printable
 * character of its own. */
typedef struct b2_pretokenizer {
    bool add_prefix_space; /* a piece that does not start with a space gets one */
    bool use_regex;        /* false: no split */
} b2_pretokenizer;

typedef struct b2_pretokenizers {
    b2_pretokenizer *list; /* [count], applied in this order; none: a text is one piece */
    size_t count;
    b2_regex word; /* the GPT-2 pattern */
} b2_pretokenizers;

/* Read the "pre_tokenizer" value (null, one or a Sequence). Close with b2_pretokenizers_free. */
blip2_status b2_pretokenizers_read(b2_pretokenizers *out, b2_arena *arena, b2_fields *fields,
                                   const json_t *json);
void b2_pretokenizers_free(b2_pretokenizers *pretokenizers);

/* Pieces of pieces. split: a matcher of `word`; spaced: memory that is reused. Empty pieces are
 * dropped, as in the library. */
blip2_status b2_pretokenize(const b2_pretokenizer *pretokenizer, const b2_matcher *split,
                            const b2_pieces *in, b2_text_buffer *spaced, b2_pieces *out);

#endif
