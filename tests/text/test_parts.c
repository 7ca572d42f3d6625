/* The parts by themselves: random tokenizers against the `tokenizers` library (variants.py), the
 * classes of all code points (unicode_classes.py), UTF-8. Argument: another file of variants.py. */
#include <stdio.h>
#include <string.h>

#include "cases.h"
#include "text/parts.h"
#include "text/utf8.h"

static const char *paths[] = {BLIP2_SOURCE_DIR "/tests/text/variants.jsonl",
                              BLIP2_SOURCE_DIR "/tests/text/variants_kinds.jsonl"};

/* ---- random tokenizers ------------------------------------------------------------------- */

static int compare_variant(const json_t *record) {
    const json_t *encode = json_object_get(record, "encode");
    const json_t *decode = json_object_get(record, "decode");
    char *json = json_dumps(json_object_get(record, "tokenizer"), 0);
    b2_tokenizer *tokenizer = NULL;
    int bad = 0;

    ck_assert_ptr_nonnull(json);
    ck_assert_status_ok(b2_tokenizer_parse(&tokenizer, json, strlen(json), "variant"));
    for (size_t i = 0; i < json_array_size(encode); i++) {
        const json_t *row = json_array_get(encode, i);

        bad += !encodes_to(tokenizer, json_array_get(row, 0), true, json_array_get(row, 1));
        bad += !encodes_to(tokenizer, json_array_get(row, 0), false, json_array_get(row, 2));
    }
    for (size_t i = 0; i < json_array_size(decode); i++) {
        const json_t *row = json_array_get(decode, i), *ids = json_array_get(row, 0);

        bad += !decodes_to(tokenizer, ids, true, false, json_array_get(row, 1));
        bad += !decodes_to(tokenizer, ids, false, false, json_array_get(row, 2));
    }
    b2_tokenizer_close(tokenizer);
    free(json);
    return bad;
}

static void compare_file(const char *path) {
    FILE *file = fopen(path, "rb");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    long variants = 0, bad = 0;

    ck_assert_msg(file != NULL, "%s cannot be opened", path);
    while ((length = getline(&line, &capacity, file)) > 0) {
        json_t *record = json_loadb(line, (size_t)length, JSON_ALLOW_NUL, NULL);
        int differences;

        ck_assert_ptr_nonnull(record);
        differences = compare_variant(record);
        if (differences > 0)
            (void)fprintf(stderr, "variant %ld: %d differences\n", variants, differences);
        bad += differences;
        variants++;
        json_decref(record);
    }
    (void)fclose(file);
    free(line);
    (void)printf("%ld tokenizers, %ld differences\n", variants, bad);
    ck_assert_int_gt(variants, 0);
    ck_assert_int_eq(bad, 0);
}

START_TEST(every_variant_is_equal) {
    compare_file(paths[_i]);
}
END_TEST

/* What the library makes of scores (as it writes them when it saves the tokenizer). */
START_TEST(scores_are_read_as_the_library_reads_them) {
    static const char json[] =
        "{\"decoder\": {\"type\": \"Fuse\"}, \"model\": {\"type\": \"Unigram\", \"unk_id\": 0, "
        "\"vocab\": "
        "[[\"<unk>\", 0.0], [\"a\", -3.3226234912872314], [\"b\", -2.682223081588745], [\"c\", -2],"
        "[\"d\", -9.31322574615478e-10], [\"e\", -0.30000000000000004], [\"f\", 5e-324], [\"g\", "
        "1e22],"
        "[\"h\", -12.517186164855957]]}}";
    static const double scores[] = {0.0,
                                    -3.322623491287231,
                                    -2.682223081588745,
                                    -2.0,
                                    -9.31322574615478e-10,
                                    -0.30000000000000004,
                                    5e-324,
                                    1e+22,
                                    -12.517186164855955};
    b2_tokenizer *tokenizer;

    ck_assert_status_ok(b2_tokenizer_parse(&tokenizer, json, sizeof json - 1, "scores"));
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++)
        ck_assert_msg(tokenizer->model.unigram.scores[i] == scores[i], "score %zu: %.17g", i,
                      tokenizer->model.unigram.scores[i]);
    b2_tokenizer_close(tokenizer);
}
END_TEST

/* ---- classes of code points -------------------------------------------------------------- */

enum { CODES = 0x110000 };
enum { LETTER = 1, NUMBER = 2, SPACE = 4, WORD = 8, STRIPPED = 16 };

static unsigned char *read_classes(void) {
    FILE *file = fopen(in_tests("text/classes.txt"), "r");
    unsigned char *classes = calloc(CODES, 1);
    unsigned int first, last;
    char name;

    ck_assert(file != NULL && classes != NULL);
    while (fscanf(file, " %c %x %x", &name, &first, &last) == 3)
        for (unsigned int code = first; code <= last && code < CODES; code++)
            classes[code] |= name == 'L'   ? LETTER
                             : name == 'N' ? NUMBER
                             : name == 'S' ? SPACE
                             : name == 'W' ? WORD
                                           : STRIPPED;
    (void)fclose(file);
    return classes;
}

static size_t put_character(char *text, unsigned int code) {
    size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};

    for (size_t i = length; i-- > 1; code >>= 6)
        text[i] = (char)(0x80 | (code & 0x3F));
    text[0] = (char)(lead[length] | code);
    return length;
}

