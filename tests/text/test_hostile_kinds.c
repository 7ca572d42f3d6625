/* As test_hostile.c, for the tokenizers that are not byte-level BPE. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cases.h"
#include "text/charsmap.h"

static const char wordpiece[] =
    "{\"added_tokens\": [{\"content\": \"[X]\", \"special\": true, \"single_word\": true}],"
    "\"normalizer\": {\"type\": \"BertNormalizer\"},"
    "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},"
    "\"post_processor\": {\"type\": \"BertProcessing\", \"cls\": [\"a\", 1], \"sep\": [\"b\", 2]},"
    "\"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true},"
    "\"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\","
    "  \"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100,"
    "  \"vocab\": {\"[UNK]\": 0, \"a\": 1, \"b\": 2, \"##b\": 3, \"x\": 4}}}";

/* Its charsmap is put in below. */
static const char unigram[] =
    "{\"added_tokens\": [{\"content\": \"</s>\", \"special\": true, \"normalized\": false}],"
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": ["
    "  {\"type\": \"Precompiled\", \"precompiled_charsmap\": \"@CHARSMAP@\"},"
    "  {\"type\": \"Strip\", \"strip_left\": false, \"strip_right\": true},"
    "  {\"type\": \"Replace\", \"pattern\": {\"Regex\": \" {2,}\"}, \"content\": \" \"}]},"
    "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": "
    "\"WhitespaceSplit\"},"
    "  {\"type\": \"Metaspace\", \"replacement\": \"\xE2\x96\x81\", \"prepend_scheme\": "
    "\"always\"}]},"
    "\"decoder\": {\"type\": \"Metaspace\", \"replacement\": \"\xE2\x96\x81\"},"
    "\"model\": {\"type\": \"Unigram\", \"unk_id\": 0, \"byte_fallback\": true, \"vocab\": "
    "  [[\"<unk>\", 0], [\"\xE2\x96\x81\", -1.5], [\"b\", -2.25], [\"\xE2\x96\x81"
    "b\", -3.125],"
    "   [\"1/2\", -2.0], [\"<0x61>\", -9.0]]}}";

static const char llama[] =
    "{\"added_tokens\": [{\"content\": \"</s>\", \"special\": true, \"normalized\": true}],"
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": ["
    "  {\"type\": \"Prepend\", \"prepend\": \"_\"},"
    "  {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"_\"}]},"
    "\"decoder\": {\"type\": \"Sequence\", \"decoders\": ["
    "  {\"type\": \"Replace\", \"pattern\": {\"String\": \"_\"}, \"content\": \" \"},"
    "  {\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"},"
    "  {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]},"
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"<unk>\", \"fuse_unk\": true,"
    "  \"byte_fallback\": true, \"merges\": [[\"_\", \"a\"]],"
    "  \"vocab\": {\"<unk>\": 0, \"_\": 1, \"a\": 2, \"_a\": 3, \"<0xC3>\": 4, \"<0xA9>\": 5}}}";

static const refusal of_wordpiece[] = {
    {"normalizer.type", "\"NFKC\"", BLIP2_ENOTSUP, "normaliser \"NFKC\" is not supported"},
    {"normalizer.type", "null", BLIP2_EFORMAT, "normalizer.type"},
    {"normalizer.clean_text", "1", BLIP2_EFORMAT, "normalizer.clean_text"},
    {"normalizer.lowercase", "\"yes\"", BLIP2_EFORMAT, "normalizer.lowercase"},
    {"normalizer.strip_accents", "0", BLIP2_EFORMAT, "normalizer.strip_accents"},
    {"decoder.prefix", "3", BLIP2_EFORMAT, "decoder.prefix"},
    {"decoder.cleanup", "3", BLIP2_EFORMAT, "decoder.cleanup"},
    {"decoder",
     "{\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Fuse\"}, {\"type\": "
     "\"WordPiece\"}]}",
     BLIP2_ENOTSUP, "decoder \"WordPiece\" behind"},
    {"model.unk_token", NULL, BLIP2_EFORMAT, "model.unk_token"},
    {"model.unk_token", "\"[unk]\"", BLIP2_EFORMAT, "model.unk_token"},
    {"model.continuing_subword_prefix", NULL, BLIP2_EFORMAT, "model.continuing_subword_prefix"},
    {"model.max_input_chars_per_word", "-1", BLIP2_EFORMAT, "model.max_input_chars_per_word"},
    {"model.max_input_chars_per_word", "1.5", BLIP2_EFORMAT, "model.max_input_chars_per_word"},
    {"model.vocab", "[]", BLIP2_EFORMAT, "model.vocab"},
    {"model.vocab", "{\"[UNK]\": -1}", BLIP2_EFORMAT, "got -1"},
    {"post_processor.cls", "[\"a\"]", BLIP2_EFORMAT, "cls[1]"},
    {"post_processor.sep", "[\"a\", 77]", BLIP2_EFORMAT, "no token has id 77"},
};

