/* Properties of every code point against what the `tokenizers` library makes of it:
 * unicode_bert.txt, which unicode_tables.py --list wrote. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "text/normalize.h"
#include "text/unicode.h"
#include "text/utf8.h"

enum { CODES = 0x110000 };
enum { OTHER = 1, MARK = 2, PUNCTUATION = 4, CHINESE = 8, JOINED = 16 };

typedef struct mapping { /* what a code point becomes; count 0: itself */
    uint32_t codes[4];
    size_t count;
} mapping;

typedef struct expected {
    unsigned char *classes;         /* [CODES] */
    mapping *decomposition, *lower; /* [CODES] */
} expected;

static unsigned char class_named(char name) {
    static const char names[] = "OMPCJ";
    const char *at = strchr(names, name);

    return (unsigned char)(at != NULL ? 1 << (at - names) : 0);
}

static void read_mapping(mapping *all, const char *line) {
    char *at;
    unsigned long code = strtoul(line, &at, 16);
    mapping *m = all + code;

    ck_assert_uint_lt(code, CODES);
    while (*at == ' ' && m->count < 4)
        m->codes[m->count++] = (uint32_t)strtoul(at, &at, 16);
}

static expected read_expected(void) {
    FILE *file = fopen(in_tests("text/unicode_bert.txt"), "r");
    expected e = {calloc(CODES, 1), calloc(CODES, sizeof(mapping)), calloc(CODES, sizeof(mapping))};
    char line[128];

    ck_assert(file != NULL && e.classes != NULL && e.decomposition != NULL && e.lower != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned int first, last;

        if (line[0] == 'D' || line[0] == 'L') {
            read_mapping(line[0] == 'D' ? e.decomposition : e.lower, line + 2);
            continue;
        }
        ck_assert_int_eq(sscanf(line + 2, "%x %x", &first, &last), 2);
        for (unsigned int code = first; code <= last && code < CODES; code++)
            e.classes[code] = (unsigned char)(e.classes[code] | class_named(line[0]));
    }
    (void)fclose(file);
    return e;
}

static bool is_chinese(uint32_t code) {
    static const b2_normalizers chinese = {.list = {{.step = B2_NORMALIZE_CHINESE}}, .count = 1};
    b2_normalized work[2] = {0};
    b2_text_buffer text = {0};
    b2_span span;
    bool spaced;

    b2_utf8_put(&text, code);
    span = (b2_span){text.data, text.length, 0};
    spaced = b2_normalize(&chinese, span, work, &span) == BLIP2_OK && span.length > text.length;
    b2_text_free(&text);
    b2_text_free(&work[0].text);
    b2_text_free(&work[1].text);
    return spaced;
}

static unsigned char classes_of(uint32_t code) {
    char text[8] = "a";
    b2_text_buffer character = {0};
    unsigned char classes;

    b2_utf8_put(&character, code);
    memcpy(text + 1, character.data, character.length);
    classes =
        (unsigned char)((b2_unicode_is_other(code) ? OTHER : 0) |
                        (b2_unicode_is_mark(code) ? MARK : 0) |
                        (b2_unicode_is_punctuation(code) ? PUNCTUATION : 0) |
                        (is_chinese(code) ? CHINESE : 0) |
                        (b2_unicode_cluster_end(text, 1 + character.length, 0) > 1 ? JOINED : 0));
    b2_text_free(&character);
    return classes;
}

static bool same(const mapping *want, uint32_t code, const uint32_t *got, size_t count) {
    if (want->count == 0)
        return count == 1 && got[0] == code;
    return count == want->count && memcmp(got, want->codes, count * sizeof *got) == 0;
}

/* No assertions in the loop: each one writes to Check's pipe. */
START_TEST(every_code_point_is_as_in_the_library) {
    expected e = read_expected();
    int bad = 0;

    for (uint32_t code = 0; code < CODES; code++) {
        bool hangul = code >= 0xAC00 && code <= 0xD7A3 && e.decomposition[code].count == 0;
        uint32_t lower[2], parts[4];
        size_t lower_count = b2_unicode_lower(code, lower);
        size_t part_count = b2_unicode_decompose(code, parts);
        unsigned char classes = classes_of(code);

        if (code >= 0xD800 && code < 0xE000)
            continue;
        if ((classes != e.classes[code] || !same(e.lower + code, code, lower, lower_count) ||
             (!hangul && !same(e.decomposition + code, code, parts, part_count))) &&
            bad++ < 20)
            (void)fprintf(stderr, "U+%04X: classes %d, expected %d; lower %zu, parts %zu\n", code,
                          classes, e.classes[code], lower_count, part_count);
    }
    free(e.classes);
    free(e.decomposition);
    free(e.lower);
    ck_assert_int_eq(bad, 0);
}
END_TEST

