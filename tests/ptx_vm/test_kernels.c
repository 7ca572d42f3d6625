/* Kernels of the size and kind of the engine's own: a GEMM and fused attention on tensor cores. */
#include <math.h>
#include <stdio.h>

#include "half_twin.h"
#include "test_support.h"

static uint16_t *random_halves(size_t count, uint64_t seed) {
    uint16_t *values = malloc(count * sizeof(*values));
    size_t i;

    for (i = 0; i < count; i++) {
        values[i] = (uint16_t)half_round((double)next_float(&seed), 0, TO_NEAREST);
    }
    return values;
}

static double *as_doubles(const uint16_t *halves, size_t count) {
    double *values = malloc(count * sizeof(*values));
    size_t i;

    for (i = 0; i < count; i++) {
        values[i] = half_value(halves[i], 0);
    }
    return values;
}

START_TEST(multiplies_matrices) {
    static const int shapes[][3] = {
        {128, 128, 32}, {256, 128, 64}, {100, 77, 40}, {1, 1, 8}, {130, 260, 136}};
    int m = shapes[_i][0], n = shapes[_i][1], k = shapes[_i][2], i, j, l;
    uint16_t *a = random_halves((size_t)(m * k), 1), *b = random_halves((size_t)(n * k), 2);
    double *x = as_doubles(a, (size_t)(m * k)), *w = as_doubles(b, (size_t)(n * k));
    float *c = malloc(sizeof(*c) * (size_t)(m * n));
    cudaLibrary_t library = load_compiled("matrix");
    vm_gemm g = {device_copy(a, 2 * (size_t)(m * k)),
                 device_copy(b, 2 * (size_t)(n * k)),
                 device_alloc(4 * (size_t)(m * n)),
                 m,
                 n,
                 k};

    launch_clean(library, "gemm", dims((unsigned)(n + 127) / 128, (unsigned)(m + 127) / 128, 1),
                 dims(256, 1, 1), 0, &g);
    fetch(c, g.c, sizeof(*c) * (size_t)(m * n));
    for (i = 0; i < m; i++) {
        for (j = 0; j < n; j++) {
            double sum = 0, size = 0;

            for (l = 0; l < k; l++) {
                sum += x[i * k + l] * w[j * k + l];
                size += fabs(x[i * k + l] * w[j * k + l]);
            }
            /* k roundings of f32, each at most half a unit of a partial sum */
            ck_assert_double_eq_tol((double)c[i * n + j], sum, size * k * 0x1p-24);
        }
    }
    free(a), free(b), free(c), free(x), free(w);
}
END_TEST

/* The plain formula in f64. */
static void attend(const double *q, const double *k, const double *v, double *y, int n, int m,
                   double scale, int causal) {
    double *p = malloc(sizeof(*p) * (size_t)m);
    int i, j, d;

    for (i = 0; i < n; i++) {
        double most = -INFINITY, sum = 0;
        int seen = causal ? i + m - n + 1 : m;

        for (j = 0; j < seen; j++) {
            p[j] = 0;
            for (d = 0; d < 64; d++) {
                p[j] += q[i * 64 + d] * k[j * 64 + d];
            }
            p[j] *= scale;
            most = p[j] > most ? p[j] : most;
        }
        for (j = 0; j < seen; j++) {
            p[j] = exp(p[j] - most);
            sum += p[j];
        }
        for (d = 0; d < 64; d++) {
            y[i * 64 + d] = 0;
            for (j = 0; j < seen; j++) {
                y[i * 64 + d] += p[j] / sum * v[j * 64 + d];
            }
        }
    }
    free(p);
}

START_TEST(attends) {
    static const int shapes[][3] = {
        {64, 64, 0}, {64, 64, 1}, {100, 150, 0}, {70, 133, 1}, {1, 9, 1}};
    int n = shapes[_i][0], m = shapes[_i][1], causal = shapes[_i][2], heads = 2, h, i;
    size_t rows = (size_t)(heads * n * 64), keys = (size_t)(heads * m * 64);
    uint16_t *q = random_halves(rows, 3), *k = random_halves(keys, 4), *v = random_halves(keys, 5);
    uint16_t *y = malloc(2 * rows);
    double *dq = as_doubles(q, rows), *dk = as_doubles(k, keys), *dv = as_doubles(v, keys);
    double *wanted = malloc(sizeof(*wanted) * rows);
    cudaLibrary_t library = load_compiled("attention");
    vm_attention p = {device_copy(q, 2 * rows),
                      device_copy(k, 2 * keys),
                      device_copy(v, 2 * keys),
                      device_alloc(2 * rows),
                      n,
                      m,
                      0.125f,
                      causal};

    launch_clean(library, "attention", dims((unsigned)(n + 63) / 64, (unsigned)heads, 1),
                 dims(128, 1, 1), 3 * 64 * 128, &p);
    fetch(y, p.y, 2 * rows);
    for (h = 0; h < heads; h++) {
        attend(dq + h * n * 64, dk + h * m * 64, dv + h * m * 64, wanted + h * n * 64, n, m, 0.125,
               causal);
    }
    for (i = 0; i < (int)rows; i++) { /* |v| <= 1; p is rounded to f16, and so is y */
        ck_assert_double_eq_tol(half_value(y[i], 0), wanted[i], 2 * 0x1p-11);
    }
    free(q), free(k), free(v), free(y), free(dq), free(dk), free(dv), free(wanted);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_kernels");
    TCase *tcase = tcase_create("kernels");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, multiplies_matrices, 0, 5);
    tcase_add_loop_test(tcase, attends, 0, 5);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
