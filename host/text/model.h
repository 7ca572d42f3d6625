/* Models: the pieces of a text become ids. */
#ifndef B2_TEXT_MODEL_H
#define B2_TEXT_MODEL_H
#include "text/bpe.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

typedef enum b2_model_kind { B2_MODEL_BPE, B2_MODEL_WORDPIECE, B2_MODEL_UNIGRAM } b2_model_kind;

typedef struct b2_model {
    b2_model_kind kind;
    bool exact_scores; /* set before reading */
    b2_vocabulary vocabulary;
    union {
        b2_bpe bpe;
        b2_wordpiece wordpiece;
        b2_unigram unigram;
    };
} b2_model;

/* Read the "model" object of a tokenizer.json; everything lies in the arena. *out must stay where
 * it is. */
blip2_status b2_model_read(b2_model *out, b2_arena *arena, b2_fields *fields, const json_t *json);

/* Memory that one thread reuses from piece to piece. Zero-initialise. */
typedef struct b2_model_scratch {
    b2_bpe_scratch bpe;
    b2_unigram_scratch unigram;
} b2_model_scratch;
void b2_model_scratch_free(b2_model_scratch *scratch);

/* Append the ids of a piece: [length] bytes of valid UTF-8, length > 0. */
blip2_status b2_model_encode(const b2_model *model, b2_model_scratch *scratch, const char *piece,
                             size_t length, b2_tokens *out);

#endif
