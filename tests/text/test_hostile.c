/* Files that are not what they should be, parts that this library does not have, and memory that
 * runs out at every possible moment. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cases.h"

static const char base[] =
    "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 0, \"content\": \"</s>\", \"special\": "
    "true,"
    "\"single_word\": true, \"lstrip\": false, \"rstrip\": false, \"normalized\": false}],"
    "\"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": "
    "true},"
    "\"post_processor\": {\"type\": \"TemplateProcessing\","
    "  \"single\": [{\"SpecialToken\": {\"id\": \"S\"}}, {\"Sequence\": {\"id\": \"A\"}}],"
    "  \"special_tokens\": {\"S\": {\"ids\": [0]}}},"
    "\"decoder\": {\"type\": \"ByteLevel\"},"
    "\"model\": {\"type\": \"BPE\", \"vocab\": {\"</s>\": 0, \"a\": 1, \"b\": 2, \"ab\": 3},"
    "  \"merges\": [[\"a\", \"b\"]]}}";

/* ---- wrong files ------------------------------------------------------------------------- */

static const refusal refused[] = {
    {"version", "\"2.0\"", BLIP2_EFORMAT, "f: version: expected \"1.0\", got \"2.0\""},
    {"version", "1", BLIP2_EFORMAT, "version"},
    {"normalizer", "{\"type\": \"NFKC\"}", BLIP2_ENOTSUP, "normaliser \"NFKC\""},
    {"normalizer", "7", BLIP2_EFORMAT, "normalizer"},
    {"pre_tokenizer", "{\"type\": \"Metaspace\"}", BLIP2_EFORMAT, "pre_tokenizer.replacement"},
    {"pre_tokenizer", "{}", BLIP2_EFORMAT, "pre_tokenizer.type"},
    {"pre_tokenizer", "[]", BLIP2_EFORMAT, "pre_tokenizer.type"},
    {"pre_tokenizer", "{\"type\": \"Sequence\"}", BLIP2_EFORMAT, "pretokenizers"},
    {"pre_tokenizer", "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\"}]}",
     BLIP2_ENOTSUP, "\"Split\""},
    {"pre_tokenizer.use_regex", "1", BLIP2_EFORMAT, "pre_tokenizer.use_regex"},
    {"post_processor", "{\"type\": \"BertProcessing\"}", BLIP2_EFORMAT, "post_processor.cls[1]"},
    {"post_processor", "{\"type\": \"Other\"}", BLIP2_ENOTSUP, "post-processor \"Other\""},
    {"post_processor", "{\"type\": 3}", BLIP2_EFORMAT, "post_processor.type"},
    {"post_processor", "{\"type\": \"Sequence\"}", BLIP2_EFORMAT, "processors"},
    {"post_processor",
     "{\"type\": \"Sequence\", \"processors\": ["
     "{\"type\": \"RobertaProcessing\", \"cls\": [\"a\", 1], \"sep\": [\"b\", 2]},"
     "{\"type\": \"RobertaProcessing\", \"cls\": [\"a\", 1], \"sep\": [\"b\", 2]}]}",
     BLIP2_ENOTSUP, "behind another"},
    {"post_processor", "{\"type\": \"RobertaProcessing\", \"cls\": [\"a\", 1], \"sep\": [\"b\"]}",
     BLIP2_EFORMAT, "sep[1]"},
    {"post_processor.single", "[{\"Sequence\": {\"id\": \"B\"}}]", BLIP2_EFORMAT, "single"},
    {"post_processor.single", "[{\"SpecialToken\": {\"id\": \"T\"}}]", BLIP2_EFORMAT,
     "special_tokens"},
    {"post_processor.single", "\"$A\"", BLIP2_EFORMAT, "single"},
    {"post_processor.special_tokens", "{\"S\": {\"ids\": [-1]}}", BLIP2_EFORMAT, "token id"},
    {"post_processor.special_tokens", "{\"S\": {\"ids\": [9]}}", BLIP2_EFORMAT,
     "no token has id 9"},
    {"decoder", "null", BLIP2_ENOTSUP, "without a decoder"},
    {"decoder", NULL, BLIP2_ENOTSUP, "without a decoder"},
    {"decoder", "{\"type\": \"CTC\"}", BLIP2_ENOTSUP, "decoder \"CTC\""},
    {"decoder", "{}", BLIP2_EFORMAT, "decoder.type"},
    {"model", NULL, BLIP2_EFORMAT, "model"},
    {"model", "[]", BLIP2_EFORMAT, "model"},
    {"model.type", "\"WordLevel\"", BLIP2_ENOTSUP, "model \"WordLevel\""},
    {"model.type", "4", BLIP2_EFORMAT, "model.type"},
    {"model.dropout", "0.1", BLIP2_ENOTSUP, "dropout"},
    {"model.dropout", "\"no\"", BLIP2_EFORMAT, "dropout"},
    {"model.byte_fallback", "1", BLIP2_EFORMAT, "byte_fallback"},
    {"model.continuing_subword_prefix", "\"##\"", BLIP2_ENOTSUP, "continuing_subword_prefix"},
    {"model.end_of_word_suffix", "\"</w>\"", BLIP2_ENOTSUP, "end_of_word_suffix"},
    {"model.end_of_word_suffix", "5", BLIP2_EFORMAT, "end_of_word_suffix"},
    {"model.fuse_unk", "\"true\"", BLIP2_EFORMAT, "fuse_unk"},
    {"model.unk_token", "\"<unk>\"", BLIP2_EFORMAT, "unk_token"},
    {"model.unk_token", "1", BLIP2_EFORMAT, "unk_token"},
    {"model.vocab", NULL, BLIP2_EFORMAT, "model.vocab"},
    {"model.vocab", "[[\"a\", 0.5]]", BLIP2_EFORMAT, "model.vocab"},
    {"model.vocab", "{\"a\": -1}", BLIP2_EFORMAT, "\"a\": expected an id in 0..1048575, got -1"},
    {"model.vocab", "{\"a\": 1048576}", BLIP2_EFORMAT, "got 1048576"},
    {"model.vocab", "{\"a\": 9223372036854775807}", BLIP2_EFORMAT, "got 9223372036854775807"},
    {"model.vocab", "{\"a\": 1.5}", BLIP2_EFORMAT, "got 1.5"},
    {"model.vocab", "{\"a\": null}", BLIP2_EFORMAT, "got null"},
    {"model.vocab", "{\"a\": 1, \"b\": 1, \"ab\": 2}", BLIP2_EFORMAT,
     "id 1 is given to two tokens"},
    {"model.vocab", "{}", BLIP2_EFORMAT, "merges[0]: \"a\" is no token"},
    {"model.merges", NULL, BLIP2_EFORMAT, "merges"},
    {"model.merges", "{}", BLIP2_EFORMAT, "merges"},
    {"model.merges", "[\"a x\"]", BLIP2_EFORMAT, "\"x\" is no token"},
    {"model.merges", "[\"a b\", \"b a\"]", BLIP2_EFORMAT, "merges[1]: \"ba\" is no token"},
    {"model.merges", "[\"a  b\"]", BLIP2_EFORMAT, "merges[0]: expected"},
    {"model.merges", "[\"ab\"]", BLIP2_EFORMAT, "merges[0]: expected"},
    {"model.merges", "[[\"a\"]]", BLIP2_EFORMAT, "merges[0]: expected"},
    {"model.merges", "[[\"a\", \"b\", \"c\"]]", BLIP2_EFORMAT, "merges[0]: expected"},
    {"model.merges", "[[\"a\", 3]]", BLIP2_EFORMAT, "merges[0]: expected"},
    {"model.merges", "[null]", BLIP2_EFORMAT, "merges[0]: expected"},
    {"added_tokens", "{}", BLIP2_EFORMAT, "added_tokens"},
    {"added_tokens", "[3]", BLIP2_EFORMAT, "content"},
    {"added_tokens", "[{\"content\": 3}]", BLIP2_EFORMAT, "content"},
    {"added_tokens", "[{\"content\": \"x\", \"special\": 1}]", BLIP2_EFORMAT, "special"},
};

