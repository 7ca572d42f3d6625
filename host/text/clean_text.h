/* How LAVIS rewrites captions and questions before a tokenizer sees them (its text processors
 * blip_caption and blip_question). Prompts of generation are not rewritten. */
#ifndef B2_CLEAN_TEXT_H
#define B2_CLEAN_TEXT_H
#include "base/status.h"
#include "base/text_buffer.h"

enum { B2_CLEAN_MAX_WORDS = 50 }; /* LAVIS's default */

/* Append the caption ([length] bytes of UTF-8; what is invalid is read as U+FFFD): lower case, some
 * punctuation as spaces, runs of white space as one space, none at the ends, at most max_words
 * words. `prompt` is put in front as it is. */
blip2_status b2_clean_caption(const char *caption, size_t length, const char *prompt,
                              size_t max_words, b2_text_buffer *out);

/* Append the question: lower case, the same punctuation deleted, no spaces at the end, at most
 * max_words words (between two spaces there is a word, too). */
blip2_status b2_clean_question(const char *question, size_t length, size_t max_words,
                               b2_text_buffer *out);

#endif
