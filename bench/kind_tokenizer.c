/* Tokenizer cases: texts to ids, ids back to text, and arbitrary ids to text. */
#include "base/alloc.h"
#include "kinds.h"
#include "text/tokenizer.h"

/* Ids of a text as a JSON list. */
static blip2_status encode(const b2_tokenizer *tokenizer, const json_t *text, bool special,
                           json_t *out) {
    b2_tokens tokens = {0};
    blip2_status status = b2_tokenizer_encode(tokenizer, json_string_value(text),
                                              json_string_length(text), special, &tokens);

    for (size_t i = 0; i < tokens.count && status == BLIP2_OK; i++)
        if (json_array_append_new(out, json_integer(tokens.ids[i])) != 0)
            status = b2_fail_memory();
    b2_tokens_free(&tokens);
    return status;
}

/* Text of a JSON list of ids, appended to the list `out`. */
static blip2_status decode(const b2_tokenizer *tokenizer, const json_t *ids, bool skip_special,
                           json_t *out) {
    b2_text_buffer text = {0};
    size_t count = json_array_size(ids);
    int32_t *list = b2_alloc_array(count, sizeof *list);
    blip2_status status;

    if (list == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++)
        list[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    status = b2_tokenizer_decode(tokenizer, list, count, skip_special, false, &text);
    /* nocheck: text that is not UTF-8 is a difference, not a failure. */
    if (status == BLIP2_OK &&
        json_array_append_new(out, json_stringn_nocheck(b2_text_data(&text), text.length)) != 0)
        status = b2_fail_memory();
    b2_text_free(&text);
    b2_free(list);
    return status;
}

static blip2_status compare_ids(const golden_case *golden, const b2_tokenizer *tokenizer,
                                const json_t *texts, verdict *v) {
    json_t *all = json_array();
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < json_array_size(texts) && status == BLIP2_OK; i++) {
        json_t *ids = json_array();

        status = encode(tokenizer, json_array_get(texts, i), true, ids);
        if (json_array_append_new(all, ids) != 0 && status == BLIP2_OK)
            status = b2_fail_memory();
    }
    if (status < 0) {
        json_decref(all);
        return status;
    }
    (void)golden;
    return verdict_value(v, "ids", all, NULL);
}

/* Is `with` the ids `plain` inside the special tokens of `around`, wherever these are parted? */
static bool is_inside(const json_t *plain, const json_t *around, const json_t *with) {
    size_t n = json_array_size(plain), special = json_array_size(around);
    bool equal = false;

    if (json_array_size(with) != n + special)
        return false;
    for (size_t front = 0; front <= special && !equal; front++) {
        equal = true;
        for (size_t i = 0; i < n + special && equal; i++) {
            const json_t *id = i < front       ? json_array_get(around, i)
                               : i < front + n ? json_array_get(plain, i - front)
                                               : json_array_get(around, i - n);

            equal = json_equal(json_array_get(with, i), id) != 0;
        }
    }
    return equal;
}

/* expect.ids_without_special_equal_tail lists the texts whose ids are not just those without
 * special tokens with the special tokens of an empty text around them. */
static blip2_status compare_tails(const golden_case *golden, const b2_tokenizer *tokenizer,
                                  const json_t *texts, verdict *v) {
    const json_t *ids = json_object_get(golden->expect, "ids");
    json_t *odd = json_array(), *around = json_array(), *none = json_string("");
    blip2_status status = encode(tokenizer, none, true, around);

    for (size_t i = 0; i < json_array_size(texts) && status == BLIP2_OK; i++) {
        json_t *plain = json_array();

        status = encode(tokenizer, json_array_get(texts, i), false, plain);
        if (!is_inside(plain, around, json_array_get(ids, i)))
            json_array_append_new(odd, json_integer((json_int_t)i));
        json_decref(plain);
    }
    json_decref(around);
    json_decref(none);
    if (status < 0) {
        json_decref(odd);
        return status;
    }
    return verdict_value(v, "ids_without_special_equal_tail", odd, NULL);
}

static blip2_status compare_texts(const b2_tokenizer *tokenizer, const json_t *lists,
                                  const char *key, bool skip_special, verdict *v) {
    json_t *texts = json_array();
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < json_array_size(lists) && status == BLIP2_OK; i++)
        status = decode(tokenizer, json_array_get(lists, i), skip_special, texts);
    if (status < 0) {
        json_decref(texts);
        return status;
    }
    return verdict_value(v, key, texts, NULL);
}

static blip2_status compare(const golden_case *golden, const b2_tokenizer *tokenizer, verdict *v) {
    static const char why[] = "what the tokenizer class that LAVIS uses does otherwise";
    static const char *const lavis[] = {"lavis_tokenizer", "lavis_ids_where_different",
                                        "lavis_decoded_where_different"};
    const json_t *ids = json_object_get(golden->expect, "ids");
    const json_t *random_ids = json_object_get(golden->inputs, "random_ids");
    const json_t *texts;
    blip2_status status = golden_strings(golden, "texts", &texts);

    if (status < 0)
        return status;
    if (!json_is_array(ids) || json_array_size(ids) != json_array_size(texts))
        return golden_bad(golden, "expect.ids", "as many as inputs.texts", ids);
    if ((status = compare_ids(golden, tokenizer, texts, v)) < 0 ||
        (status = compare_tails(golden, tokenizer, texts, v)) < 0 ||
        (status = compare_texts(tokenizer, ids, "decoded", true, v)) < 0 ||
        (status = compare_texts(tokenizer, random_ids, "random_decoded", true, v)) < 0 ||
        (status = compare_texts(tokenizer, random_ids, "random_decoded_keep_special", false, v)) <
            0)
        return status;
    for (size_t i = 0; i < sizeof lavis / sizeof *lavis && status == BLIP2_OK; i++)
        if (json_object_get(golden->expect, lavis[i]) != NULL)
            status = verdict_not_compared(v, lavis[i], why);
    return status;
}

blip2_status run_tokenizer(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"texts", "random_ids", NULL};
    b2_tokenizer *tokenizer = NULL;
    char *directory;
    blip2_status status = golden_only(golden->inputs, "inputs.", known);

    (void)device;
    if (status < 0)
        return status;
    if (!json_is_string(golden->model))
        return golden_bad(golden, "model", "a folder's name", golden->model);
    if ((directory = golden_path(golden, json_string_value(golden->model))) == NULL)
        return b2_fail_memory();
    status = b2_tokenizer_open(&tokenizer, directory);
    b2_free(directory);
    if (status == BLIP2_OK)
        status = compare(golden, tokenizer, v);
    b2_tokenizer_close(tokenizer);
    return status;
}
