/* Activations, conversions. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../ops/reference.h"
#include "plain_matrix.h"

static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
static const plain_layout layouts[4] = {{0, 0}, {4, 0}, {3, 0}, {8, 1}};

typedef struct act_case {
    int rows, cols;
    b2_activation act;
    bool gated, bias, residual, in_place;
    plain_layout layout;
    b2_type type;
} act_case;

static void act_run(const act_case *c, cudaLibrary_t file, uint64_t seed, const char *what) {
    int wide = c->gated ? 2 * c->cols : c->cols;
    size_t count = (size_t)(c->rows * c->cols);
    plain_matrix x = plain_in_place(c->type, c->rows, wide, c->layout, &seed, -6, 6);
    plain_matrix bias = plain_input(B2_F32, 1, wide, c->layout, &seed, -1, 1);
    plain_matrix residual = plain_input(B2_F32, c->rows, c->cols, c->layout, &seed, -3, 3);
    plain_matrix y = plain_output(c->type, c->rows, c->cols, c->layout);
    double *truth = malloc(count * sizeof(double));
    float *fair = malloc(count * sizeof(float)), *before = malloc(2 * count * sizeof(float));
    b2_activate_args a = {.x = x.data,
                          .bias = c->bias ? bias.data : NULL,
                          .residual = c->residual ? residual.data : NULL,
                          .y = c->in_place ? x.data : y.data,
                          .x_stride = x.stride,
                          .residual_stride = residual.stride,
                          .y_stride = c->in_place ? x.stride : y.stride,
                          .rows = c->rows,
                          .cols = c->cols,
                          .act = (int32_t)c->act,
                          .gated = c->gated};

    memcpy(before, x.values, (size_t)(c->rows * wide) * sizeof(float));
    for (int i = 0; i < c->rows; i++)
        for (int j = 0; j < c->cols; j++) {
            float g = x.values[i * wide + j], b = c->bias ? bias.values[j] : 0;
            float r = c->residual ? residual.values[i * c->cols + j] : 0, u = 1, ub = 0;
            int at = i * c->cols + j;

            if (c->gated) {
                u = x.values[i * wide + c->cols + j];
                ub = c->bias ? bias.values[c->cols + j] : 0;
            }
            truth[at] = (double)r +
                        ref_activate_f64((double)g + (double)b, c->act) * ((double)u + (double)ub);
            fair[at] = r + ref_activate_f32(g + b, c->act) * (u + ub);
        }
    kernel_run(file, plain_name("b2_activate", c->type), (unsigned)c->rows, 1, 1, B2_ROW_THREADS,
               &a, what);
    plain_read(&x, what);
    plain_read(&y, what);
    for (int i = 0; i < c->rows && c->in_place; i++) {
        memcpy(y.values + i * c->cols, x.values + i * wide, (size_t)c->cols * sizeof(float));
        plain_equal(what, x.values + i * wide + c->cols, before + i * wide + c->cols,
                    (size_t)(wide - c->cols)); /* the gate's other half stays */
    }
    plain_close(what, y.values, truth, fair, count, c->type);
    free(truth);
    free(fair);
    free(before);
    plain_free(&x);
    plain_free(&bias);
    plain_free(&residual);
    plain_free(&y);
}

START_TEST(activates) {
    static const int cols[6] = {1, 6, 515, 1408, 4099, 6144};
    cudaLibrary_t file = kernel_file("activate");

    for (int i = 0; i < 40; i++) {
        act_case c = {.rows = 1 + i % 3,
                      .cols = cols[i % 6],
                      .act = (b2_activation)(i % 6),
                      .gated = i % 4 == 3,
                      .bias = i % 3 != 1,
                      .residual = i % 7 < 3,
                      .in_place = i % 8 >= 6,
                      .layout = layouts[(i + i / 6) % 4],
                      .type = types[_i]};
        char what[96];

        snprintf(what, sizeof what, "activate %d [%d, %d] act %d gated %d", i, c.rows, c.cols,
                 (int)c.act, c.gated);
        act_run(&c, file, (uint64_t)(100 * _i + i), what);
    }
}
END_TEST

/* y may be the residual. NaN stays NaN; infinities take their limits, or NaN as in torch. */
START_TEST(activates_special_values) {
    static const float x[5] = {NAN, INFINITY, -INFINITY, -1e30f, 1e30f};
    static const float wanted[6][5] = {{NAN, INFINITY, -INFINITY, -1e30f, 1e30f},
                                       {NAN, INFINITY, 0, 0, 1e30f},
                                       {NAN, INFINITY, NAN, 0, 1e30f},
                                       {NAN, INFINITY, NAN, 0, 1e30f},
                                       {NAN, INFINITY, NAN, 0, 1e30f},
                                       {NAN, INFINITY, NAN, 0, 1e30f}};
    float y[5] = {1, 1, 1, 1, 1};
    void *memory = device_copy(y, sizeof y);
    b2_activate_args a = {.x = device_copy(x, sizeof x),
                          .residual = memory,
                          .y = memory,
                          .rows = 1,
                          .cols = 5,
                          .act = _i};

    kernel_run(kernel_file("activate"), "b2_activate_f32", 1, 1, 1, B2_ROW_THREADS, &a, "special");
    device_read(y, memory, sizeof y);
    for (int i = 0; i < 5; i++)
        ck_assert_msg(isnan(wanted[_i][i]) ? isnan(y[i]) : y[i] == 1 + wanted[_i][i],
                      "act %d of %g gives %g", _i, (double)x[i], (double)y[i]);
}
END_TEST

START_TEST(converts) {
    static const int cols[4] = {1, 7, 768, 1030};
    cudaLibrary_t file = kernel_file("activate");

    for (int i = 0; i < 8; i++) {
        uint64_t seed = (uint64_t)(100 * _i + i);
        int width = cols[i % 4];
        plain_matrix x = plain_input(B2_F32, 3, width, layouts[i % 4], &seed, -70000, 70000);
        plain_matrix y = plain_output(types[_i], 3, width, layouts[(i + i / 4) % 4]);
        b2_convert_args a = {x.data, y.data, x.stride, y.stride, 3, width};

        for (int j = 0; j < 3 * width; j++)
            x.values[j] = rounded(x.values[j], types[_i]);
        kernel_run(file, plain_name("b2_convert", types[_i]), 3, 1, 1, B2_ROW_THREADS, &a,
                   "convert");
        plain_read(&y, "convert");
        plain_equal("convert", y.values, x.values, (size_t)(3 * width));
        plain_free(&x);
        plain_free(&y);
    }
}
END_TEST

TCase *plain_pointwise_case(void) {
    TCase *tcase = tcase_create("pointwise");

    tcase_add_loop_test(tcase, activates, 0, 3);
    tcase_add_loop_test(tcase, activates_special_values, 0, 6);
    tcase_add_loop_test(tcase, converts, 1, 3);
    return tcase;
}
