/* Norms, look-ups, row copies, keys and values into pages. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/reference.h"
#include "plain_matrix.h"

static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
/* Aligned; rows of odd width that start anywhere; a base that is not aligned. */
static const plain_layout layouts[4] = {{0, 0}, {4, 0}, {3, 0}, {8, 1}};

/* ---- norm ---------------------------------------------------------------------------------- */

typedef struct norm_case {
    int rows, cols;
    plain_layout layout;
    b2_type type;
    bool add, beta, sum, rms;
    int in_place; /* 0: no, 1: y is x (F32), 2: sum is x, 3: sum is add */
    double mean;
} norm_case;

static void norm_run(const norm_case *c, cudaLibrary_t file, uint64_t seed, const char *what) {
    const plain_layout dense = {0, c->layout.skew};
    double low = c->mean - 2.0, high = c->mean + 2.0;
    plain_matrix x = plain_in_place(B2_F32, c->rows, c->cols, c->layout, &seed, low, high);
    plain_matrix add = plain_in_place(B2_F32, c->rows, c->cols, c->layout, &seed, -1.0, 1.0);
    plain_matrix gamma = plain_input(B2_F32, 1, c->cols, dense, &seed, 0.5, 1.5);
    plain_matrix beta = plain_input(B2_F32, 1, c->cols, dense, &seed, -0.5, 0.5);
    plain_matrix y = plain_output(c->type, c->rows, c->cols, c->layout);
    plain_matrix sum = plain_output(B2_F32, c->rows, c->cols, c->layout);
    plain_matrix *to = c->in_place == 1 ? &x : &y;
    plain_matrix *kept = c->in_place == 2 ? &x : c->in_place == 3 ? &add : &sum;
    size_t count = (size_t)c->rows * (size_t)c->cols;
    float *add_values = malloc((count + 1) * sizeof(float));
    float *x_values = malloc((count + 1) * sizeof(float));
    double *truth = malloc((count + 1) * sizeof(double)), *s64 = malloc((count + 1) * 8);
    float *fair = malloc((count + 1) * sizeof(float)), *s32 = malloc((count + 1) * 4);
    ref_norm ref = {.x = x_values,
                    .add = c->add ? add_values : NULL,
                    .x_stride = c->cols,
                    .add_stride = c->cols,
                    .rows = c->rows,
                    .cols = c->cols,
                    .gamma = gamma.values,
                    .beta = c->beta ? beta.values : NULL,
                    .eps = 1e-6f,
                    .rms = c->rms};
    b2_norm_args a = {.x = x.data,
                      .add = c->add ? add.data : NULL,
                      .gamma = gamma.data,
                      .beta = c->beta ? beta.data : NULL,
                      .y = to->data,
                      .sum = c->sum ? kept->data : NULL,
                      .x_stride = x.stride,
                      .add_stride = add.stride,
                      .y_stride = to->stride,
                      .sum_stride = kept->stride,
                      .rows = c->rows,
                      .cols = c->cols,
                      .eps = 1e-6f,
                      .rms = c->rms};
    int blocks =
        c->cols <= B2_NORM_WARP_COLS ? (c->rows + B2_NORM_ROWS - 1) / B2_NORM_ROWS : c->rows;

    memcpy(x_values, x.values, count * sizeof(float));
    memcpy(add_values, add.values, count * sizeof(float));
    ref_norm_f64(truth, s64, &ref);
    ref_norm_f32(fair, s32, &ref);
    kernel_run(file, plain_name("b2_norm", c->type), (unsigned)blocks, 1, 1, B2_ROW_THREADS, &a,
               what);
    plain_read(&x, what);
    plain_read(&add, what);
    plain_read(&y, what);
    plain_read(&sum, what);
    plain_close(what, to->values, truth, fair, count, c->type);
    if (c->sum)
        plain_equal(what, kept->values, s32, count); /* one addition: exact */
    free(x_values);
    free(add_values);
    free(truth);
    free(s64);
    free(fair);
    free(s32);
    plain_free(&x);
    plain_free(&add);
    plain_free(&gamma);
    plain_free(&beta);
    plain_free(&y);
    plain_free(&sum);
}

