/* Vocabularies without a tokenizer.json. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "cases.h"
#include "text/legacy.h"
#include "text/parts.h"

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

/* ---- SentencePiece ----------------------------------------------------------------------- */

/* Llama's file and the tokenizer.json that transformers converted it to. */
START_TEST(llama_model_is_the_tokenizer) {
    b2_tokenizer *json, *model;
    uint8_t *bytes = NULL;
    size_t size;

    ck_assert_status_ok(b2_tokenizer_open(&json, in_tests("golden/models/tok_llama")));
    ck_assert_status_ok(
        b2_file_read(&bytes, &size, in_tests("golden/models/tok_llama/tokenizer.model"), 1 << 20));
    ck_assert_status_ok(open_with("tokenizer.model", (const char *)bytes, size, &model));
    ck_assert_alike(json, model, "golden/tok_llama/case.json");
    b2_tokenizer_close(json);
    b2_tokenizer_close(model);
    b2_free(bytes);
}
END_TEST

/* A message under construction. */
static void put_varint(b2_text_buffer *out, uint64_t value) {
    do {
        char byte = (char)((value & 0x7F) | (value > 0x7F ? 0x80 : 0));

        b2_text_append(out, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_bytes(b2_text_buffer *out, uint64_t field, const char *bytes, size_t size) {
    put_varint(out, field << 3 | 2);
    put_varint(out, size);
    b2_text_append(out, bytes, size);
}

static void put_piece(b2_text_buffer *out, const char *text, float score, uint64_t type) {
    b2_text_buffer piece = {0};

    put_bytes(&piece, 1, text, strlen(text));
    put_varint(&piece, 2 << 3 | 5);
    b2_text_append(&piece, (const char *)&score, sizeof score); /* little-endian machines only */
    put_varint(&piece, 3 << 3 | 0);
    put_varint(&piece, type);
    put_varint(&piece, 9 << 3 | 1); /* a field that the reader does not know */
    b2_text_append(&piece, "12345678", 8);
    put_bytes(out, 1, piece.data, piece.length);
    b2_text_free(&piece);
}

static const struct {
    const char *text;
    float score;
    uint64_t type;
} pieces[] = {
    {"<pad>", 0, 3},
    {"</s>", 0, 3},
    {"<unk>", 0, 2},
    {"\xE2\x96\x81", -2.5F, 1},
    {"a", -3, 1},
    {"b", -3.25F, 1},
    {"\xE2\x96\x81"
     "a",
     -4.0625F, 1},
    {"<x>", 0, 4},
    {"ab", -5.1F, 1},
    {"<s>", 0, 3},
};

/* A model of these pieces, of a type, with one more (NULL: none). */
static b2_text_buffer small_model(uint64_t type, const char *more) {
    b2_text_buffer out = {0}, trainer = {0};

    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        put_piece(&out, pieces[i].text, pieces[i].score, pieces[i].type);
    if (more != NULL)
        put_piece(&out, more, -1, 1);
    put_varint(&trainer, 3 << 3);
    put_varint(&trainer, type);
    put_varint(&trainer, 40 << 3);
    put_varint(&trainer, 2);
    put_bytes(&out, 2, trainer.data, trainer.length);
    put_bytes(&out, 3, "\x0A\x03nfk", 5);
    b2_text_free(&trainer);
    return out;
}

static void ck_assert_ids(const b2_tokenizer *tokenizer, const char *text, const int32_t *ids,
                          size_t count) {
    b2_tokens got = {0};

    ck_assert_status_ok(b2_tokenizer_encode(tokenizer, text, strlen(text), true, &got));
    ck_assert_uint_eq(got.count, count);
    ck_assert_mem_eq(got.ids, ids, count * sizeof *ids);
    b2_tokens_free(&got);
}

START_TEST(unigram_model_is_t5) {
    static const int32_t ids[] = {6, 6, 5, 2, 10, 3, 5, 7, 6, 1};
    b2_text_buffer model = small_model(1, NULL);
    b2_tokenizer *tokenizer;
    double score = (double)-5.1F;

    ck_assert_status_ok(open_with("spiece.model", model.data, model.length, &tokenizer));
    ck_assert_uint_eq(b2_tokenizer_vocab(tokenizer), 110);
    ck_assert_int_eq(b2_tokenizer_find(tokenizer, "<extra_id_99>"), 10);
    ck_assert(b2_tokenizer_is_special(tokenizer, 10));
    ck_assert(!b2_tokenizer_is_special(tokenizer, 7));
    ck_assert(tokenizer->model.unigram.scores[8] == score);
    ck_assert_ids(tokenizer, "a  abz<extra_id_99>b<x>a", ids, sizeof ids / sizeof *ids);
    b2_tokenizer_close(tokenizer);
    b2_text_free(&model);
}
END_TEST

START_TEST(bpe_model_is_llama) {
    static const int32_t ids[] = {9, 6, 3, 6, 5, 7, 6, 5};
    b2_text_buffer model = small_model(2, NULL);
    b2_tokenizer *tokenizer;

    ck_assert_status_ok(open_with("tokenizer.model", model.data, model.length, &tokenizer));
    ck_assert_uint_eq(b2_tokenizer_vocab(tokenizer), 10);
    ck_assert_ids(tokenizer, "a  ab<x>ab", ids, sizeof ids / sizeof *ids);
    b2_tokenizer_close(tokenizer);
    b2_text_free(&model);
}
END_TEST

START_TEST(wrong_models_are_refused) {
    b2_text_buffer model = small_model(3, NULL);
    b2_tokenizer *tokenizer;

    ck_assert_status(open_with("spiece.model", model.data, model.length, &tokenizer),
                     BLIP2_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "type 3"));
    b2_text_free(&model);
    for (uint64_t type = 1; type <= 2; type++) {
        model = small_model(type, "a");
        ck_assert_status(open_with("spiece.model", model.data, model.length, &tokenizer),
                         BLIP2_EFORMAT);
        ck_assert_ptr_nonnull(strstr(blip2_error_message(), "\"a\" is there twice"));
        b2_text_free(&model);
        model = small_model(type, "\xFF");
        ck_assert_status(open_with("spiece.model", model.data, model.length, &tokenizer),
                         BLIP2_EFORMAT);
        ck_assert_ptr_nonnull(strstr(blip2_error_message(), "no text"));
        b2_text_free(&model);
    }
    ck_assert_status(open_with("spiece.model", "", 0, &tokenizer), BLIP2_EFORMAT);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "0 pieces"));
}
END_TEST

