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

/* Enough work for several threads: the same numbers and the same counts as with one. */
START_TEST(shares_blocks_among_threads) {
    int n = 100000, i, k;
    size_t bytes = sizeof(float) * (size_t)n;
    float *a = random_floats((size_t)n, 7), *out[2] = {malloc(bytes), malloc(bytes)};
    cudaLibrary_t library = load_compiled("simple");
    vm_vectors v = {device_copy(a, bytes), device_copy(a, bytes), device_alloc(bytes), n, 0.25f};
    vm_counters counts[2];

    for (i = 0; i < 2; i++) {
        vm_set_threads(i ? 4 : 1);
        vm_counters_clear();
        launch_clean(library, "vector_loop", dims(391, 1, 1), dims(256, 1, 1), 0, &v);
        fetch(out[i], v.c, bytes);
        counts[i] = *vm_counters_of("vector_loop");
    }
    ck_assert_mem_eq(out[0], out[1], bytes);
    ck_assert_uint_eq(counts[0].blocks, 391);
    ck_assert_uint_eq(counts[1].blocks, 391);
    ck_assert_uint_eq(counts[0].warp_instructions, counts[1].warp_instructions);
    for (k = 0; k < VM_CLASS_COUNT; k++) {
        ck_assert_uint_eq(counts[0].instructions[k], counts[1].instructions[k]);
    }
    ck_assert_mem_eq(&counts[0].load, &counts[1].load, sizeof(counts[0].load));
    ck_assert_mem_eq(&counts[0].store, &counts[1].store, sizeof(counts[0].store));
    ck_assert_uint_eq(counts[1].store.distinct, bytes);
    free(a), free(out[0]), free(out[1]);
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
    tcase_add_test(tcase, shares_blocks_among_threads);
    tcase_add_test(tcase, sums_rows);
    tcase_add_test(tcase, transposes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