START_TEST(norms) {
    static const int cols[10] = {1, 3, 768, 1023, 1024, 1025, 1408, 2560, 8195, 9001};
    cudaLibrary_t file = kernel_file("norm");

    for (int i = 0; i < 40; i++) {
        norm_case c = {.rows = 1 + (i * 7 + _i) % 11,
                       .cols = cols[i % 10],
                       .layout = layouts[(i + i / 10) % 4],
                       .type = types[_i],
                       .add = (i / 2 + i) % 2 == 1,
                       .beta = i % 3 != 0,
                       .sum = i % 2 == 1,
                       .rms = i % 5 == 4,
                       .mean = i % 4 == 1 ? 100.0 : 0.0};
        char what[96];

        if (c.cols > 4096)
            c.rows = 1 + i % 2;
        if (c.sum)
            c.in_place = i % 4 == 1 ? 2 : c.add ? 3 : 0;
        else if (_i == 0)
            c.in_place = i % 4 == 0;
        snprintf(what, sizeof what, "norm %d [%d, %d] add %d sum %d rms %d in place %d", i, c.rows,
                 c.cols, c.add, c.sum, c.rms, c.in_place);
        norm_run(&c, file, (uint64_t)(100 * _i + i), what);
    }
}
END_TEST

/* ---- look-ups and copies ------------------------------------------------------------------- */

START_TEST(embeds) {
    static const int cols[5] = {1, 7, 80, 1030, 2560};
    cudaLibrary_t file = kernel_file("rows");

    for (int i = 0; i < 20; i++) {
        uint64_t seed = (uint64_t)(200 + 10 * _i + i);
        int width = cols[i % 5], vocab = 9, count = 1 + i % 6, accumulate = i % 3 == 0;
        plain_layout layout = layouts[(i + i / 5) % 4];
        plain_matrix table = plain_input(types[_i], vocab, width, layout, &seed, -1, 1);
        plain_matrix y = plain_in_place(B2_F32, 8, width, layout, &seed, -1, 1);
        float *wanted = malloc((size_t)(8 * width) * sizeof(float));
        int32_t ids[6], rows[6];
        b2_embed_args a = {table.data, NULL,  NULL,  y.data,     table.stride,
                           y.stride,   count, width, accumulate, 0};

        memcpy(wanted, y.values, (size_t)(8 * width) * sizeof(float));
        for (int k = 0; k < count; k++) {
            ids[k] = random_integer(&seed, 0, vocab - 1);
            rows[k] = i % 2 == 0 ? k : 7 - k;
            for (int j = 0; j < width; j++) {
                float v = table.values[ids[k] * width + j], *to = wanted + rows[k] * width + j;

                *to = accumulate ? *to + v : v;
            }
        }
        a.ids = device_copy(ids, (size_t)count * sizeof *ids);
        a.rows = i % 2 == 0 ? NULL : device_copy(rows, (size_t)count * sizeof *rows);
        kernel_run(file, plain_name("b2_embed", types[_i]), (unsigned)count, 1, 1, B2_ROW_THREADS,
                   &a, "embed");
        plain_read(&y, "embed");
        plain_equal("embed", y.values, wanted, (size_t)(8 * width));
        free(wanted);
        plain_free(&table);
        plain_free(&y);
    }
}
END_TEST

