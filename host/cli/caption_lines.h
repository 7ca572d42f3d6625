/* What is printed of pictures that have several texts, or texts with log-probabilities, or several
 * questions. */
#ifndef B2_CAPTION_LINES_H
#define B2_CAPTION_LINES_H
#include "arguments.h"
#include "base/text_buffer.h"

/* What texts are of. */
typedef struct b2_line_head {
    const char *path;
    size_t frames;                 /* of a video; 0: a picture */
    const char *question;          /* NULL: none was asked */
    const char *prompt;            /* NULL: none */
    bool show_path, show_question; /* in front of a plain text */
} b2_line_head;

/* Append the lines, one a text, of texts first .. first + settings->sequences - 1. */
void b2_caption_lines(b2_text_buffer *lines, const b2_settings *settings, const b2_line_head *head,
                      const blip2_result *result, size_t first);

#endif
