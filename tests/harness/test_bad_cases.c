/* Cases that make no sense, and command lines that do not: one clear line, exit code 2. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "altered_case.h"

static void expect_bad(const outcome *o, const char *about) {
    ck_assert_msg(o->code == 2 && count_lines(o->err) == 1 &&
                      strncmp(o->err, "blip2-bench: ", 13) == 0 && strstr(o->err, about) != NULL,
                  "expected code 2 and one line about '%s', got code %d, output '%s', errors '%s'",
                  about, o->code, o->out, o->err);
}

/* The altered copy is refused, and counted as nothing. */
static void expect_refused(altered_case *c, const char *about) {
    verify_altered(c);
    expect_bad(&c->ran, about);
    ck_assert_str_eq(c->ran.out, "{\"passed\":0,\"failed\":0,\"skipped\":0}\n");
}

START_TEST(text_that_is_no_case) {
    static const struct {
        const char *text, *about;
    } bad[] = {
        {"", "not valid JSON"},
        {"what?", "not valid JSON"},
        {"{\"name\": \"x\"", "not valid JSON"},
        {"{\"name\": \"x\", \"name\": \"y\"}", "duplicate"},
        {"[]", "name: expected a string, got nothing"},
        {"{\"name\": 5}", "name: expected a string, got 5"},
        {"{\"name\": \"x\"}", "inputs: expected an object, got nothing"},
        {"{\"name\": \"x\", \"inputs\": {}, \"expect\": {}}", "expect: expected"},
        {"{\"name\": \"x\", \"inputs\": {}, \"expect\": {\"a\": 1}}", "tolerance: expected"},
        {"{\"name\": \"x\", \"inputs\": {}, \"expect\": {\"a\": 1}, \"tolerance\": \"loose\"}",
         "tolerance: expected"},
        {"{\"name\": \"x\", \"model\": 3, \"inputs\": {}, \"expect\": {\"a\": 1}, \"tolerance\": "
         "\"exact\"}",
         "model: expected"},
        {"{\"name\": \"x\", \"inputs\": {\"image\": 1}, \"expect\": {\"a\": 1}, \"tolerance\": "
         "\"exact\"}",
         "inputs.image: expected a file name, got 1"},
        {"{\"name\": \"x\", \"model\": \"m\", \"inputs\": {\"random_ids\": 1}, \"expect\": {\"a\": "
         "1}, \"tolerance\": \"exact\"}",
         "m/tokenizer.json"},
        {"{\"name\": \"x\", \"inputs\": {}, \"expect\": {\"tensors\": \"none\", "
         "\"tensor_names\": {}}, \"tolerance\": \"exact\"}",
         "none"},
    };
    outcome o;

    write_file("case.json", bad[_i].text, strlen(bad[_i].text));
    RUN(&o, "verify", in_folder(""));
    expect_bad(&o, bad[_i].about);
}
END_TEST
enum { BAD_TEXTS = 14 };

START_TEST(case_and_tensors_must_agree) {
    altered_case c;
    json_t *names, *entry, *tolerance;

    copy_case(&c, "qformer_image");
    names = json_object_get(json_object_get(c.json, "expect"), "tensor_names");
    tolerance = json_object_get(json_object_get(c.json, "tolerance"), "tensors");
    entry = json_incref(json_object_get(names, "hidden_3"));
    json_object_del(names, "hidden_3");
    expect_refused(&c, "expect.tensor_names names 4 tensors, the file has 5");
    json_object_set(names, "hidden_9", entry);
    expect_refused(&c, "tensor \"hidden_9\" is not in the file");
    json_object_del(names, "hidden_9");
    json_object_set_new(names, "hidden_3", json_pack("{s:[i,i,i]}", "shape", 2, 8, 61));
    expect_refused(&c, "tensor \"hidden_3\" is not in the file, or not of the shape");
    json_object_set(names, "hidden_3", entry);
    json_object_set_new(tolerance, "hidden_3", json_pack("{s:f}", "atol", 0.1));
    expect_refused(&c, "tolerance.tensors.hidden_3: expected");
    json_object_set_new(tolerance, "hidden_3", json_pack("{s:f, s:f}", "atol", -0.1, "rtol", 0.0));
    expect_refused(&c, "tolerance.tensors.hidden_3: expected");
    json_object_set_new(tolerance, "hidden_3",
                        json_pack("{s:f, s:f, s:f}", "atol", 0.1, "rtol", 0.0, "luck", 1.0));
    expect_refused(&c, "tolerance.tensors.hidden_3: expected");
    json_decref(entry);
    drop_case(&c);
}
END_TEST

