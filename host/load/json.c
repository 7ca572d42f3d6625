#include "load/json.h"

#include <stdbool.h>
#include <stdio.h>

/* A container of 2 bytes of text becomes about 250 bytes of memory. Real files have one container
 * in 30 bytes or more; with this bound a hostile file costs at most 16 times its size. */
enum { FREE_CONTAINERS = 4096, BYTES_PER_CONTAINER = 16 };

/* Count what is outside of strings. Text that is no JSON at all is left to the parser. */
static blip2_status check_size(const char *text, size_t size, const char *name) {
    size_t depth = 0, containers = 0;
    bool in_string = false;

    for (size_t i = 0; i < size; i++) {
        char c = text[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            containers++;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
        if (depth > B2_JSON_MAX_DEPTH)
            return b2_fail(BLIP2_EFORMAT, "%s: JSON nested deeper than %d levels at byte %zu", name,
                           (int)B2_JSON_MAX_DEPTH, i);
    }
    if (containers > FREE_CONTAINERS + size / BYTES_PER_CONTAINER)
        return b2_fail(BLIP2_EFORMAT, "%s: JSON of %zu bytes with %zu objects and arrays in it",
                       name, size, containers);
    return BLIP2_OK;
}

blip2_status b2_json_parse(json_t **out, const char *text, size_t size, const char *name) {
    json_error_t error = {.text = ""};
    blip2_status status;

    *out = NULL;
    if ((status = check_size(text, size, name)) < 0)
        return status;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (*out != NULL)
        return BLIP2_OK;
    /* jansson reports most allocation failures by an error without text; one within a string of the
     * file looks like a syntax error, which can't be told apart here. */
    if (error.text[0] == '\0' || json_error_code(&error) == json_error_out_of_memory)
        return b2_fail_memory();
    return b2_fail(BLIP2_EFORMAT, "%s: line %d, column %d: not valid JSON: %s", name, error.line,
                   error.column, error.text);
}

void b2_json_describe(const json_t *value, char *text, size_t size) {
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        (void)snprintf(text, size, "an object");
        break;
    case JSON_ARRAY:
        (void)snprintf(text, size, "an array of %zu", json_array_size(value));
        break;
    case JSON_STRING:
        (void)snprintf(text, size, "\"%.24s\"%s", json_string_value(value),
                       json_string_length(value) > 24 ? "..." : "");
        break;
    case JSON_INTEGER:
        (void)snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        (void)snprintf(text, size, "%g", json_real_value(value));
        break;
    case JSON_TRUE:
        (void)snprintf(text, size, "true");
        break;
    case JSON_FALSE:
        (void)snprintf(text, size, "false");
        break;
    case JSON_NULL:
        (void)snprintf(text, size, "null");
        break;
    }
}
