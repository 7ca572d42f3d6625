/* SentencePiece's byte fallback: a character that is no token is written as its bytes, each of
 * which has a token <0x00> ... <0xFF>. */
#ifndef B2_BYTE_TOKENS_H
#define B2_BYTE_TOKENS_H
#include "text/vocabulary.h"

/* out[byte] = the id of its token; -1 for those that there are not, and for all unless `wanted`. */
void b2_byte_tokens(const b2_vocabulary *vocabulary, bool wanted, int32_t out[256]);

/* The byte that a token stands for, in the decoder's reading (which takes <0xab> as well as <0xAB>
 * and <0x+b>); -1: none. text: [length]. */
int b2_byte_of_token(const char *text, size_t length);

#endif
