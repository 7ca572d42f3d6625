/* All golden cases that the project ships pass; each thing that a case expects, once altered, makes
 * it fail. */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "altered_case.h"

/* One of each supported kind and source of expectations. */
static const char *const supported[] = {
    "pre_gray_png",          "pre_rgb_odd_png",    "pre_jpeg_420_jpg", "tok_opt_tiny",
    "vit_eva_posinterp",     "vit_clip",           "qformer_image",    "qformer_causal_past",
    "qformer_causal_nopast", "qformer_multimodal", "hf_opt_forward",   "hf_opt_greedy",
    "hf_opt_rep_greedy",     "hf_opt_nret3",       "itg_beam3",        "hf_illama_greedy",
    "hf_opt_interp"};
enum { SUPPORTED = sizeof supported / sizeof *supported };

static json_int_t count_cases(void) {
    DIR *stream = opendir(GOLDEN);
    const struct dirent *entry;
    json_int_t count = 0;

    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL) {
        char path[1024];
        struct stat info;

        (void)snprintf(path, sizeof path, "%s/%s/case.json", GOLDEN, entry->d_name);
        count += stat(path, &info) == 0;
    }
    (void)closedir(stream);
    return count;
}

static void check_line(const json_t *line) {
    static const char *const texts[] = {"case", "kind", "device", "status", "reason"};
    static const char *const numbers[] = {"max_abs", "max_rel"};
    const char *name = json_string_value(json_object_get(line, "case"));
    const char *status = json_string_value(json_object_get(line, "status"));

    ck_assert_uint_eq(json_object_size(line), 7);
    for (size_t i = 0; i < 5; i++)
        ck_assert_msg(json_is_string(json_object_get(line, texts[i])), "%s", texts[i]);
    for (size_t i = 0; i < 2; i++) {
        const json_t *value = json_object_get(line, numbers[i]);

        ck_assert_msg(json_is_null(value) || (json_is_real(value) && json_real_value(value) >= 0),
                      "%s of %s", numbers[i], name);
    }
    ck_assert_str_eq(json_string_value(json_object_get(line, "device")), "cpu");
    ck_assert_msg(strcmp(status, "pass") == 0, "%s: %s: %s", name, status,
                  json_string_value(json_object_get(line, "reason")));
}

START_TEST(shipped_cases_pass) {
    outcome o;
    json_t **lines;
    size_t count;
    const json_t *sums;

    RUN(&o, "verify", "--json", "--device", "cpu", GOLDEN);
    ck_assert_msg(o.code == 0 && o.err[0] == '\0', "code %d, errors '%s'", o.code, o.err);
    lines = parse_lines(o.out, &count);
    ck_assert_int_eq((json_int_t)count, count_cases() + 1);
    for (size_t i = 0; i + 1 < count; i++)
        check_line(lines[i]);
    sums = lines[count - 1];
    ck_assert_uint_eq(json_object_size(sums), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(sums, "passed")), count_cases());
    ck_assert_int_eq(json_integer_value(json_object_get(sums, "failed")), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(sums, "skipped")), 0);
    free_lines(lines, count);
}
END_TEST

START_TEST(text_names_tensors_and_counts) {
    altered_case c;
    outcome o;

    copy_case(&c, "hf_opt_interp");
    json_object_set_new(json_object_get(c.json, "inputs"), "mood", json_string("good"));
    verify_altered(&c); /* which writes it */
    RUN(&o, "verify", GOLDEN "/hf_opt_greedy", c.path);
    drop_case(&c);
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "pass  hf_opt_greedy (generate, cpu)"));
    ck_assert_ptr_nonnull(strstr(o.out, "    first_logits: max abs "));
    ck_assert_ptr_nonnull(strstr(o.out, "    new_tokens: all 3 equal\n"));
    ck_assert_ptr_nonnull(
        strstr(o.out, "skip  hf_opt_interp (generate, cpu): not supported: inputs.mood"));
    ck_assert_ptr_nonnull(strstr(o.out, "1 passed, 0 failed, 1 skipped\n"));
}
END_TEST

/* ---- alterations: each must be noticed ----------------------------------------------------- */

/* The first value inside, changed a little: a digit, a letter, a number, an item more. */
static json_t *altered(const json_t *value) {
    json_t *copy = json_copy((json_t *)(uintptr_t)value);
    json_t *out = NULL;
    const char *text;
    char *changed;

    switch (json_typeof(value)) {
    case JSON_INTEGER:
        out = json_integer(json_integer_value(value) + 1);
        break;
    case JSON_STRING:
        text = json_string_value(value);
        changed = malloc(strlen(text) + 2);
        (void)sprintf(changed, "%s%s", text, text[0] == '\0' ? "x" : "");
        changed[0] = changed[0] == 'a' ? 'b' : 'a';
        out = json_string(changed);
        free(changed);
        break;
    case JSON_ARRAY:
        if (json_array_size(value) == 0)
            json_array_append_new(copy, json_integer(0));
        else
            json_array_set_new(copy, 0, altered(json_array_get(value, 0)));
        return copy;
    default:
        out = json_integer(5);
    }
    json_decref(copy);
    return out;
}

