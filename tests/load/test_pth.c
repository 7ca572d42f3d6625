/* torch.save files: two real ones (make_fixtures.py), one of each layout. */
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "load/pth.h"
#include "pth_maker.h"
#include "run.h"

static const b2_tensor *find(const b2_tensor_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i].name, name) == 0)
            return list->item + i;
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

static void check_f32(const b2_tensor_list *list, const char *name, uint32_t rank,
                      const int64_t *dim, const float *expected) {
    const b2_tensor *t = find(list, name);
    float got[16];

    ck_assert_uint_eq(t->rank, rank);
    for (uint32_t i = 0; i < rank; i++)
        ck_assert_int_eq(t->dim[i], dim[i]);
    ck_assert(t->usable);
    b2_to_f32(got, t->data, t->type, t->count);
    for (size_t i = 0; i < t->count; i++)
        ck_assert_msg(got[i] == expected[i], "%s[%zu]: %g, expected %g", name, i, (double)got[i],
                      (double)expected[i]);
}

START_TEST(reads_both_layouts) {
    static const char *const files[] = {"tests/load/data/tiny_zip.pth",
                                        "tests/load/data/tiny_legacy.pth"};

    for (size_t f = 0; f < 2; f++) {
        bytes file = read_fixture(files[f]);
        const b2_file_map map = {.data = file.data, .size = file.size};
        b2_tensor_list list = {0};
        const b2_tensor *t;

        ck_assert(b2_pth_is(&map));
        ck_assert_status_ok(b2_pth_parse(&list, &map, "tiny"));
        ck_assert_uint_eq(list.count, 12); /* none of the optimizer's */
        ck_assert_str_eq(list.item[0].name, "plain");
        check_f32(&list, "plain", 2, (int64_t[]){3, 4},
                  (float[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
        check_f32(&list, "view", 2, (int64_t[]){2, 3}, (float[]){4, 5, 6, 7, 8, 9});
        check_f32(&list, "turned", 2, (int64_t[]){4, 3},
                  (float[]){0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
        check_f32(&list, "column", 1, (int64_t[]){3}, (float[]){1, 5, 9});
        check_f32(&list, "half", 1, (int64_t[]){3}, (float[]){1, -2, 0.5f});
        check_f32(&list, "brain", 2, (int64_t[]){1, 2}, (float[]){1.5f, -3});
        check_f32(&list, "parameter", 1, (int64_t[]){1}, (float[]){7});
        check_f32(&list, "scalar", 0, NULL, (float[]){0.07f});
        check_f32(&list, "empty", 2, (int64_t[]){0, 3}, NULL);
        t = find(&list, "longs");
        ck_assert_int_eq(t->type, B2_I64);
        ck_assert_mem_eq(t->data, ((int64_t[]){1, -1, INT64_C(1) << 40}), 24);
        t = find(&list, "bytes");
        ck_assert_int_eq(t->type, B2_U8);
        ck_assert_mem_eq(t->data, ((uint8_t[]){1, 255}), 2);
        t = find(&list, "double");
        ck_assert(!t->usable);
        ck_assert_str_eq(t->type_name, "F64");
        /* A view is no copy. */
        ck_assert_ptr_eq((const uint8_t *)find(&list, "plain")->data + 16,
                         find(&list, "view")->data);
        b2_tensor_list_free(&list);
        bytes_free(&file);
    }
}
END_TEST

START_TEST(survives_cuts_and_flips_of_zip) {
    bytes file = read_fixture("tests/load/data/tiny_zip.pth");

    (void)attack(b2_pth_parse, &file, true);
    bytes_free(&file);
}
END_TEST

START_TEST(survives_cuts_and_flips_of_legacy) {
    bytes file = read_fixture("tests/load/data/tiny_legacy.pth");

    (void)attack(b2_pth_parse, &file, true);
    bytes_free(&file);
}
END_TEST

START_TEST(survives_failing_memory) {
    static const char *const files[] = {"tests/load/data/tiny_zip.pth",
                                        "tests/load/data/tiny_legacy.pth"};

    for (size_t f = 0; f < 2; f++) {
        bytes file = read_fixture(files[f]);
        const b2_file_map map = {.data = file.data, .size = file.size};
        bool again = true;

        for (int64_t n = 0; again; n++) {
            b2_tensor_list list = {0};
            blip2_status status;

            b2_alloc_fail_after(n);
            status = b2_pth_parse(&list, &map, "file");
            again = b2_alloc_count() > n;
            b2_alloc_fail_after(-1);
            ck_assert_status(status, again ? BLIP2_ENOMEM : BLIP2_OK);
            b2_tensor_list_free(&list);
        }
        bytes_free(&file);
    }
}
END_TEST

static TCase *file_tests(void) {
    TCase *tests = tcase_create("files");

    tcase_add_test(tests, reads_both_layouts);
    tcase_add_test(tests, survives_cuts_and_flips_of_zip);
    tcase_add_test(tests, survives_cuts_and_flips_of_legacy);
    tcase_add_test(tests, survives_failing_memory);
    tcase_set_timeout(tests, 60);
    return tests;
}

int main(void) {
    Suite *suite = suite_create("pth");

    suite_add_tcase(suite, file_tests());
    suite_add_tcase(suite, pickle_tests());
    suite_add_tcase(suite, archive_tests());
    return run_suite(suite);
}
