/* blip2 convert as a user calls it; what it writes is compared in tests/engine. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../host/cli/interrupt.h"
#include "program.h"

#define MODELS BLIP2_SOURCE_DIR "/tests/golden/models"
#define STAGE1 MODELS "/lavis_stage1"
#define FILES                                                                                      \
    "--checkpoint", STAGE1 "/blip2_pretrained.pth", "--vit", MODELS "/lavis_vit_eva_a/eva_vit_g.pth"
#define SIZES "--vit-layers=3", "--vit-heads=2", "--qformer-heads=3"

static void remove_out(void) {
    remove_tree(in_folder("out"));
    ck_assert_int_ne(access(in_folder("out"), F_OK), 0);
}

/* The test's folder has what is to be there, and nothing else: rmdir would fail. */
static void expect_no_trace(void) {
    remove_folder();
    make_folder();
}

START_TEST(a_folder_becomes_another_one) {
    outcome before, o;

    RUN(&before, "match", PICTURE, "--model", STAGE1, "--text=a red star");
    expect_success(&before);
    RUN(&o, "convert", STAGE1, "--out", in_folder("out"));
    expect_success(&o);
    ck_assert_str_eq(o.out, "");
    RUN(&o, "match", PICTURE, "--model", in_folder("out"), "--text=a red star");
    expect_success(&o);
    ck_assert_str_eq(o.out, before.out);
    RUN(&o, "info", in_folder("out"));
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "caption, features, match, itm, itc\n"));
    ck_assert_ptr_nonnull(strstr(o.out, "0 tensors that no task uses\n"));
    remove_out();
}
END_TEST

START_TEST(files_become_a_folder) {
    outcome before, o;

    RUN(&before, "caption", PICTURE, "--model", STAGE1);
    expect_success(&before);
    RUN(&o, "convert", FILES, SIZES, "--vocab", STAGE1 "/bert_vocab.txt", "--out", in_folder("out"),
        "--quiet");
    expect_success(&o);
    RUN(&o, "caption", PICTURE, "--model", in_folder("out"));
    expect_success(&o);
    ck_assert_str_eq(o.out, before.out);
    remove_out();
}
END_TEST

START_TEST(types_are_converted) {
    struct stat full, half;
    outcome o;

    RUN(&o, "convert", STAGE1, "--out", in_folder("out"));
    expect_success(&o);
    ck_assert_int_eq(stat(in_folder("out/model.safetensors"), &full), 0);
    remove_out();
    RUN(&o, "convert", STAGE1, "--out", in_folder("out"), "--weights=bf16");
    expect_success(&o);
    ck_assert_int_eq(stat(in_folder("out/model.safetensors"), &half), 0);
    ck_assert_int_lt(half.st_size * 10, full.st_size * 6);
    remove_out();
}
END_TEST

START_TEST(usage_is_checked) {
    outcome o;

    RUN(&o, "convert", STAGE1);
    expect_complaint(&o, 2, "--out");
    RUN(&o, "convert", "--out", in_folder("out"));
    expect_complaint(&o, 2, "--checkpoint");
    RUN(&o, "convert", STAGE1, STAGE1, "--out", in_folder("out"));
    expect_complaint(&o, 2, "one folder");
    RUN(&o, "convert", STAGE1, FILES, "--out", in_folder("out"));
    expect_complaint(&o, 2, "--checkpoint");
    RUN(&o, "convert", STAGE1, "--weights=f64", "--out", in_folder("out"));
    expect_complaint(&o, 2, "f64");
    RUN(&o, "convert", STAGE1, "--device=cpu", "--out", in_folder("out"));
    expect_complaint(&o, 2, "--device");
    expect_no_trace();
}
END_TEST

START_TEST(bad_input_is_told) {
    outcome o;

    RUN(&o, "convert", in_folder("nowhere"), "--out", in_folder("out"));
    expect_complaint(&o, 2, "nowhere");
    RUN(&o, "convert", FILES, SIZES, "--out", in_folder("out"));
    expect_complaint(&o, 2, "vocabulary");
    RUN(&o, "convert", FILES, "--vit-layers=3", "--vit-heads=2", "--vocab",
        STAGE1 "/bert_vocab.txt", "--out", in_folder("out"));
    expect_complaint(&o, 2, "number of heads");
    RUN(&o, "convert", "--checkpoint", in_folder("no.pth"), "--out", in_folder("out"));
    expect_complaint(&o, 2, "no.pth");
    RUN(&o, "convert", "--checkpoint", PICTURE, "--out", in_folder("out"));
    expect_complaint(&o, 2, "001.png");
    RUN(&o, "convert", STAGE1, "--out", MODELS);
    expect_complaint(&o, 2, "not empty");
    expect_no_trace();
}
END_TEST

/* Its signal handling, in this process: a question first, then an end as by the signal. */
START_TEST(interrupt_is_a_question_first) {
    int number = _i == 0 ? SIGINT : SIGTERM;

    b2_interrupt_catch();
    ck_assert(!b2_interrupt_asked());
    ck_assert_int_eq(raise(number), 0);
    ck_assert(b2_interrupt_asked());
    (void)raise(number);
    ck_abort_msg("went on");
}
END_TEST

TCase *convert_tests(void) {
    TCase *tests = tcase_create("convert");

    tcase_add_checked_fixture(tests, make_folder, remove_folder);
    tcase_add_test(tests, a_folder_becomes_another_one);
    tcase_add_test(tests, files_become_a_folder);
    tcase_add_test(tests, types_are_converted);
    tcase_add_test(tests, usage_is_checked);
    tcase_add_test(tests, bad_input_is_told);
    return tests;
}

TCase *interrupt_tests(void) {
    TCase *tests = tcase_create("interrupt");

    tcase_add_loop_test_raise_signal(tests, interrupt_is_a_question_first, SIGINT, 0, 1);
    tcase_add_loop_test_raise_signal(tests, interrupt_is_a_question_first, SIGTERM, 1, 2);
    return tests;
}
