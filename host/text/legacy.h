/* Vocabularies of the time before tokenizer.json, as the tokenizer.json that they stand for. */
#ifndef B2_LEGACY_H
#define B2_LEGACY_H
#include <jansson.h>

#include "base/status.h"

/* A BERT vocabulary: a token a line, the line's number is its id. What comes out is the tokenizer
 * of BLIP-2's Q-Former: bert-base-uncased with [DEC] as one more token. *out is yours to
 * json_decref. */
blip2_status b2_bert_vocabulary(json_t **out, const char *text, size_t size, const char *name);

/* A SentencePiece model, as the class of the language model that it goes with converts it: Unigram
 * as T5's (100 extra ids behind it, </s> at the end), BPE as Llama's (<s> in front). */
blip2_status b2_spm_vocabulary(json_t **out, const char *bytes, size_t size, const char *name);

#endif
