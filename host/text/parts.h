/* What a tokenizer is made of, in the order in which a text passes through. Reading a
 * tokenizer.json fills it in (tokenizer_json.c); afterwards nothing changes. */
#ifndef B2_TOKENIZER_PARTS_H
#define B2_TOKENIZER_PARTS_H
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/postprocess.h"
#include "text/pretokenize.h"
#include "text/tokenizer.h"

/* A token as decoding sees it. */
typedef struct b2_decoded {
    const char *bytes; /* [length] what the token stands for, any bytes; NULL: no such token */
    uint32_t length;
    bool special;
} b2_decoded;

struct b2_tokenizer {
    b2_arena arena;
    b2_added_tokens added;
    b2_pretokenizers pretokenizers;
    b2_bpe bpe;
    b2_template template;
    b2_decoded *decoded; /* [vocab] by id */
    size_t vocab;        /* largest id + 1 */
};

/* Fill decoded and vocab from the tokens that were read. decoder: the "decoder" value. */
blip2_status b2_decoder_read(b2_tokenizer *out, b2_fields *fields, const json_t *decoder);

#endif