START_TEST(files_must_be_there) {
    altered_case c;
    char path[1024];

    copy_case(&c, "hf_opt_greedy");
    json_array_set_new(json_object_get(json_object_get(c.json, "inputs"), "images"), 1,
                       json_string("../images/none.png"));
    expect_refused(&c, "none.png");
    json_object_set_new(c.json, "model", json_string("../models/none"));
    expect_refused(&c, "models/none");
    (void)snprintf(path, sizeof path, "%s/expect.safetensors", c.path);
    ck_assert_int_eq(truncate(path, 1000), 0);
    expect_refused(&c, "expect.safetensors");
    ck_assert_int_eq(unlink(path), 0);
    expect_refused(&c, "expect.safetensors");
    drop_case(&c);
}
END_TEST

START_TEST(inputs_must_make_sense) {
    altered_case c;
    json_t *inputs, *args;

    copy_case(&c, "hf_opt_greedy");
    inputs = json_object_get(c.json, "inputs");
    args = json_object_get(inputs, "generate_args");
    json_object_set_new(args, "max_new_tokens", json_string("many"));
    expect_refused(&c, "inputs.generate_args.max_new_tokens: expected an integer");
    json_object_set_new(args, "max_new_tokens", json_integer(100000));
    expect_refused(&c, "max_new_tokens");
    json_object_set_new(args, "max_new_tokens", json_integer(1000));
    expect_refused(&c, "do not fit");
    json_object_set_new(args, "max_new_tokens", json_integer(12));
    json_array_remove(json_object_get(inputs, "prompts"), 0);
    expect_refused(&c, "inputs.images: expected as many as prompts");
    drop_case(&c);
}
END_TEST

/* The others are still run and counted. */
START_TEST(a_bad_case_does_not_stop_the_others) {
    outcome o;

    RUN(&o, "verify", "--json", "/nowhere", GOLDEN "/tok_opt_tiny", GOLDEN "/images");
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 2);
    ck_assert_ptr_nonnull(strstr(o.err, "/nowhere: "));
    ck_assert_ptr_nonnull(strstr(o.err, "no case.json here"));
    ck_assert_ptr_nonnull(strstr(o.out, "{\"passed\":1,\"failed\":0,\"skipped\":0}"));
}
END_TEST

START_TEST(command_lines) {
    outcome o;

    RUN(&o, "verify");
    expect_bad(&o, "no CASE_DIR");
    RUN(&o, "verify", "--device", "abacus", GOLDEN);
    expect_bad(&o, "abacus");
    ck_assert_str_eq(o.out, "");
    RUN(&o, "dance");
    expect_bad(&o, "no command \"dance\"");
    run_program(&o, STDOUT_PIPE, (const char *const[]){NULL});
    expect_bad(&o, "a command is missing");
    RUN(&o, "run", "--model", "x");
    expect_bad(&o, "expected --model DIR and --image FILE");
    RUN(&o, "run", "--model", "x", "--image", "y", "--repeat", "0");
    expect_bad(&o, "\"0\"");
    RUN(&o, "verify", "--loudly", GOLDEN);
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 1);
}
END_TEST

START_TEST(a_full_disk_is_told) {
    outcome o;

    RUN_TO(&o, STDOUT_FULL, "verify", GOLDEN "/tok_opt_tiny");
    ck_assert_int_eq(o.code, 2);
    ck_assert_uint_eq(count_lines(o.err), 1);
    ck_assert_ptr_nonnull(strstr(o.err, "writing the report"));
}
END_TEST

START_TEST(help_and_version) {
    static const char *const commands[] = {"verify", "make-model", "run"};
    outcome o;

    for (size_t i = 0; i < 3; i++) {
        RUN(&o, commands[i], "--help");
        expect_success(&o);
        ck_assert_ptr_nonnull(strstr(o.out, "usage: blip2-bench "));
    }
    RUN(&o, "--help");
    expect_success(&o);
    RUN(&o, "--version");
    expect_success(&o);
    ck_assert_int_eq(strncmp(o.out, "blip2-bench ", 12), 0);
}
END_TEST

TCase *bad_case_tests(void) {
    TCase *tests = tcase_create("bad cases");

    tcase_set_timeout(tests, 60);
    tcase_add_checked_fixture(tests, set_up_copies, tear_down_copies);
    tcase_add_loop_test(tests, text_that_is_no_case, 0, BAD_TEXTS);
    tcase_add_test(tests, case_and_tensors_must_agree);
    tcase_add_test(tests, files_must_be_there);
    tcase_add_test(tests, inputs_must_make_sense);
    tcase_add_test(tests, a_bad_case_does_not_stop_the_others);
    tcase_add_test(tests, command_lines);
    tcase_add_test(tests, a_full_disk_is_told);
    tcase_add_test(tests, help_and_version);
    return tests;
}
