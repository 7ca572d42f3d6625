/* Whole kernels of the kind that everybody writes first, against plain loops. */
#include <math.h>

#include "test_support.h"

static float *random_floats(size_t count, uint64_t seed) {
    float *values = malloc(count * sizeof(*values));
    size_t i;

    for (i = 0; i < count; i++) {
        values[i] = next_float(&seed);
    }
    return values;
}

START_TEST(adds_vectors) {
    int sizes[] = {1, 31, 32, 33, 1000, 4097}, n = sizes[_i], i;
    float *a = random_floats((size_t)n, 1), *b = random_floats((size_t)n, 2);
    float *c = calloc((size_t)n, sizeof(*c));
    cudaLibrary_t library = load_compiled("simple");
    vm_vectors v = {device_copy(a, sizeof(*a) * (size_t)n), device_copy(b, sizeof(*b) * (size_t)n),
                    device_alloc(sizeof(*c) * (size_t)n), n, 0.5f};

    launch_clean(library, "vector_add", dims((unsigned)(n + 255) / 256, 1, 1), dims(256, 1, 1), 0,
                 &v);
    fetch(c, v.c, sizeof(*c) * (size_t)n);
    for (i = 0; i < n; i++) {
        ck_assert_float_eq(c[i], fmaf(b[i], 0.5f, a[i]));
    }
    free(a);
    free(b);
    free(c);
}
END_TEST

START_TEST(loops_over_the_grid) {
    int n = 10000, i, k;
    float *a = random_floats((size_t)n, 3), *b = random_floats((size_t)n, 4);
    float *c = calloc((size_t)n, sizeof(*c));
    cudaLibrary_t library = load_compiled("simple");
    vm_vectors v = {device_copy(a, sizeof(*a) * (size_t)n), device_copy(b, sizeof(*b) * (size_t)n),
                    device_alloc(sizeof(*c) * (size_t)n), n, 0.75f};

    launch_clean(library, "vector_loop", dims(7, 1, 1), dims(128, 1, 1), 0, &v);
    fetch(c, v.c, sizeof(*c) * (size_t)n);
    for (i = 0; i < n; i++) {
        float x = a[i];

        for (k = 0; k < 100; k++) {
            x = fmaf(x, 0.75f, b[i]);
        }
        ck_assert_float_eq(c[i], x);
    }
    free(a);
    free(b);
    free(c);
}
END_TEST

START_TEST(sums_rows) {
    int rows = 5, cols = 777, i, k;
    float *in = random_floats((size_t)(rows * cols), 5), out[5];
    cudaLibrary_t library = load_compiled("simple");
    vm_matrix m = {device_copy(in, sizeof(*in) * (size_t)(rows * cols)), device_alloc(sizeof(out)),
                   rows, cols};

    launch_clean(library, "row_sums", dims((unsigned)rows, 1, 1), dims(256, 1, 1), 0, &m);
    fetch(out, m.out, sizeof(out));
    for (i = 0; i < rows; i++) {
        double sum = 0;

        for (k = 0; k < cols; k++) {
            sum += (double)in[i * cols + k];
        }
        ck_assert_double_eq_tol((double)out[i], sum, 1e-4);
    }
    free(in);
}
END_TEST

START_TEST(transposes) {
    int rows = 70, cols = 45, i, k;
    float *in = random_floats((size_t)(rows * cols), 6);
    float *out = calloc((size_t)(rows * cols), sizeof(*out));
    cudaLibrary_t library = load_compiled("simple");
    vm_matrix m = {device_copy(in, sizeof(*in) * (size_t)(rows * cols)),
                   device_alloc(sizeof(*in) * (size_t)(rows * cols)), rows, cols};

    launch_clean(library, "transpose", dims(2, 3, 1), dims(32, 8, 1), 0, &m);
    fetch(out, m.out, sizeof(*in) * (size_t)(rows * cols));
    for (i = 0; i < rows; i++) {
        for (k = 0; k < cols; k++) {
            ck_assert_float_eq(out[k * rows + i], in[i * cols + k]);
        }
    }
    free(in);
    free(out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_simple");
    TCase *tcase = tcase_create("kernels");

    tcase_add_loop_test(tcase, adds_vectors, 0, 6);
    tcase_add_test(tcase, loops_over_the_grid);
    tcase_add_test(tcase, sums_rows);
    tcase_add_test(tcase, transposes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
