/* What every command of stage 1 makes of odd input: texts without words or with far too many,
 * checkpoints without the head that is asked for, folders with pictures that are none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

#define MATCHER BLIP2_SOURCE_DIR "/models/demo/match"

enum { COMMANDS = 5, WORDS = 10000, BROKEN = 2000 };

/* Each command with one text, which comes behind, on pictures, which come behind that. */
static const char *const commands[COMMANDS][4] = {
    {"match", "--texts", NULL, NULL},
    {"rank", "--texts", NULL, NULL},
    {"classify", "--template={}", "--labels", NULL},
    {"features", "--mode=multimodal", "--texts", NULL},
    {"features", "--mode=text", "--texts", NULL}};

/* Run command `i` with a model on a file of texts and pictures (NULL: none). */
static void run_command(outcome *o, int i, const char *model, const char *texts,
                        const char *pictures) {
    const char *line[16];
    char out[512];
    size_t n = 0;

    for (const char *const *word = commands[i]; *word != NULL; word++)
        line[n++] = *word;
    line[n++] = texts;
    line[n++] = "--threads=1";
    line[n++] = "--model";
    line[n++] = model;
    if (strcmp(commands[i][0], "features") == 0) {
        (void)snprintf(out, sizeof out, "%s", in_folder("f.safetensors"));
        line[n++] = "--out";
        line[n++] = out;
    }
    if (pictures != NULL)
        line[n++] = pictures;
    line[n] = NULL;
    run_program(o, STDOUT_PIPE, line);
}

static const char *pictures_of(int i, const char *pictures) {
    return i == COMMANDS - 1 ? NULL : pictures;
}

/* Nothing is left of it but the tokens that begin and end a text. */
START_TEST(a_text_without_words) {
    char file[512];
    outcome o;

    write_file("t", ".\n", 2);
    (void)snprintf(file, sizeof file, "%s", in_folder("t"));
    run_command(&o, _i, MATCHER, file, pictures_of(_i, PICTURE));
    expect_success(&o);
    RUN(&o, "match", PICTURE, "--model=" MATCHER, "--text=");
    expect_success(&o);
}
END_TEST

/* It is cut: the same answer as of its beginning. */
START_TEST(a_text_of_ten_thousand_words) {
    static char text[WORDS * 4 + 1];
    char file[512];
    static outcome whole, part;

    for (size_t i = 0; i < WORDS; i++)
        memcpy(text + i * 4, "red ", 4);
    text[WORDS * 4] = '\n';
    write_file("t", text, sizeof text);
    (void)snprintf(file, sizeof file, "%s", in_folder("t"));
    run_command(&whole, _i, MATCHER, file, pictures_of(_i, PICTURE));
    expect_success(&whole);
    memcpy(text + 4 * 60, "\n", 1); /* blip_caption keeps 50 words */
    write_file("t", text, 4 * 60 + 1);
    run_command(&part, _i, MATCHER, file, pictures_of(_i, PICTURE));
    expect_success(&part);
    if (_i < 2) /* the score stands in front of the text */
        ck_assert_int_eq(strncmp(whole.out, part.out, strcspn(part.out, "r")), 0);
}
END_TEST

/* The retrieval model without one of its heads: its tensors have another name. */
static void make_headless(const char *head) {
    static const char *const others[] = {"config.json", "preprocessor_config.json",
                                         "tokenizer.json", "tokenizer_config.json"};
    char *data = malloc(1 << 24), target[512];
    FILE *file = fopen(MATCHER "/model.safetensors", "rb");
    size_t size = fread(data, 1, 1 << 24, file), found = 0;

    (void)fclose(file);
    for (size_t i = 8; i + strlen(head) < 65536; i++)
        if (memcmp(data + i, head, strlen(head)) == 0) {
            data[i] = 'x';
            found++;
        }
    ck_assert_uint_gt(found, 0);
    write_file("model.safetensors", data, size);
    free(data);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        (void)snprintf(target, sizeof target, MATCHER "/%s", others[i]);
        link_file(others[i], target);
    }
}

#define QUIET_MODEL "--quiet", "--threads=1", "--model", model

START_TEST(a_head_that_is_not_there) {
    char model[512];
    outcome o;

    (void)snprintf(model, sizeof model, "%s", in_folder(""));
    make_headless("itm_head");
    RUN(&o, "match", PICTURE, "--text=x", "--head=itm", QUIET_MODEL);
    expect_complaint(&o, 2, "this checkpoint has no matching (itm) head");
    RUN(&o, "match", PICTURE, "--text=x", QUIET_MODEL);
    expect_success(&o); /* the other head is enough */
    RUN(&o, "rank", PICTURE, "--text=x", QUIET_MODEL);
    expect_complaint(&o, 2, "has no image-text matching (itm_head)");
    RUN(&o, "rank", PICTURE, "--text=x", "--rerank=0", QUIET_MODEL);
    expect_success(&o);
    RUN(&o, "classify", PICTURE, "--label=x", "--head=itm", QUIET_MODEL);
    expect_complaint(&o, 2, "this checkpoint has no matching (itm) head");
    RUN(&o, "classify", PICTURE, "--label=x", QUIET_MODEL);
    expect_success(&o);
}
END_TEST

START_TEST(a_model_that_reads_no_text) {
    char file[512];
    outcome o;

    write_file("t", "x\n", 2);
    (void)snprintf(file, sizeof file, "%s", in_folder("t"));
    run_command(&o, _i, TINY_MODEL, file, pictures_of(_i, PICTURE));
    expect_complaint(&o, 2, "this checkpoint");
}
END_TEST

/* Each is named, all are counted, the one that is good has its result. */
START_TEST(a_folder_of_thousands_that_are_none) {
    char file[512], pictures[512], name[32];
    static outcome o;

    write_file("t", "x\n", 2);
    for (int i = 0; i < BROKEN; i++) {
        (void)snprintf(name, sizeof name, "b%04d.png", i);
        write_file(name, "no picture", 10);
    }
    link_file("good.png", PICTURE);
    (void)snprintf(file, sizeof file, "%s", in_folder("t"));
    (void)snprintf(pictures, sizeof pictures, "%s", in_folder(""));
    run_command(&o, _i, MATCHER, file, pictures);
    ck_assert_int_eq(o.code, 2);
    ck_assert_ptr_nonnull(strstr(o.err, "b0000.png: "));
    if (_i < 3)
        ck_assert_uint_eq(count_lines(o.out), 1);
    else
        ck_assert_int_eq(access(in_folder("f.safetensors"), F_OK), 0);
    ck_assert_ptr_nonnull(strstr(o.err, "b1999.png: "));
    ck_assert_ptr_nonnull(
        strstr(o.err, "blip2: 2000 of 2001 pictures cannot be read and are left out\n"));
    ck_assert_uint_eq(count_lines(o.err), BROKEN + 1);
}
END_TEST

TCase *bad_input_tests(void) {
    TCase *tests = tcase_create("bad_input");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_loop_test(tests, a_text_without_words, 0, COMMANDS);
    tcase_add_loop_test(tests, a_text_of_ten_thousand_words, 0, COMMANDS);
    tcase_add_test(tests, a_head_that_is_not_there);
    tcase_add_loop_test(tests, a_model_that_reads_no_text, 0, COMMANDS);
    tcase_add_loop_test(tests, a_folder_of_thousands_that_are_none, 0, COMMANDS - 1);
    return tests;
}
