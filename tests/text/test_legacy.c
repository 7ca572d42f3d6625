/* Vocabularies without a tokenizer.json. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cases.h"

/* Do both tokenizers answer alike for every text of a golden case? */
static void ck_assert_alike(const b2_tokenizer *a, const b2_tokenizer *b, const char *golden) {
    json_t *json = load_json(in_tests(golden));
    const json_t *texts = json_object_get(json_object_get(json, "inputs"), "texts");

    ck_assert_uint_eq(b2_tokenizer_vocab(a), b2_tokenizer_vocab(b));
    ck_assert_uint_gt(json_array_size(texts), 100);
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        b2_tokens x = {0}, y = {0};
        b2_text_buffer s = {0}, t = {0};

        ck_assert_status_ok(
            b2_tokenizer_encode(a, json_string_value(text), json_string_length(text), true, &x));
        ck_assert_status_ok(
            b2_tokenizer_encode(b, json_string_value(text), json_string_length(text), true, &y));
        ck_assert_uint_eq(x.count, y.count);
        ck_assert_mem_eq(x.ids, y.ids, x.count * sizeof *x.ids);
        ck_assert_status_ok(b2_tokenizer_decode(a, x.ids, x.count, i % 2 == 0, false, &s));
        ck_assert_status_ok(b2_tokenizer_decode(b, x.ids, x.count, i % 2 == 0, false, &t));
        ck_assert_str_eq(b2_text_data(&s), b2_text_data(&t));
        b2_tokens_free(&x);
        b2_tokens_free(&y);
        b2_text_free(&s);
        b2_text_free(&t);
    }
    json_decref(json);
}

START_TEST(bert_vocabulary_is_the_tokenizer) {
    b2_tokenizer *json, *text;

    ck_assert_status_ok(b2_tokenizer_open(&json, in_tests("golden/models/hf_blip2_itm")));
    ck_assert_status_ok(
        b2_tokenizer_open_bert(&text, in_tests("golden/models/hf_blip2_itm/vocab.txt")));
    ck_assert_alike(json, text, "golden/tok_bert_tiny/case.json");
    b2_tokenizer_close(json);
    b2_tokenizer_close(text);
}
END_TEST

START_TEST(dec_comes_behind_the_vocabulary) {
    b2_tokenizer *tokenizer;
    size_t vocab;

    ck_assert_status_ok(
        b2_tokenizer_open_bert(&tokenizer, in_tests("golden/models/lavis_stage1/bert_vocab.txt")));
    vocab = b2_tokenizer_vocab(tokenizer);
    ck_assert_int_eq(b2_tokenizer_find(tokenizer, "[DEC]"), (int32_t)vocab - 1);
    ck_assert(b2_tokenizer_is_special(tokenizer, (int32_t)vocab - 1));
    ck_assert_int_eq(b2_tokenizer_find(tokenizer, "[PAD]"), 0);
    b2_tokenizer_close(tokenizer);
}
END_TEST

/* ---- hostile ----------------------------------------------------------------------------- */

static char folder[] = "/tmp/blip2-test-text-XXXXXX";

/* Open a folder whose file `name` has these bytes. */
static blip2_status open_with(const char *name, const char *bytes, size_t size,
                              b2_tokenizer **out) {
    char *path;
    FILE *file;
    blip2_status status;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    path = b2_path_join(folder, name);
    file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    status = b2_tokenizer_open(out, folder);
    (void)remove(path);
    (void)remove(folder);
    memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
    b2_free(path);
    return status;
}

#define VOCABULARY "[UNK]\n[CLS]\n[SEP]\na\n##b"
static const struct {
    const char *bytes;
    size_t size;
    const char *message; /* NULL: fine */
} vocabularies[] = {
#define LINES(text, message)                                                                       \
    { text, sizeof text - 1, message }
    LINES(VOCABULARY, NULL),
    LINES("[UNK]\r\n[CLS]\r\n[SEP]\r\na\r\n##b\r\n", NULL),
    LINES(VOCABULARY "\n\n", NULL), /* an empty token */
    LINES("", "no token [CLS]"),
    LINES("[UNK]\n[CLS]\n", "no token [SEP]"),
    LINES("[CLS]\n[SEP]\n", "model.unk_token"),
    LINES(VOCABULARY "\na\n", "line 6: token \"a\" was there before"),
    LINES(VOCABULARY "\n\xFF\n", "line 6 is no token"),
    LINES(VOCABULARY "\nx\0y\n", "line 6 is no token"),
#undef LINES
};

START_TEST(damaged_vocabularies_are_refused) {
    for (size_t i = 0; i < sizeof vocabularies / sizeof *vocabularies; i++) {
        b2_tokenizer *tokenizer;
        blip2_status status =
            open_with("vocab.txt", vocabularies[i].bytes, vocabularies[i].size, &tokenizer);

        if (vocabularies[i].message == NULL) {
            ck_assert_status_ok(status);
            ck_assert_int_eq(b2_tokenizer_find(tokenizer, "##b"), 4);
        } else {
            ck_assert_int_eq(status, BLIP2_EFORMAT);
            ck_assert_msg(strstr(blip2_error_message(), vocabularies[i].message) != NULL, "%zu: %s",
                          i, blip2_error_message());
            ck_assert_ptr_null(tokenizer);
        }
        b2_tokenizer_close(tokenizer);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vocabularies");
    TCase *tcase = tcase_create("vocabularies");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, bert_vocabulary_is_the_tokenizer);
    tcase_add_test(tcase, dec_comes_behind_the_vocabulary);
    tcase_add_test(tcase, damaged_vocabularies_are_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
