/* Nasty texts against what the `tokenizers` library made of them (nasty.py). Without arguments: the
 * committed files; otherwise a file of nasty.py and the folder of the tokenizer it was for. */
#include <stdio.h>
#include <string.h>

#include "cases.h"

/* ids[part[0]] ... ids[part[1] - 1] */
static json_t *slice_of(const json_t *ids, const json_t *part) {
    json_int_t end = json_integer_value(json_array_get(part, 1));
    json_t *out = json_array();

    for (json_int_t i = json_integer_value(json_array_get(part, 0)); i < end; i++)
        ck_assert_int_eq(json_array_append(out, json_array_get(ids, (size_t)i)), 0);
    return out;
}

/* Differences of one record, 0..5. */
static int compare(const b2_tokenizer *tokenizer, const json_t *record) {
    const json_t *text = json_object_get(record, "t"), *ids = json_object_get(record, "i");
    const json_t *random = json_object_get(record, "r");
    const json_t *cleaned = json_object_get(record, "c"), *part = json_object_get(record, "p");
    json_t *without = slice_of(ids, part);
    int bad = 0;

    bad += !encodes_to(tokenizer, text, true, ids);
    if (part != NULL)
        bad += !encodes_to(tokenizer, text, false, without);
    json_decref(without);
    bad += !decodes_to(tokenizer, random, true, false, json_object_get(record, "d"));
    bad += !decodes_to(tokenizer, random, false, false, json_object_get(record, "k"));
    if (cleaned != NULL)
        bad += !decodes_to(tokenizer, ids, true, true, cleaned);
    return bad;
}

#define HERE BLIP2_SOURCE_DIR "/tests/text/"
#define MODELS BLIP2_SOURCE_DIR "/tests/golden/models/"
static struct {
    const char *path, *directory;
} files[] = {
    {HERE "nasty.jsonl", MODELS "tok_opt"},
    {HERE "nasty_bert.jsonl", MODELS "tok_bert"},
    {HERE "nasty_t5.jsonl", MODELS "tok_t5"},
    {HERE "nasty_llama.jsonl", MODELS "tok_llama"},
};
static int file_count = sizeof files / sizeof *files;

START_TEST(every_line_is_equal) {
    b2_tokenizer *tokenizer = NULL;
    FILE *file = fopen(files[_i].path, "rb");
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    long lines = 0, bad = 0;

    ck_assert_msg(file != NULL, "%s cannot be opened", files[_i].path);
    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, files[_i].directory));
    while ((length = getline(&line, &capacity, file)) > 0) {
        json_t *record = json_loadb(line, (size_t)length, JSON_ALLOW_NUL, NULL);

        ck_assert(record != NULL);
        lines++;
        bad += compare(tokenizer, record);
        json_decref(record);
    }
    (void)fclose(file);
    free(line);
    b2_tokenizer_close(tokenizer);
    (void)printf("%ld lines, %ld differences\n", lines, bad);
    ck_assert_int_gt(lines, 0);
    ck_assert_int_eq(bad, 0);
}
END_TEST

int main(int argc, char **argv) {
    Suite *suite = suite_create("nasty texts");
    TCase *tcase = tcase_create("nasty");

    if (argc == 3) {
        files[0].path = argv[1];
        files[0].directory = argv[2];
        file_count = 1;
    }
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, every_line_is_equal, 0, file_count);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
