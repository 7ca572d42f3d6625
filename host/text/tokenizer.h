/* Text to token ids and back, as the `tokenizers` library does it from a tokenizer.json. */
#ifndef B2_TOKENIZER_H
#define B2_TOKENIZER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text_buffer.h"

typedef struct b2_tokenizer b2_tokenizer; /* immutable once open: share it between threads */

/* Ids of one text. Zero-initialise; grows as needed; free with b2_tokens_free. */
typedef struct b2_tokens {
    int32_t *ids; /* [count] */
    size_t count, capacity;
} b2_tokens;
blip2_status b2_tokens_append(b2_tokens *tokens, int32_t id); /* ENOMEM */
void b2_tokens_free(b2_tokens *tokens);

/* Read directory/tokenizer.json, or where there is none spiece.model or tokenizer.model
 * (SentencePiece: T5's and Llama's), or vocab.txt as b2_tokenizer_open_bert does. EIO, EFORMAT
 * (file, field, expected against actual), ENOTSUP for a model, normaliser, pre-tokeniser or decoder
 * that this library does not have, by name. */
blip2_status b2_tokenizer_open(b2_tokenizer **out, const char *directory);
/* A tokenizer.json from memory (`name`: for messages). */
blip2_status b2_tokenizer_parse(b2_tokenizer **out, const char *json, size_t size,
                                const char *name);
/* Read a BERT vocabulary, which is all that a LAVIS checkpoint goes with: uncased, with [DEC] as
 * one more token behind it. */
blip2_status b2_tokenizer_open_bert(b2_tokenizer **out, const char *path);
/* Before it is shared: texts begin with this token in place of the one that the post-processor puts
 * in front; nothing where that puts none. */
void b2_tokenizer_begin_with(b2_tokenizer *tokenizer, int32_t id);
/* Likewise: of byte tokens that are not UTF-8 together, the characters among them are kept and only
 * the other bytes are U+FFFD, as SentencePiece itself decodes them. The `tokenizers` library gives
 * U+FFFD for all. */
void b2_tokenizer_keep_characters(b2_tokenizer *tokenizer);
void b2_tokenizer_close(b2_tokenizer *tokenizer);

/* Append the ids of text (UTF-8, `length` bytes, at most 2^29: EINVAL; what is invalid is read as
 * U+FFFD, as decode writes it). add_special: with the post-processor's special tokens (OPT: </s> in
 * front). On failure out is as it was. */
blip2_status b2_tokenizer_encode(const b2_tokenizer *tokenizer, const char *text, size_t length,
                                 bool add_special, b2_tokens *out);

/* Append the text of ids. skip_special leaves out every token that is marked special;
 * clean_up joins " ." and the like as transformers' clean_up_tokenization_spaces does. Invalid
 * UTF-8 comes out as U+FFFD, as in Python. Unknown ids are left out. */
blip2_status b2_tokenizer_decode(const b2_tokenizer *tokenizer, const int32_t *ids, size_t count,
                                 bool skip_special, bool clean_up, b2_text_buffer *out);

size_t b2_tokenizer_vocab(const b2_tokenizer *tokenizer);                    /* largest id + 1 */
int32_t b2_tokenizer_find(const b2_tokenizer *tokenizer, const char *token); /* -1: no such token */
bool b2_tokenizer_is_special(const b2_tokenizer *tokenizer, int32_t id);
/* Do tokens hold the space in front of a word as a byte of their own (OPT)? */
bool b2_tokenizer_is_byte_level(const b2_tokenizer *tokenizer);
/* The bytes [*length] that a token stands for behind others; NULL: no such token. byte: room for
 * one that stands for a single one. */
const char *b2_tokenizer_piece(const b2_tokenizer *tokenizer, int32_t id, char *byte,
                               size_t *length);

/* Streaming: feed ids one by one, get the text that is certain, never half a character. The pieces
 * joined equal the decode of all ids at once (without clean_up). */
typedef struct b2_detokenizer {
    const b2_tokenizer *tokenizer;
    bool skip_special;
    bool started;           /* a token was there */
    uint32_t to_strip;      /* characters that may still be taken off the start */
    b2_text_buffer pending; /* bytes of characters that are not yet certain */
} b2_detokenizer;
void b2_detokenizer_init(b2_detokenizer *stream, const b2_tokenizer *tokenizer, bool skip_special);
blip2_status b2_detokenizer_push(b2_detokenizer *stream, int32_t id, b2_text_buffer *out);
blip2_status b2_detokenizer_finish(b2_detokenizer *stream, b2_text_buffer *out);
void b2_detokenizer_free(b2_detokenizer *stream);

#endif