#define NORMALIZERS(list) "{\"type\": \"Sequence\", \"normalizers\": [" list "]}"
#define LONG_REPLACE                                                                               \
    "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": "                      \
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"
#define LOWER "{\"type\": \"Lowercase\"}"
static const refusal of_unigram[] = {
    {"normalizer", "{\"type\": \"Sequence\"}", BLIP2_EFORMAT, "normalizer.normalizers"},
    {"normalizer", NORMALIZERS("{\"type\": \"Nmt\"}"), BLIP2_ENOTSUP, "normaliser \"Nmt\""},
    {"normalizer", NORMALIZERS("3"), BLIP2_EFORMAT, "normalizer.type"},
    {"normalizer", NORMALIZERS(LONG_REPLACE "," LONG_REPLACE "," LONG_REPLACE), BLIP2_ENOTSUP,
     "more than 4096 times longer"},
    {"normalizer",
     NORMALIZERS(LOWER "," LOWER "," LOWER "," LOWER "," LOWER "," LOWER "," LOWER "," LOWER
                       "," LOWER "," LOWER "," LOWER "," LOWER "," LOWER),
     BLIP2_ENOTSUP, "more than 4096 times longer"},
    {"normalizer", "{\"type\": \"Strip\", \"strip_left\": 1}", BLIP2_EFORMAT, "strip_left"},
    {"normalizer", "{\"type\": \"Prepend\"}", BLIP2_EFORMAT, "normalizer.prepend"},
    {"normalizer", "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\"}, \"content\": \"\"}",
     BLIP2_EFORMAT, "normalizer.pattern.String"},
    {"normalizer", "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}}", BLIP2_EFORMAT,
     "normalizer.content"},
    {"normalizer", "{\"type\": \"Replace\", \"pattern\": \"a\", \"content\": \"\"}", BLIP2_EFORMAT,
     "normalizer.pattern.String"},
    {"normalizer", "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"a+\"}, \"content\": \"\"}",
     BLIP2_ENOTSUP, "expression \"a+\""},
    {"normalizer", "{\"type\": \"Precompiled\"}", BLIP2_EFORMAT, "precompiled_charsmap"},
    {"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"\"}", BLIP2_EFORMAT,
     "precompiled_charsmap of 0 bytes"},
    {"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAA*\"}", BLIP2_EFORMAT,
     "not base64"},
    {"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAAA\"}",
     BLIP2_EFORMAT, "not base64"},
    {"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAAAA==\"}",
     BLIP2_EFORMAT, "without a trie"},
    {"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"/////wAAAAA=\"}",
     BLIP2_EFORMAT, "of 8 bytes: expected a trie of 4294967292"},
    {"normalizer", "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"BAAAAAAAAAD/\"}",
     BLIP2_EFORMAT, "not UTF-8"},
    {"pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"ab\"}", BLIP2_EFORMAT,
     "pre_tokenizer.replacement"},
    {"pre_tokenizer",
     "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": \"last\"}",
     BLIP2_EFORMAT, "pre_tokenizer.prepend_scheme"},
    {"pre_tokenizer", "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"split\": 3}",
     BLIP2_EFORMAT, "pre_tokenizer.split"},
    {"decoder.replacement", "\"\"", BLIP2_EFORMAT, "decoder.replacement"},
    {"model.unk_id", "null", BLIP2_EFORMAT, "model.unk_id"},
    {"model.unk_id", "6", BLIP2_EFORMAT, "model.unk_id"},
    {"model.unk_id", "-1", BLIP2_EFORMAT, "model.unk_id"},
    {"model.byte_fallback", "0", BLIP2_EFORMAT, "model.byte_fallback"},
    {"model.vocab", "{}", BLIP2_EFORMAT, "model.vocab"},
    {"model.vocab", "[]", BLIP2_EFORMAT, "model.unk_id"},
    {"model.vocab", "[[\"a\"]]", BLIP2_EFORMAT, "model.vocab[0]"},
    {"model.vocab", "[[\"a\", 1], [2, 1]]", BLIP2_EFORMAT, "model.vocab[1]"},
    {"model.vocab", "[[\"a\", 1], [\"a\", 2]]", BLIP2_EFORMAT, "\"a\" is there twice"},
    {"model.vocab", "[[\"a\", null]]", BLIP2_EFORMAT, "model.vocab[0]"},
};

