/* The choice of the device. What is missing depends on the build and on the machine; that one line
 * says it does not. */
#include <jansson.h>
#include <string.h>

#include "program.h"

/* The object "device" of `blip2 info --json`; to be let go with its root. */
static const json_t *chosen(json_t **root) {
    outcome o;

    RUN(&o, "info", "--json", TINY_MODEL);
    expect_success(&o);
    *root = json_loads(o.out, 0, NULL);
    ck_assert_ptr_nonnull(*root);
    return json_object_get(*root, "device");
}

static const char *text(const json_t *device, const char *field) {
    return json_string_value(json_object_get(device, field));
}

START_TEST(info_says_which_device_and_why) {
    json_t *root;
    const json_t *device = chosen(&root);
    const char *no_gpu = text(device, "no_gpu");
    outcome o;

    RUN(&o, "info", TINY_MODEL);
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "\n  device       "));
    ck_assert_ptr_nonnull(strstr(o.out, text(device, "name")));
    ck_assert_ptr_nonnull(strstr(o.out, text(device, "about")));
    if (strcmp(text(device, "name"), "cpu") == 0) {
        ck_assert_ptr_nonnull(strstr(text(device, "about"), " thread"));
        ck_assert_ptr_nonnull(no_gpu);
        ck_assert_ptr_null(strchr(no_gpu, ';')); /* what to do is not said here */
        ck_assert_ptr_nonnull(strstr(o.out, no_gpu));
        ck_assert_ptr_nonnull(strstr(no_gpu, "cuda:0: "));
    } else {
        ck_assert_ptr_eq(strstr(text(device, "name"), "cuda:"), text(device, "name"));
        ck_assert_ptr_nonnull(strstr(text(device, "about"), " GiB"));
        ck_assert_ptr_null(no_gpu);
    }
    json_decref(root);
}
END_TEST

START_TEST(cuda_works_or_says_what_to_do) {
    static const char *const names[] = {"cuda", "cuda:0"};
    json_t *root;
    const json_t *device = chosen(&root);
    outcome o, cpu;

    for (size_t i = 0; i < 2; i++) {
        RUN(&o, "caption", PICTURE, "--model=" TINY_MODEL, "--compute=f32", "--device", names[i]);
        if (strcmp(text(device, "name"), "cuda:0") == 0) {
            RUN(&cpu, "caption", PICTURE, "--model=" TINY_MODEL, "--device", "cpu");
            expect_success(&o);
            ck_assert_str_eq(o.out, cpu.out);
            continue;
        }
        expect_complaint(&o, 2, text(device, "no_gpu"));
        ck_assert_ptr_nonnull(strstr(o.err, "; ")); /* what to do */
#ifndef BLIP2_HAS_CUDA
        expect_complaint(&o, 2, "this build has no CUDA device; build with -DBLIP2_CUDA=ON");
#endif
    }
    json_decref(root);
}
END_TEST

START_TEST(auto_is_the_default) {
    outcome plain, o;

    RUN(&plain, "caption", PICTURE, "--model=" TINY_MODEL);
    expect_success(&plain);
    RUN(&o, "caption", PICTURE, "--model=" TINY_MODEL, "--device=auto", "--compute=auto");
    expect_success(&o);
    ck_assert_str_eq(o.out, plain.out);
    RUN(&o, "caption", PICTURE, "--model=" TINY_MODEL, "--device=cpu", "--compute=f32");
    expect_success(&o);
    RUN(&o, "caption", PICTURE, "--model=" TINY_MODEL, "--verbose");
    ck_assert_int_eq(o.code, 0);
    ck_assert_ptr_nonnull(strstr(o.err, "blip2: device "));
}
END_TEST

START_TEST(cpu_computes_in_f32_only) {
    static const char *const types[] = {"tf32", "f16", "bf16"};
    json_t *root;
    const json_t *device = chosen(&root);
    const char *no_gpu = text(device, "no_gpu");
    outcome o;

    RUN(&o, "caption", PICTURE, "--model=" TINY_MODEL, "--device=cpu", "--compute", types[_i]);
    expect_complaint(&o, 2, "F32 only");
    RUN(&o, "caption", PICTURE, "--model=" TINY_MODEL, "--compute", types[_i]);
    if (no_gpu != NULL)
        expect_complaint(&o, 2, no_gpu);
    else
        expect_success(&o);
    json_decref(root);
}
END_TEST

TCase *device_tests(void) {
    TCase *tests = tcase_create("device");

    tcase_add_test(tests, info_says_which_device_and_why);
    tcase_add_test(tests, cuda_works_or_says_what_to_do);
    tcase_add_test(tests, auto_is_the_default);
    tcase_add_loop_test(tests, cpu_computes_in_f32_only, 0, 3);
    return tests;
}