START_TEST(wrong_values_are_refused) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        ck_assert_refused(base, refused + i);
}
END_TEST

static const char *const not_json[] = {"", " ", "{", "[]", "null", "{\"model\"", "\xFF", "{}"};

START_TEST(what_is_no_tokenizer_is_refused) {
    b2_tokenizer *tokenizer;
    char deep[4000];

    for (size_t i = 0; i < sizeof not_json / sizeof *not_json; i++)
        ck_assert_status(b2_tokenizer_parse(&tokenizer, not_json[i], strlen(not_json[i]), "f"),
                         BLIP2_EFORMAT);
    memset(deep, '[', sizeof deep);
    ck_assert_status(b2_tokenizer_parse(&tokenizer, deep, sizeof deep, "f"), BLIP2_EFORMAT);
    ck_assert_status(b2_tokenizer_open(&tokenizer, in_tests("no such folder")), BLIP2_EIO);
    ck_assert_ptr_null(tokenizer);
}
END_TEST

/* 100 tokens of 100 ids each for every text. */
START_TEST(long_templates_are_refused) {
    b2_text_buffer json = {0};
    b2_tokenizer *tokenizer;
    const char *after = strstr(base, "{\"ids\": [0]") + strlen("{\"ids\": [0");
    const char *list = strstr(base, "[{\"SpecialToken\"") + 1;

    b2_text_append(&json, base, (size_t)(list - base));
    for (int i = 0; i < 100; i++)
        b2_text_appendf(&json, "{\"SpecialToken\": {\"id\": \"S\"}},");
    b2_text_append(&json, list, (size_t)(after - list));
    for (int i = 0; i < 100; i++)
        b2_text_appendf(&json, ",0");
    b2_text_appendf(&json, "%s", after);
    ck_assert_status(b2_tokenizer_parse(&tokenizer, json.data, json.length, "f"), BLIP2_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "more than 64 items"));
    b2_text_free(&json);
}
END_TEST

