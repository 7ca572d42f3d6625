/* What a tokenizer is made of, in the order in which a text passes through. Reading a
 * tokenizer.json fills it in (tokenizer_json.c); afterwards nothing changes. */
#ifndef B2_TOKENIZER_PARTS_H
#define B2_TOKENIZER_PARTS_H
#include "text/added_tokens.h"
#include "text/model.h"
#include "text/postprocess.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"

typedef struct b2_form {
    const char *bytes; /* [length] any bytes */
    uint32_t length;
} b2_form;

/* A token as decoding sees it. */
typedef struct b2_decoded {
    b2_form first; /* what it stands for at the start of a text; bytes NULL: no such token */
    b2_form later; /* ... behind other tokens */
    int16_t byte;  /* what it stands for is one byte of a character, where there is fallback; -1 */
    bool special;
} b2_decoded;

/* Taken off the start of a text: this character, as often as it is there, at most `start` times. */
typedef struct b2_strip {
    char text[4]; /* [length]; length 0: nothing */
    size_t length;
    uint32_t start;
} b2_strip;

struct b2_tokenizer {
    b2_arena arena;
    b2_added_tokens added;
    b2_normalizers normalizers;
    b2_pretokenizers pretokenizers;
    b2_model model;
    b2_template template;
    b2_decoded *decoded; /* [vocab] by id */
    size_t vocab;        /* largest id + 1 */
    bool lossy;          /* tokens are bytes: their text is UTF-8 only together */
    b2_strip strip;
    bool keeps_characters; /* in runs of byte tokens that are not UTF-8 */
};

/* A tokenizer from the value of a tokenizer.json. exact_scores: its scores do not come from text,
 * so that they are not what the library's reader of numbers makes of them (unigram_read.c). */
blip2_status b2_tokenizer_build(b2_tokenizer **out, const json_t *root, const char *name,
                                bool exact_scores);

/* Fill decoded, vocab and what follows from the tokens that were read. json: the "decoder" value.
 */
blip2_status b2_decoder_read(b2_tokenizer *out, b2_fields *fields, const json_t *json);

#endif