START_TEST(copies_rows) {
    static const int cols[5] = {1, 4, 7, 768, 1030};
    cudaLibrary_t file = kernel_file("rows");

    for (int i = 0; i < 20; i++) {
        uint64_t seed = (uint64_t)(300 + i);
        int width = cols[i % 5], count = 1 + i % 5;
        plain_layout layout = layouts[(i + i / 5) % 4];
        plain_matrix x = plain_input(B2_F32, 6, width, layout, &seed, -1, 1);
        plain_matrix y = plain_in_place(B2_F32, 6, width, layouts[i % 4], &seed, -1, 1);
        float *wanted = malloc((size_t)(6 * width) * sizeof(float));
        int32_t from[5], to[5];
        b2_copy_rows_args a = {x.data,       y.data,       NULL,  NULL,
                               4 * x.stride, 4 * y.stride, count, 4 * width};

        memcpy(wanted, y.values, (size_t)(6 * width) * sizeof(float));
        for (int k = 0; k < count; k++) {
            from[k] = i % 2 ? random_integer(&seed, 0, 5) : k;
            to[k] = i % 3 ? 5 - k : k;
            memcpy(wanted + to[k] * width, x.values + from[k] * width,
                   (size_t)width * sizeof(float));
        }
        a.x_rows = i % 2 ? device_copy(from, sizeof from) : NULL;
        a.y_rows = i % 3 ? device_copy(to, sizeof to) : NULL;
        kernel_run(file, "b2_copy_rows", (unsigned)count, 1, 1, B2_ROW_THREADS, &a, "copy_rows");
        plain_read(&y, "copy_rows");
        plain_equal("copy_rows", y.values, wanted, (size_t)(6 * width));
        free(wanted);
        plain_free(&x);
        plain_free(&y);
    }
}
END_TEST

/* ---- pages --------------------------------------------------------------------------------- */

START_TEST(writes_pages) {
    static const int heads[5] = {1, 32, 3, 5, 2}, sizes[5] = {64, 80, 88, 7, 1};
    cudaLibrary_t file = kernel_file("kv");

    for (int i = 0; i < 15; i++) {
        uint64_t seed = (uint64_t)(400 + 20 * _i + i);
        int h = heads[i % 5], d = sizes[i % 5], t = 1 + i % 4, layers = 2, layer = i % 2, rows = 3;
        int page = layers * 2 * h * t * d, pages = 4;
        plain_layout layout = layouts[(i + i / 5) % 4];
        plain_matrix k = plain_input(types[_i], rows, h * d, layout, &seed, -1, 1);
        plain_matrix v = plain_input(types[_i], rows, h * d, layout, &seed, -1, 1);
        plain_matrix pool =
            plain_in_place(types[_i], pages, page, (plain_layout){layout.gap, 0}, &seed, -1, 1);
        float *wanted = malloc((size_t)(pages * page) * sizeof(float));
        int32_t slots[3];
        b2_kv_write_args a = {.k = k.data,
                              .v = v.data,
                              .k_stride = k.stride,
                              .v_stride = v.stride,
                              .pool = {pool.data, pool.stride, layer, h, t, d},
                              .rows = rows};

        memcpy(wanted, pool.values, (size_t)(pages * page) * sizeof(float));
        for (int r = 0; r < rows; r++) {
            slots[r] = (i + r * (pages * t / 3)) % (pages * t);
            for (int e = 0; e < 2 * h * d; e++) {
                int which = e / (h * d), head = e / d % h;

                wanted[slots[r] / t * page + ((layer * 2 + which) * h + head) * t * d +
                       slots[r] % t * d + e % d] =
                    (which == 0 ? k : v).values[r * h * d + e % (h * d)];
            }
        }
        a.slots = device_copy(slots, sizeof slots);
        kernel_run(file, plain_name("b2_kv_write", types[_i]), (unsigned)rows, 1, 1, B2_ROW_THREADS,
                   &a, "kv_write");
        plain_read(&pool, "kv_write");
        plain_equal("kv_write", pool.values, wanted, (size_t)(pages * page));
        free(wanted);
        plain_free(&k);
        plain_free(&v);
        plain_free(&pool);
    }
}
END_TEST

TCase *plain_rows_case(void) {
    TCase *tcase = tcase_create("rows");

    tcase_add_loop_test(tcase, norms, 0, 3);
    tcase_add_loop_test(tcase, embeds, 0, 3);
    tcase_add_test(tcase, copies_rows);
    tcase_add_loop_test(tcase, writes_pages, 0, 3);
    return tcase;
}