START_TEST(small_vocabularies_work) {
    static const char *const paths[] = {"model.vocab", "model.merges", "added_tokens", "version"};
    static const char *const values[] = {"{\"a\": 5, \"b\": 1048575, \"ab\": 0}", "[]", "[]", NULL};

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char *json = changed(base, paths[i], values[i]);
        b2_tokenizer *tokenizer;
        b2_tokens ids = {0};

        ck_assert_status_ok(b2_tokenizer_parse(&tokenizer, json, strlen(json), "f"));
        ck_assert_status_ok(b2_tokenizer_encode(tokenizer, "xab </s> ab", 11, true, &ids));
        ck_assert_uint_gt(ids.count, 2);
        b2_tokens_free(&ids);
        b2_tokenizer_close(tokenizer);
        free(json);
    }
}
END_TEST

/* ---- damaged files ----------------------------------------------------------------------- */

START_TEST(truncated_files_are_refused) {
    size_t size;
    char *json = read_tokenizer("hf_blip2_opt", &size);
    b2_tokenizer *tokenizer;

    for (size_t length = 0; length + 2 < size; length += 7)
        ck_assert_status(b2_tokenizer_parse(&tokenizer, json, length, "truncated"), BLIP2_EFORMAT);
    b2_free(json);
}
END_TEST

START_TEST(flipped_bits_do_no_harm) {
    size_t size;
    char *json = read_tokenizer("hf_blip2_opt", &size);

    for (size_t i = 0; i < size; i += 3) {
        char kept = json[i];

        json[i] = (char)(kept ^ 1 << i / 3 % 8);
        parse_and_use(json, size);
        json[i] = kept;
    }
    b2_free(json);
}
END_TEST

/* ---- memory ------------------------------------------------------------------------------ */

START_TEST(every_allocation_may_fail) {
    ck_assert_int_gt(fail_every_allocation(base), 50);
}
END_TEST

START_TEST(file_on_disk_without_memory) {
    b2_tokenizer *tokenizer;

    for (int64_t n = 0; n < 4; n++) {
        blip2_status status;

        b2_alloc_fail_after(n);
        status = b2_tokenizer_open(&tokenizer, in_tests("golden/models/hf_blip2_opt"));
        b2_alloc_fail_after(-1);
        ck_assert_int_eq(status, BLIP2_ENOMEM);
        ck_assert_ptr_null(tokenizer);
    }
}
END_TEST

START_TEST(texts_have_a_limit) {
    b2_tokenizer *tokenizer;
    b2_tokens ids = {0};

    ck_assert_status_ok(b2_tokenizer_parse(&tokenizer, base, strlen(base), "f"));
    ck_assert_status(b2_tokenizer_encode(tokenizer, "", ((size_t)1 << 29) + 1, true, &ids),
                     BLIP2_EINVAL);
    ck_assert_uint_eq(ids.count, 0);
    b2_tokenizer_close(tokenizer);
}
END_TEST

int main(void) {
    const TTest *const tests[] = {
        wrong_values_are_refused,  what_is_no_tokenizer_is_refused, long_templates_are_refused,
        small_vocabularies_work,   truncated_files_are_refused,     flipped_bits_do_no_harm,
        every_allocation_may_fail, file_on_disk_without_memory,     texts_have_a_limit};

    return run_hostile("hostile tokenizers", 60, tests, sizeof tests / sizeof *tests);
}