/* ---- grapheme clusters ------------------------------------------------------------------- */

/* First clusters, by their length in bytes. */
static const struct {
    const char *text;
    size_t end;
} clusters[] = {
    {"", 0},
    {"ab", 1},
    {"\r\nx", 2},
    {"\n\r", 1},
    {"\t\xCC\x81", 1},         /* nothing joins a control character */
    {"e\xCC\x81\xCC\xA7x", 5}, /* marks do */
    {"\xCC\x81\xCC\x81", 4},   /* also at the start of a text */
    {"\xD8\x80"
     "1",
     3},                                                     /* U+0600 goes in front */
    {"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8\xE1\x84\x80", 9}, /* a Hangul syllable */
    {"\xEA\xB0\x80\xE1\x86\xA8\xE1\x85\xA1", 6},             /* LV T | V */
    {"\xF0\x9F\x87\xA9\xF0\x9F\x87\xAA\xF0\x9F\x87\xAB", 8}, /* flags: two and two */
    {"\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7z", 11},   /* joined pictures */
    {"a\xE2\x80\x8D\xF0\x9F\x91\xA7", 4},                    /* a letter joins none */
    {"\xC2\xA9\xCC\x81\xE2\x80\x8D\xC2\xA9", 9},
};

START_TEST(clusters_end_where_they_should) {
    for (size_t i = 0; i < sizeof clusters / sizeof *clusters; i++)
        ck_assert_msg(b2_unicode_cluster_end(clusters[i].text, strlen(clusters[i].text), 0) ==
                          clusters[i].end,
                      "cluster %zu", i);
}
END_TEST

/* ---- decomposition ----------------------------------------------------------------------- */

/* NFD of the library. */
static const struct {
    const char *text, *decomposed;
} decomposed[] = {
    {"", ""},
    {"a\u0345\u0301\u0327", "a\u0327\u0301\u0345"},
    {"\u0301\u0327\u0301x\u0327", "\u0327\u0301\u0301x\u0327"},
    {"\u1e69", "s\u0323\u0307"},
    {"\u0344\u0327", "\u0327\u0308\u0301"},
    {"a\u08d5\u0327", "a\u0327\u08d5"},
    {"\u0327\u0301\u0345\u0323b\u0301\u0327", "\u0327\u0323\u0301\u0345b\u0327\u0301"},
    {"\uac01", "\u1100\u1161\u11a8"},
    {"\U0001d15e\U0001d16d\u0323", "\U0001d157\U0001d165\u0323\U0001d16d"},
};

static const b2_normalizers nfd = {.list = {{.step = B2_NORMALIZE_DECOMPOSE}}, .count = 1};

START_TEST(marks_are_put_in_order) {
    b2_normalized work[2] = {0};

    for (size_t i = 0; i < sizeof decomposed / sizeof *decomposed; i++) {
        b2_span span = {decomposed[i].text, strlen(decomposed[i].text), 0};

        ck_assert_status_ok(b2_normalize(&nfd, span, work, &span));
        ck_assert_str_eq(span.text, decomposed[i].decomposed);
    }
    b2_text_free(&work[0].text);
    b2_text_free(&work[1].text);
}
END_TEST

/* A run of 200,000 marks in the worst order ends at once, or the test times out. */
START_TEST(long_runs_of_marks_take_no_quadratic_time) {
    b2_normalized work[2] = {0};
    b2_text_buffer text = {0};
    b2_span span;

    while (text.length < 400000)
        b2_text_append(&text, "\u0301\u0327", 4);
    span = (b2_span){text.data, text.length, 0};
    ck_assert_status_ok(b2_normalize(&nfd, span, work, &span));
    ck_assert_uint_eq(span.length, text.length);
    ck_assert_mem_eq(span.text, "\u0327\u0327", 4);
    ck_assert_mem_eq(span.text + span.length - 4, "\u0301\u0301", 4);
    b2_text_free(&text);
    b2_text_free(&work[0].text);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("unicode");
    TCase *tcase = tcase_create("unicode");

    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_code_point_is_as_in_the_library);
    tcase_add_test(tcase, clusters_end_where_they_should);
    tcase_add_test(tcase, marks_are_put_in_order);
    tcase_add_test(tcase, long_runs_of_marks_take_no_quadratic_time);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
