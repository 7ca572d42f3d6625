/* A growing, zero-terminated byte string. Once an append ran out of memory the buffer is "failed":
 * later appends do nothing, so that a chain of appends needs one check at its end. */
#ifndef B2_TEXT_BUFFER_H
#define B2_TEXT_BUFFER_H
#include <stdbool.h>
#include <stddef.h>

typedef struct b2_text_buffer {
    char *data;    /* [length + 1], zero-terminated; NULL before the first append */
    size_t length; /* bytes, without the zero */
    size_t capacity;
    bool failed;
} b2_text_buffer; /* all zero: an empty buffer */

void b2_text_append(b2_text_buffer *buffer, const char *bytes, size_t length);
void b2_text_appendf(b2_text_buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The template with text in place of every "{}". */
void b2_text_append_filled(b2_text_buffer *buffer, const char *template, const char *text);
/* The text so far, never NULL (an empty or failed buffer gives ""). */
const char *b2_text_data(const b2_text_buffer *buffer);
/* Empties the buffer and hands the string over, yours to b2_free; NULL if it had failed. */
char *b2_text_take(b2_text_buffer *buffer);
void b2_text_clear(b2_text_buffer *buffer); /* length 0, memory kept */
void b2_text_free(b2_text_buffer *buffer);

#endif
