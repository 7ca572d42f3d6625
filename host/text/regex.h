/* The little of PCRE2 that the room needs: patterns over valid UTF-8 with Unicode properties, in
 * our memory. No JIT: texts are short, and a library should not ask for executable pages for them.
 */
#ifndef B2_REGEX_H
#define B2_REGEX_H
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

typedef struct b2_regex {
    pcre2_general_context *memory; /* calls base/alloc.h */
    pcre2_code *code;
} b2_regex; /* all zero: none */

blip2_status b2_regex_compile(b2_regex *out, const char *pattern);
void b2_regex_free(b2_regex *regex);

/* One matcher serves one thread; a compiled pattern any number. */
typedef struct b2_matcher {
    const b2_regex *regex;
    pcre2_match_data *data;
} b2_matcher;
blip2_status b2_matcher_open(b2_matcher *out, const b2_regex *regex);
void b2_matcher_close(b2_matcher *matcher);
/* Match exactly at text[start]; *end is 0 when there is no match (patterns here match no empty
 * text). text: [length], valid UTF-8. */
blip2_status b2_matcher_at(const b2_matcher *matcher, const char *text, size_t length, size_t start,
                           size_t *end);

#endif
