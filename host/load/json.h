/* JSON text as jansson values, with the limits that jansson leaves wide: a bomb is refused by
 * counting its brackets before any memory is asked for. */
#ifndef B2_JSON_H
#define B2_JSON_H
#include <jansson.h>
#include <stddef.h>

#include "base/status.h"

/* Deepest nesting of objects and arrays; files of models use about 5. */
enum { B2_JSON_MAX_DEPTH = 64 };

/* Parse an object or array of `size` bytes, strictly: UTF-8 throughout, no duplicate keys, no
 * numbers beyond 64-bit integers or doubles, no NUL in strings, nothing behind the value. EFORMAT
 * names `name` and the place; nesting and the number of containers are bounded (json.c). *out is
 * yours to json_decref. */
blip2_status b2_json_parse(json_t **out, const char *text, size_t size, const char *name);

/* A short description of a value for messages: "an array", "\"abc\"", "-3". */
void b2_json_describe(const json_t *value, char *text, size_t size);

#endif
