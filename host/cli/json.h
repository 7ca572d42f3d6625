/* JSON lines for scripts. */
#ifndef B2_CLI_JSON_H
#define B2_CLI_JSON_H
#include <jansson.h>
#include <stdbool.h>

/* How a line is written: numbers are fp32, which nine digits hold. */
#define B2_JSON_LINE (JSON_COMPACT | JSON_REAL_PRECISION(9))

/* A JSON string of any bytes: what is no UTF-8, as file names may be, becomes U+FFFD. NULL when out
 * of memory. */
json_t *b2_json_text(const char *text);
/* What is told of a text of a picture: file, frames (of a video, unless 0), question (unless NULL),
 * caption (or answer, and the prompt unless NULL), tokens. NULL when out of memory. */
json_t *b2_json_answer(const char *path, size_t frames, const char *question, const char *prompt,
                       const char *text, size_t tokens);
/* Print object on a line of its own and let it go. False when out of memory or object is NULL. */
bool b2_json_print_line(json_t *object);

#endif