static bool has_no_result(const char *key) {
    return strcmp(key, "tensors") == 0 || strcmp(key, "tensor_names") == 0 ||
           strcmp(key, "files") == 0 || strcmp(key, "rows") == 0 || strncmp(key, "lavis_", 6) == 0;
}

START_TEST(altered_values_fail) {
    altered_case c;
    json_t *original, *value;
    const char *key;
    int tried = 0;

    copy_case(&c, supported[_i]);
    original = json_copy(json_object_get(c.json, "expect"));
    json_object_foreach(original, key, value) {
        json_t *expect = json_object_get(c.json, "expect");

        if (has_no_result(key))
            continue;
        json_object_set_new(expect, key, altered(value));
        expect_verdict(&c, "fail", key);
        json_object_set(expect, key, value);
        tried++;
    }
    ck_assert_int_ge(
        tried,
        strncmp(supported[_i], "vit", 3) == 0 || strncmp(supported[_i], "qformer", 7) == 0 ? 0 : 1);
    expect_verdict(&c, "pass", "");
    json_decref(original);
    drop_case(&c);
}
END_TEST

/* Index of the last element of a tensor's first item: its last item may be short and padded. */
static long last_of_first(const json_t *entry) {
    const json_t *shape = json_object_get(entry, "shape");
    long count = 1;

    for (size_t i = json_array_size(shape) > 1 ? 1 : 0; i < json_array_size(shape); i++)
        count *= (long)json_integer_value(json_array_get(shape, i));
    return count - 1;
}

START_TEST(altered_tensors_fail) {
    altered_case c;
    json_t *names, *entry;
    const char *name;

    copy_case(&c, supported[_i]);
    names = json_object_get(json_object_get(c.json, "expect"), "tensor_names");
    json_object_foreach(names, name, entry) {
        long end = last_of_first(entry);
        float last = add_to_element(&c, name, end, 1.0f), first;

        expect_verdict(&c, "fail", name);
        (void)set_element(&c, name, end, last);
        first = add_to_element(&c, name, 0, -1.0f);
        expect_verdict(&c, "fail", name);
        (void)set_element(&c, name, 0, first);
    }
    expect_verdict(&c, "pass", "");
    drop_case(&c);
}
END_TEST

/* The tolerance is the one of case.json, no wider and no narrower. */
START_TEST(tolerances_are_kept) {
    altered_case c;
    json_t *expect, *own;

    copy_case(&c, "qformer_image");
    expect = json_object_get(json_object_get(c.json, "tolerance"), "tensors");
    own = json_pack("{s:f, s:i}", "atol", 0.01, "rtol", 0);
    json_object_set_new(expect, "hidden_4", own);
    (void)add_to_element(&c, "hidden_4", 17, 0.0099f);
    expect_verdict(&c, "pass", "");
    ck_assert_double_gt(json_real_value(json_object_get(c.line, "max_abs")), 0.0098);
    (void)add_to_element(&c, "hidden_4", 17, 0.0002f);
    expect_verdict(&c, "fail", "hidden_4: 1 of 960 values differ, first at row 0, column 17");
    json_object_set_new(own, "rtol", json_real(1.0));
    expect_verdict(&c, "pass", "");
    json_object_set_new(own, "mean_abs", json_real(1e-6));
    expect_verdict(&c, "fail", "hidden_4: the mean difference");
    json_object_set_new(expect, "hidden_4", json_string("exact"));
    expect_verdict(&c, "fail", "hidden_4");
    drop_case(&c);
}
END_TEST

START_TEST(not_a_number_fails) {
    altered_case c;

    copy_case(&c, "qformer_image");
    (void)set_element(&c, "hidden_2", 3, NAN);
    expect_verdict(&c, "fail", "hidden_2");
    ck_assert(json_is_null(json_object_get(c.line, "max_abs")));
    drop_case(&c);
}
END_TEST

