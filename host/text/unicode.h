/* Properties of code points as the `tokenizers` library (0.23.3) knows them. Its parts stand at
 * different versions of Unicode: categories at 8, canonical decomposition at 9, case and grapheme
 * clusters at 17. Decompositions, combining classes, case and cluster classes come from utf8proc
 * (Debian 12: Unicode 15), corrected where the versions differ; categories are tables of our own
 * (unicode_tables.h), as a newer Unicode has more marks and punctuation in nearly every script. */
#ifndef B2_UNICODE_H
#define B2_UNICODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool b2_unicode_is_space(uint32_t code); /* White_Space */
/* Control, format and private use characters, zero and U+FFFD: what BERT's clean_text drops. Tab,
 * line feed and carriage return are not among them. */
bool b2_unicode_is_other(uint32_t code);
bool b2_unicode_is_mark(uint32_t code); /* Mn */
/* Categories P*, and the ASCII symbols. */
bool b2_unicode_is_punctuation(uint32_t code);

/* Lower case, 1 or 2 code points; answers how many. */
size_t b2_unicode_lower(uint32_t code, uint32_t out[2]);
/* Full canonical decomposition, 1..4 code points; answers how many. */
size_t b2_unicode_decompose(uint32_t code, uint32_t out[4]);
/* Canonical combining class, 0: a starter. */
unsigned b2_unicode_combining(uint32_t code);

/* Where the extended grapheme cluster that starts at text[start] ends. text: [length], valid. The
 * rule of Indic conjuncts (GB9c) is left out: it joins characters of three bytes and more, and who
 * asks here only looks at clusters of less than six bytes. */
size_t b2_unicode_cluster_end(const char *text, size_t length, size_t start);

#endif
