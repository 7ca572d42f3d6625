/* What is printed of pictures that have several texts, or texts with log-probabilities. */
#ifndef B2_CAPTION_LINES_H
#define B2_CAPTION_LINES_H
#include "arguments.h"

/* The lines, one a text, of texts first .. first + settings->sequences - 1 of a picture; yours to
 * b2_free. NULL when out of memory. */
char *b2_caption_lines(const b2_settings *settings, const char *path, bool show_name,
                       const blip2_result *result, size_t first);

#endif