#define DECODERS(list) "{\"type\": \"Sequence\", \"decoders\": [" list "]}"
static const refusal of_llama[] = {
    {"decoder", "{\"type\": \"Sequence\"}", BLIP2_EFORMAT, "decoder.decoders"},
    {"decoder", DECODERS("{\"type\": \"Fuse\"}, {\"type\": \"ByteFallback\"}"), BLIP2_ENOTSUP,
     "decoder \"ByteFallback\" behind"},
    {"decoder", DECODERS("{\"type\": \"Fuse\"}, {\"type\": \"Replace\"}"), BLIP2_ENOTSUP,
     "decoder \"Replace\" behind"},
    {"decoder", DECODERS("{\"type\": \"Strip\"}"), BLIP2_ENOTSUP, "decoder \"Strip\" behind"},
    {"decoder", DECODERS("{\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \"ab\"}"),
     BLIP2_EFORMAT, "decoder.content"},
    {"decoder",
     DECODERS("{\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \"a\", \"start\": -1}"),
     BLIP2_EFORMAT, "decoder.start"},
    {"decoder",
     DECODERS("{\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \"a\", \"stop\": 1}"),
     BLIP2_ENOTSUP, "\"Strip\" at the end"},
    {"decoder", DECODERS(LONG_REPLACE "," LONG_REPLACE), BLIP2_ENOTSUP, "64 times longer"},
    {"decoder", "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"a\"}, \"content\": \"\"}",
     BLIP2_EFORMAT, "decoder.pattern.String"},
    {"added_tokens", "[{\"content\": \" \"}, {\"content\": \"_\"}]", BLIP2_EFORMAT,
     "two added tokens are \"__\""},
};

/* ---- charsmap ---------------------------------------------------------------------------- */

/* A trie with the keys "a" -> place 0 and "b" -> a place that each test sets, and three texts. */
typedef struct small_map {
    uint8_t bytes[4 + 4 * 256 + 7];
} small_map;

static void put_unit(small_map *map, size_t at, uint32_t unit) {
    for (size_t i = 0; i < 4; i++)
        map->bytes[4 + 4 * at + i] = (uint8_t)(unit >> 8 * i);
}

static small_map make_map(uint32_t place) {
    small_map map = {{0}};

    map.bytes[1] = 4 * 256 >> 8;
    put_unit(&map, 0, 0x80u << 10);
    put_unit(&map, 0x80 ^ 'a', 'a' | 0x100 | (0x80u ^ 'a' ^ 0x10) << 10);
    put_unit(&map, 0x10, 0x80000000);
    put_unit(&map, 0x80 ^ 'b', 'b' | 0x100 | (0x80u ^ 'b' ^ 0x11) << 10);
    put_unit(&map, 0x11, 0x80000000 | place);
    memcpy(map.bytes + 4 + 4 * 256, "\xC3\xA9\0x\0zz", 7);
    return map;
}

static const char *find(const small_map *bytes, const char *text, size_t *length) {
    b2_arena arena = {0};
    b2_charsmap map;
    static char found[8];
    const char *at;

    ck_assert_status_ok(b2_charsmap_parse(&map, &arena, bytes->bytes, sizeof bytes->bytes, "f"));
    at = b2_charsmap_find(&map, text, strlen(text), length);
    if (at != NULL)
        memcpy(found, at, *length + 1);
    b2_arena_free(&arena);
    return at != NULL ? found : NULL;
}

START_TEST(charsmaps_that_point_anywhere) {
    small_map map = make_map(3);
    size_t length;

    ck_assert_str_eq(find(&map, "ab", &length), "\xC3\xA9");
    ck_assert_str_eq(find(&map, "b", &length), "x");
    ck_assert_ptr_null(find(&map, "c", &length));
    ck_assert_ptr_null(find(&map, "", &length));
    map = make_map(7); /* the end of the texts: nothing is left */
    ck_assert_str_eq(find(&map, "b", &length), "");
    map = make_map(8);
    ck_assert_ptr_null(find(&map, "b", &length));
    map = make_map(0x7FFFFFFF);
    ck_assert_ptr_null(find(&map, "b", &length));
    map = make_map(1); /* inside a character */
    ck_assert_ptr_null(find(&map, "b", &length));
    put_unit(&map, 0x80 ^ 'b', 'b' | 0x100 | 0x3FFFFFu << 10); /* its value is outside */
    ck_assert_ptr_null(find(&map, "b", &length));
    put_unit(&map, 0x80 ^ 'b', 'b' | 0x200 | 0x3FFFFFu << 10); /* its children are */
    ck_assert_ptr_null(find(&map, "bb", &length));
    put_unit(&map, 0, 0x3FFFFFu << 10);
    ck_assert_ptr_null(find(&map, "a", &length));
}
END_TEST

