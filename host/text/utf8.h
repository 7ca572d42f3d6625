/* UTF-8 as Rust's String::from_utf8_lossy and Python's errors="replace" read it: every longest
 * start of a character that does not go on as it must counts as one U+FFFD. */
#ifndef B2_UTF8_H
#define B2_UTF8_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text_buffer.h"

/* Look at the front of text ([size], size > 0). n > 0: a character of n bytes; n < 0: its first -n
 * bytes are no character (one U+FFFD); 0: all of text is the start of a character that may go on.
 */
int b2_utf8_scan(const char *text, size_t size);

/* Does a byte go on a character that starts before it? */
static inline bool b2_utf8_goes_on(char byte) {
    return ((unsigned char)byte & 0xC0) == 0x80;
}

/* Where the character of a valid text that ends at `end` > 0 starts. */
static inline size_t b2_utf8_step_back(const char *text, size_t end) {
    do
        end--;
    while (b2_utf8_goes_on(text[end]));
    return end;
}

/* Characters of a valid text [size]. */
size_t b2_utf8_count(const char *text, size_t size);

/* The code point of the whole, valid character at text. */
uint32_t b2_utf8_decode(const char *text);

/* Append the UTF-8 of a code point. */
void b2_utf8_put(b2_text_buffer *out, uint32_t code);

/* Append text, with U+FFFD for what is invalid. Answers how many bytes of text were read: all, or,
 * when `partial` is set, all but the start of a character at the end that may go on. */
size_t b2_utf8_append(b2_text_buffer *out, const char *text, size_t size, bool partial);

/* Bytes at the front of text that are valid whole characters. */
size_t b2_utf8_valid(const char *text, size_t size);

#endif
