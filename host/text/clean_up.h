/* Spaces in front of punctuation and of contracted words, taken out again after decoding. */
#ifndef B2_CLEAN_UP_H
#define B2_CLEAN_UP_H
#include <stdbool.h>

#include "base/text_buffer.h"

/* In data[start..]. wordpiece: as the decoder of this name does it, else as transformers'
 * clean_up_tokenization does. */
void b2_clean_up(b2_text_buffer *text, size_t start, bool wordpiece);

#endif
