#include "cases.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

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

/* ---- hostile files ----------------------------------------------------------------------- */

char *changed(const char *base, const char *path, const char *text) {
    json_t *root = json_loads(base, 0, NULL), *in = root;
    const char *dot = strchr(path, '.');
    char *json;

    ck_assert_ptr_nonnull(root);
    if (dot != NULL) {
        char key[32];

        (void)snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        in = json_object_get(root, key);
        path = dot + 1;
    }
    if (text == NULL) {
        json_object_del(in, path);
    } else {
        json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

        ck_assert_msg(value != NULL, "%s", text);
        json_object_set_new(in, path, value);
    }
    json = json_dumps(root, 0);
    json_decref(root);
    return json;
}

void ck_assert_refused(const char *base, const refusal *refused) {
    char *json = changed(base, refused->path, refused->value);
    b2_tokenizer *tokenizer = (b2_tokenizer *)1;
    blip2_status status = b2_tokenizer_parse(&tokenizer, json, strlen(json), "f");

    ck_assert_msg(status == refused->status &&
                      strstr(blip2_error_message(), refused->message) != NULL,
                  "%s = %s: %s (%s), expected \"%s\"", refused->path, refused->value,
                  blip2_status_name(status), blip2_error_message(), refused->message);
    ck_assert_ptr_null(tokenizer);
    free(json);
}

char *read_tokenizer(const char *model, size_t *size) {
    uint8_t *json = NULL;
    char path[256];

    (void)snprintf(path, sizeof path, "golden/models/%s/tokenizer.json", model);
    ck_assert_status_ok(b2_file_read(&json, size, in_tests(path), 1 << 20));
    return (char *)json;
}

void parse_and_use(const char *json, size_t size) {
    static const char text[] = "a photo of </s> <image> it 's \xC3\xA9\xFF  two";
    b2_tokenizer *tokenizer;
    b2_tokens ids = {0};
    b2_text_buffer back = {0};

    if (b2_tokenizer_parse(&tokenizer, json, size, "damaged") < 0) {
        if (tokenizer != NULL || blip2_error_message()[0] == '\0')
            ck_abort_msg("a failure without a message or with a result");
        return;
    }
    if (b2_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids) == BLIP2_OK &&
        b2_tokenizer_decode(tokenizer, ids.ids, ids.count, false, true, &back) < 0)
        ck_abort_msg("ids of encode cannot be decoded");
    b2_text_free(&back);
    b2_tokens_free(&ids);
    b2_tokenizer_close(tokenizer);
}

static blip2_status whole_path(const char *json, b2_tokens *ids, b2_text_buffer *text) {
    static const char input[] = "  ab </s>a\xFF"
                                "b x";
    b2_tokenizer *tokenizer;
    blip2_status status = b2_tokenizer_parse(&tokenizer, json, strlen(json), "f");

    if (status < 0)
        return status;
    status = b2_tokenizer_encode(tokenizer, input, sizeof input - 1, true, ids);
    if (status < 0)
        ck_assert_uint_eq(ids->count, 0); /* as it was */
    else
        status = b2_tokenizer_decode(tokenizer, ids->ids, ids->count, false, true, text);
    b2_tokenizer_close(tokenizer);
    return status;
}

int64_t fail_every_allocation(const char *json) {
    bool done = false;
    int64_t n;

    json_set_alloc_funcs(b2_alloc, b2_free);
    for (n = 0; !done && n < 100000; n++) {
        b2_tokens ids = {0};
        b2_text_buffer text = {0};
        blip2_status status;

        b2_alloc_fail_after(n);
        status = whole_path(json, &ids, &text);
        done = b2_alloc_count() <= n;
        b2_alloc_fail_after(-1);
        if (done)
            ck_assert_status_ok(status);
        else /* jansson gives some failures out as errors of syntax */
            ck_assert_msg(status == BLIP2_ENOMEM ||
                              strstr(blip2_error_message(), "not valid JSON") != NULL,
                          "allocation %ld: %s (%s)", (long)n, blip2_status_name(status),
                          blip2_error_message());
        b2_tokens_free(&ids);
        b2_text_free(&text);
    }
    json_set_alloc_funcs(malloc, free);
    ck_assert(done);
    return n;
}

int run_hostile(const char *name, unsigned seconds, const TTest *const tests[], size_t count) {
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create("hostile");

    tcase_set_timeout(tcase, seconds);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