/* Does the pattern take a and the character as one piece? */
static bool goes_with(const b2_matcher *matcher, char a, const char *character, size_t length) {
    char text[8] = {a};
    size_t end;

    memcpy(text + 1, character, length);
    return b2_matcher_at(matcher, text, length + 1, 0, &end) == BLIP2_OK && end == length + 1;
}

static const char class_tokenizer[] =
    "{\"added_tokens\": [{\"content\": \"Q\", \"single_word\": true},"
    "{\"content\": \"R\", \"rstrip\": true}],"
    "\"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"decoder\": {\"type\": \"ByteLevel\"},"
    "\"model\": {\"type\": \"BPE\", \"vocab\": {}, \"merges\": []}}";

/* No assertions in here: each one writes to Check's pipe. */
static unsigned char class_of(const b2_tokenizer *tokenizer, const b2_matcher *matcher,
                              const b2_matcher *word, unsigned int code) {
    const b2_added_set *set = &tokenizer->added.normalized;
    char text[8] = "Q";
    size_t length = put_character(text + 1, code);
    b2_added_match match = {0};
    unsigned char class = 0;

    if (goes_with(matcher, 'a', text + 1, length))
        class = LETTER;
    else if (goes_with(matcher, '1', text + 1, length))
        class = NUMBER;
    else if (!goes_with(matcher, '!', text + 1, length))
        class = SPACE;
    if (b2_added_find(set, word, text, length + 1, &match) < 0)
        return 0xFF;
    class |= match.token == NULL || match.start > 0 ? WORD : 0; /* U+0052 is the other token */
    text[0] = 'R';
    match = (b2_added_match){0};
    if (b2_added_find(set, word, text, length + 1, &match) < 0)
        return 0xFF;
    return class | (match.end == length + 1 ? STRIPPED : 0);
}

/* A PCRE2 with a newer Unicode than 16 knows more letters than the reference; then only what was
 * assigned in Unicode 14, the oldest supported, could be compared, and this is left out. */
static bool pcre2_is_comparable(void) {
    char version[32] = "";

    (void)pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    return atoi(version) >= 14 && atoi(version) <= 16;
}

START_TEST(every_code_point_has_the_class_of_the_library) {
    unsigned char *classes = read_classes();
    b2_tokenizer *tokenizer;
    b2_matcher matcher, word;
    int bad = 0;

    ck_assert_status_ok(
        b2_tokenizer_parse(&tokenizer, class_tokenizer, strlen(class_tokenizer), "classes"));
    ck_assert_status_ok(b2_matcher_open(&matcher, &tokenizer->pretokenizers.word));
    ck_assert_status_ok(b2_matcher_open(&word, &tokenizer->added.word));
    for (unsigned int code = 0; code < CODES && pcre2_is_comparable(); code++) {
        char character[4];
        size_t length;
        unsigned char got;

        if (code >= 0xD800 && code < 0xE000)
            continue;
        length = put_character(character, code);
        got = class_of(tokenizer, &matcher, &word, code);
        if ((got != classes[code] || b2_utf8_scan(character, length) != (int)length) && bad++ < 20)
            (void)fprintf(stderr, "U+%04X: classes %d, expected %d\n", code, got, classes[code]);
    }
    b2_matcher_close(&matcher);
    b2_matcher_close(&word);
    b2_tokenizer_close(tokenizer);
    free(classes);
    ck_assert_int_eq(bad, 0);
}
END_TEST

/* ---- UTF-8 ------------------------------------------------------------------------------- */

/* Python's bytes.decode(errors="replace") of each, which is Rust's from_utf8_lossy. */
#define BAD "\xEF\xBF\xBD"
static const struct {
    const char *bytes, *text;
} lossy[] = {
    {"abc", "abc"},
    {"\x80", BAD},
    {"a\xC3", "a" BAD},
    {"\xC3\x28", BAD "("},
    {"\xC0\x80", BAD BAD},
    {"\xE2\x82", BAD},
    {"\xE2\x82z", BAD "z"},
    {"\xE2\x28\xA1", BAD "(" BAD},
    {"\xED\xA0\x80", BAD BAD BAD},
    {"\xE0\x80\x80", BAD BAD BAD},
    {"\xF0\x9F\x98", BAD},
    {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
    {"\xF0\x9F\xE2\x82\xAC", BAD "\xE2\x82\xAC"},
    {"\xF0\x80\x80\x80", BAD BAD BAD BAD},
    {"\xF4\x90\x80\x80", BAD BAD BAD BAD},
    {"\xF5\x80", BAD BAD},
    {"\xFF\xFEx", BAD BAD "x"},
    {"\xE2\x82\xE2\x82\xAC\xC3", BAD "\xE2\x82\xAC" BAD},
};

START_TEST(invalid_utf8_is_replaced) {
    for (size_t i = 0; i < sizeof lossy / sizeof *lossy; i++) {
        b2_text_buffer text = {0};
        size_t length = strlen(lossy[i].bytes);

        ck_assert_uint_eq(b2_utf8_append(&text, lossy[i].bytes, length, false), length);
        ck_assert_str_eq(b2_text_data(&text), lossy[i].text);
        b2_text_free(&text);
    }
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("text parts");
    TCase *tcase = tcase_create("parts");

    if (argc == 2)
        paths[0] = paths[1] = argv[1];
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_variant_is_equal, 0, 2);
    tcase_add_test(tcase, scores_are_read_as_the_library_reads_them);
    tcase_add_test(tcase, every_code_point_has_the_class_of_the_library);
    tcase_add_test(tcase, invalid_utf8_is_replaced);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