/* Behind a row's end only padding follows: not compared. Before it, everything. */
START_TEST(tokens_count_up_to_the_end) {
    altered_case c;
    json_t *rows;

    copy_case(&c, "hf_opt_greedy");
    rows = json_object_get(json_object_get(c.json, "expect"), "new_tokens");
    json_array_set_new(json_array_get(rows, 0), 8, json_integer(77));
    expect_verdict(&c, "pass", "");
    json_array_set_new(json_array_get(rows, 1), 7, json_integer(77));
    expect_verdict(&c, "fail", "new_tokens[1][7]: got 200, expected 77");
    json_array_set_new(json_array_get(rows, 1), 7, json_integer(200));
    json_array_set_new(json_array_get(rows, 0), 5, json_integer(77));
    expect_verdict(&c, "fail", "new_tokens[0][5]: got 202, expected 77");
    drop_case(&c);
}
END_TEST

/* The copy is no case: nothing is verified. */
static void expect_bad(altered_case *c, const char *about) {
    verify_altered(c);
    ck_assert_int_eq(c->ran.code, 2);
    ck_assert_msg(strstr(c->ran.err, about) != NULL, "expected '%s', got '%s'", about, c->ran.err);
}

/* What nobody compared fails, and an option that nobody reads skips. */
START_TEST(nothing_is_passed_over) {
    altered_case c;
    json_t *expect, *inputs;

    copy_case(&c, "hf_opt_greedy");
    expect = json_object_get(c.json, "expect");
    inputs = json_object_get(c.json, "inputs");
    json_object_set_new(expect, "mood", json_string("good"));
    expect_verdict(&c, "fail", "expect.mood was not compared");
    json_object_del(expect, "mood");
    json_object_set_new(inputs, "mood", json_string("good"));
    expect_verdict(&c, "skip", "not supported: inputs.mood");
    json_object_del(inputs, "mood");
    json_object_set_new(inputs, "interpolate_pos_encoding", json_true());
    expect_bad(&c, "inputs.pixel_size_h_w: expected a height and a width, got nothing");
    json_object_set_new(inputs, "pixel_size_h_w", json_pack("[i, i]", 70, 71));
    expect_bad(&c, "got 70 and 71, expected multiples of the patch size");
    json_object_set_new(inputs, "interpolate_pos_encoding", json_false());
    expect_verdict(&c, "skip", "inputs.pixel_size_h_w without interpolate_pos_encoding");
    json_object_del(inputs, "pixel_size_h_w");
    json_object_del(inputs, "interpolate_pos_encoding");
    inputs = json_object_get(inputs, "generate_args");
    json_object_set_new(inputs, "top_k", json_integer(3));
    expect_verdict(&c, "skip", "not supported: generate_args.top_k");
    json_object_del(inputs, "top_k");
    json_object_set_new(inputs, "do_sample", json_true());
    expect_verdict(&c, "skip", "not supported: do_sample");
    drop_case(&c);
}
END_TEST

START_TEST(repetition_penalty_matters) {
    altered_case c;
    json_t *args;

    copy_case(&c, "hf_opt_rep_greedy");
    args = json_object_get(json_object_get(c.json, "inputs"), "generate_args");
    json_object_del(args, "repetition_penalty");
    expect_verdict(&c, "fail", "");
    drop_case(&c);
}
END_TEST

START_TEST(another_picture_fails) {
    altered_case c;
    json_t *inputs;

    copy_case(&c, "pre_jpeg_420_jpg");
    inputs = json_object_get(c.json, "inputs");
    json_object_set_new(inputs, "image", json_string("../pre_images/jpeg_422.jpg"));
    expect_verdict(&c, "fail", "the picture is");
    drop_case(&c);
}
END_TEST

/* Another picture of the same size in the place of the expected one. */
START_TEST(expected_pictures_are_looked_at) {
    static const char *const names[] = {"pre_rgb_odd_png", "pre_jpeg_420_jpg"};
    altered_case c;

    copy_case(&c, names[_i]);
    replace_file(&c, "resized_224.png", "pre_rgb_3x500_png/resized_224.png");
    expect_verdict(&c, "fail", "resized_224.png: differs by up to");
    drop_case(&c);
}
END_TEST

TCase *verify_tests(void) {
    TCase *tests = tcase_create("verify");

    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, set_up_copies, tear_down_copies);
    tcase_add_test(tests, shipped_cases_pass);
    tcase_add_test(tests, text_names_tensors_and_counts);
    tcase_add_loop_test(tests, altered_values_fail, 0, SUPPORTED);
    tcase_add_loop_test(tests, altered_tensors_fail, 0, SUPPORTED);
    tcase_add_test(tests, tolerances_are_kept);
    tcase_add_test(tests, not_a_number_fails);
    tcase_add_test(tests, tokens_count_up_to_the_end);
    tcase_add_test(tests, nothing_is_passed_over);
    tcase_add_test(tests, repetition_penalty_matters);
    tcase_add_loop_test(tests, expected_pictures_are_looked_at, 0, 2);
    tcase_add_test(tests, another_picture_fails);
    return tests;
}