/* A real one, T5's, with damage in 60 places. */
START_TEST(damaged_charsmaps_do_no_harm) {
    size_t size;
    char *json = read_tokenizer("tok_t5", &size), *map, *end;

    map = strstr(json, "precompiled_charsmap");
    ck_assert_ptr_nonnull(map);
    map = strchr(map + strlen("precompiled_charsmap") + 1, '"') + 1;
    end = strchr(map, '"');
    for (uint32_t i = 0, state = 1; i < 60; i++) {
        char kept[64];
        char *at;

        state = state * 1664525 + 1013904223;
        at = map + 8 + (state >> 4) % (size_t)(end - map - 80);
        memcpy(kept, at, sizeof kept);
        for (size_t k = 0; k < sizeof kept; k++)
            at[k] = (char)('A' + (state >> k % 24) % 26);
        parse_and_use(json, size);
        memcpy(at, kept, sizeof kept);
    }
    b2_free(json);
}
END_TEST

/* ---- whole files ------------------------------------------------------------------------- */

/* The Unigram file with its charsmap. */
static const char *whole_unigram(void) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static char json[sizeof unigram + sizeof(small_map) * 2];
    const char *mark = strstr(unigram, "@CHARSMAP@");
    char *out = json + (mark - unigram);
    small_map map = make_map(3);

    memcpy(json, unigram, sizeof unigram);
    for (size_t i = 0; i < sizeof map.bytes; i += 3) {
        uint32_t three =
            (uint32_t)map.bytes[i] << 16 | (uint32_t)map.bytes[i + 1] << 8 | map.bytes[i + 2];

        for (int shift = 18; shift >= 0; shift -= 6)
            *out++ = digits[three >> shift & 63];
    }
    strcpy(out, mark + strlen("@CHARSMAP@"));
    return json;
}

START_TEST(wrong_values_are_refused) {
    for (size_t i = 0; i < sizeof of_wordpiece / sizeof *of_wordpiece; i++)
        ck_assert_refused(wordpiece, of_wordpiece + i);
    for (size_t i = 0; i < sizeof of_unigram / sizeof *of_unigram; i++)
        ck_assert_refused(whole_unigram(), of_unigram + i);
    for (size_t i = 0; i < sizeof of_llama / sizeof *of_llama; i++)
        ck_assert_refused(llama, of_llama + i);
}
END_TEST

START_TEST(flipped_bits_do_no_harm) {
    const char *const files[] = {wordpiece, whole_unigram(), llama};

    for (size_t f = 0; f < 3; f++) {
        size_t size = strlen(files[f]);
        char *json = malloc(size);

        ck_assert_ptr_nonnull(json);
        memcpy(json, files[f], size);
        parse_and_use(json, size);
        for (size_t i = 0; i < size * 8; i++) {
            json[i / 8] = (char)(json[i / 8] ^ 1 << i % 8);
            parse_and_use(json, size);
            json[i / 8] = files[f][i / 8];
        }
        free(json);
    }
}
END_TEST

START_TEST(every_allocation_may_fail) {
    ck_assert_int_gt(fail_every_allocation(wordpiece), 50);
    ck_assert_int_gt(fail_every_allocation(whole_unigram()), 50);
    ck_assert_int_gt(fail_every_allocation(llama), 50);
}
END_TEST

/* Long texts that are one piece, or one match after the other. */
START_TEST(long_texts_take_no_quadratic_time) {
    const char *const files[] = {wordpiece, whole_unigram(), llama};
    static const char *const units[] = {"a", "b", " ", "x.", "\xC2\xBD", "\xCC\x81", "_"};

    for (size_t i = 0; i < 3 * sizeof units / sizeof *units; i++) {
        const char *json = files[i % 3];
        b2_tokenizer *tokenizer;
        b2_text_buffer text = {0};
        b2_tokens ids = {0};

        ck_assert_status_ok(b2_tokenizer_parse(&tokenizer, json, strlen(json), "f"));
        while (text.length < 300000)
            b2_text_append(&text, units[i / 3], strlen(units[i / 3]));
        ck_assert_status_ok(b2_tokenizer_encode(tokenizer, text.data, text.length, true, &ids));
        b2_tokens_free(&ids);
        b2_text_free(&text);
        b2_tokenizer_close(tokenizer);
    }
}
END_TEST

int main(void) {
    const TTest *const tests[] = {wrong_values_are_refused,     charsmaps_that_point_anywhere,
                                  damaged_charsmaps_do_no_harm, flipped_bits_do_no_harm,
                                  every_allocation_may_fail,    long_texts_take_no_quadratic_time};

    return run_hostile("hostile tokenizers of other kinds", 120, tests,
                       sizeof tests / sizeof *tests);
}
