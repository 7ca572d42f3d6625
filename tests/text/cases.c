#include "cases.h"

#include <stdio.h>
#include <string.h>

const char *in_tests(const char *name) {
    static char path[1024];

    (void)snprintf(path, sizeof path, BLIP2_SOURCE_DIR "/tests/%s", name);
    return path;
}

json_t *load_json(const char *path) {
    json_error_t error;
    json_t *json = json_load_file(path, JSON_ALLOW_NUL, &error);

    ck_assert_msg(json != NULL, "%s: %s", path, error.text);
    return json;
}

b2_tokens ids_of(const json_t *array) {
    b2_tokens out = {0};

    ck_assert(json_is_array(array));
    for (size_t i = 0; i < json_array_size(array); i++)
        ck_assert_status_ok(
            b2_tokens_append(&out, (int32_t)json_integer_value(json_array_get(array, i))));
    return out;
}

bool same_ids(const b2_tokens *got, const json_t *expected, const char *text) {
    b2_tokens want = ids_of(expected);
    bool same = got->count == want.count &&
                (got->count == 0 || memcmp(got->ids, want.ids, got->count * sizeof *got->ids) == 0);

    if (!same) {
        (void)fprintf(stderr, "text \"%s\"\n  got     ", text);
        for (size_t i = 0; i < got->count; i++)
            (void)fprintf(stderr, " %d", (int)got->ids[i]);
        (void)fprintf(stderr, "\n  expected");
        for (size_t i = 0; i < want.count; i++)
            (void)fprintf(stderr, " %d", (int)want.ids[i]);
        (void)fprintf(stderr, "\n");
    }
    b2_tokens_free(&want);
    return same;
}

bool encodes_to(const b2_tokenizer *tokenizer, const json_t *text, bool special,
                const json_t *expected) {
    b2_tokens got = {0};
    bool same;

    ck_assert(json_is_string(text));
    ck_assert_status_ok(b2_tokenizer_encode(tokenizer, json_string_value(text),
                                            json_string_length(text), special, &got));
    same = same_ids(&got, expected, json_string_value(text));
    b2_tokens_free(&got);
    return same;
}

bool decodes_to(const b2_tokenizer *tokenizer, const json_t *ids, bool skip_special, bool clean_up,
                const json_t *expected) {
    b2_tokens tokens = ids_of(ids);
    b2_text_buffer text = {0};
    bool same;

    ck_assert(json_is_string(expected));
    ck_assert_status_ok(
        b2_tokenizer_decode(tokenizer, tokens.ids, tokens.count, skip_special, clean_up, &text));
    same = text.length == json_string_length(expected) &&
           memcmp(b2_text_data(&text), json_string_value(expected), text.length) == 0;
    if (!same)
        (void)fprintf(stderr, "decoded  \"%s\"\nexpected \"%s\"\n", b2_text_data(&text),
                      json_string_value(expected));
    b2_text_free(&text);
    b2_tokens_free(&tokens);
    return same;
}