/* Whatever the bytes are: an answer, and a tokenizer that works when there is one. */
static void convert_and_use(const char *bytes, size_t size) {
    static const char text[] = " a ab</s><x>\xC3\xA9  b";
    b2_tokenizer *tokenizer = NULL;
    b2_tokens ids = {0};
    json_t *root;

    if (b2_spm_vocabulary(&root, bytes, size, "f") < 0) {
        ck_assert_ptr_null(root);
        return;
    }
    if (b2_tokenizer_build(&tokenizer, root, "f", true) == BLIP2_OK &&
        b2_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids) < 0)
        ck_abort_msg("a text cannot be encoded");
    b2_tokens_free(&ids);
    b2_tokenizer_close(tokenizer);
    json_decref(root);
}

START_TEST(damaged_models_do_no_harm) {
    for (uint64_t type = 1; type <= 2; type++) {
        b2_text_buffer model = small_model(type, "<0x41>");

        for (size_t i = 0; i < model.length * 8; i++) {
            model.data[i / 8] = (char)(model.data[i / 8] ^ 1 << i % 8);
            convert_and_use(model.data, model.length);
            model.data[i / 8] = (char)(model.data[i / 8] ^ 1 << i % 8);
        }
        for (size_t length = 0; length < model.length; length++)
            convert_and_use(model.data, length);
        b2_text_free(&model);
    }
}
END_TEST

START_TEST(every_allocation_of_a_model_may_fail) {
    json_set_alloc_funcs(b2_alloc, b2_free);
    for (uint64_t type = 1; type <= 2; type++) {
        b2_text_buffer model = small_model(type, NULL);
        bool done = false;
        int64_t n;

        for (n = 0; !done && n < 100000; n++) {
            json_t *root;
            blip2_status status;

            b2_alloc_fail_after(n);
            status = b2_spm_vocabulary(&root, model.data, model.length, "f");
            done = b2_alloc_count() <= n;
            b2_alloc_fail_after(-1);
            ck_assert(status == (done ? BLIP2_OK : BLIP2_ENOMEM) ||
                      strstr(blip2_error_message(), "not valid JSON") != NULL);
            json_decref(root);
        }
        ck_assert(done);
        ck_assert_int_gt(n, 30);
        b2_text_free(&model);
    }
    json_set_alloc_funcs(malloc, free);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vocabularies");
    TCase *tcase = tcase_create("vocabularies");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, bert_vocabulary_is_the_tokenizer);
    tcase_add_test(tcase, dec_comes_behind_the_vocabulary);
    tcase_add_test(tcase, damaged_vocabularies_are_refused);
    tcase_add_test(tcase, llama_model_is_the_tokenizer);
    tcase_add_test(tcase, unigram_model_is_t5);
    tcase_add_test(tcase, bpe_model_is_llama);
    tcase_add_test(tcase, wrong_models_are_refused);
    tcase_add_test(tcase, damaged_models_do_no_harm);
    tcase_add_test(tcase, every_allocation_of_a_model_may_fail);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
