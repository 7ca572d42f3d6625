/* l2_normalise, and itc_max, which rounds nothing. */
#include <math.h>
#include <stdio.h>

#include "ops.h"
#include "reference.h"

/* Random rows times `size`: 0, or so small that 1e-12 is the larger divisor, or ordinary. */
static void run_l2(op_context *t, int64_t rows, int64_t cols, int64_t gap, float size,
                   bool in_place) {
    op_mat x = op_mat_new(t, B2_F32, rows, cols, gap, OP_RANDOM);
    op_mat y = in_place ? x : op_mat_new(t, B2_F32, rows, cols, 1, OP_NAN);
    size_t count = (size_t)(rows * cols);
    double *exact = op_host(t, count * sizeof *exact);
    float *plain = op_host(t, count * sizeof *plain);
    char what[96];

    for (int64_t i = 0; i < rows; i++) {
        float *row = x.host + i * x.device.stride;

        for (int64_t j = 0; j < cols; j++)
            row[j] *= size;
        op_check(t, t->device->ops->upload(t->device, b2_mat_rows(x.device, i, 1).data, row,
                                           (size_t)cols * sizeof *row));
    }
    ref_l2_f64(exact, x.host, x.device.stride, rows, cols);
    ref_l2_f32(plain, x.host, x.device.stride, rows, cols);
    op_check(t, t->device->ops->l2_normalise(t->device,
                                             &(b2_l2_normalise){.x = x.device, .y = y.device}));
    snprintf(what, sizeof what, "l2_normalise rows %lld cols %lld size %g", (long long)rows,
             (long long)cols, (double)size);
    op_compare(what, B2_F32, op_mat_read(t, y), exact, plain, (int64_t)count);
}

START_TEST(l2_normalise) {
    static const int64_t widths[7] = {1, 5, 256, 1024, 1027, 2500, 33};
    static const float sizes[3] = {1.0f, 1e-15f, 0.0f};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 14; i++) {
        t.random += (uint64_t)i;
        run_l2(&t, i == 4 ? 0 : 1 + i, widths[i % 7], i % 4, sizes[i % 5 > 2 ? 0 : i % 3],
               i % 2 == 0);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

static void run_itc_max(op_context *t, int64_t images, int64_t queries, int64_t texts, bool nan) {
    op_mat products = op_mat_new(t, B2_F32, images * queries, texts, 2, OP_RANDOM);
    op_mat y = op_mat_new(t, B2_F32, images, texts, 1, OP_NAN);
    float *expected = op_host(t, (size_t)(images * texts) * sizeof *expected);

    for (int64_t i = 0; nan && i < images * queries; i++)
        if (i / queries == 0 || i % queries != queries / 2) { /* all of image 0, most of others */
            float *value = products.host + i * products.device.stride;

            *value = NAN;
            op_check(t, t->device->ops->upload(t->device, b2_mat_rows(products.device, i, 1).data,
                                               value, 4));
        }
    for (int64_t i = 0; i < images * texts; i++) {
        expected[i] = NAN;
        for (int64_t q = 0; q < queries; q++)
            expected[i] = fmaxf(
                expected[i],
                products.host[(i / texts * queries + q) * products.device.stride + i % texts]);
    }
    op_check(t, t->device->ops->itc_max(t->device, &(b2_itc_max){.products = products.device,
                                                                 .queries = (uint32_t)queries,
                                                                 .y = y.device}));
    float *got = op_mat_read(t, y);
    for (int64_t i = 0; i < images * texts; i++)
        if (isnan(expected[i]) ? !isnan(got[i]) : got[i] != expected[i])
            ck_abort_msg("itc_max of %lld x %lld and %lld texts: [%lld] is %g, expected %g",
                         (long long)images, (long long)queries, (long long)texts, (long long)i,
                         (double)got[i], (double)expected[i]);
    if (!nan)
        op_mat_unchanged(t, products);
}

START_TEST(itc_max) {
    static const int64_t texts[5] = {1, 33, 256, 0, 700}, queries[3] = {32, 1, 5};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 15; i++) {
        t.random += (uint64_t)i;
        run_itc_max(&t, i == 6 ? 0 : 1 + i % 4, queries[i % 3], texts[i % 5], false);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

START_TEST(itc_max_of_nan) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    run_itc_max(&t, 3, 8, 5, true);
    op_close(&t);
}
END_TEST

START_TEST(refusals) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    op_mat x = op_mat_new(&t, B2_F32, 6, 4, 0, OP_RANDOM);
    op_mat y = op_mat_new(&t, B2_F32, 2, 4, 0, OP_NAN);
    b2_itc_max max = {.products = x.device, .queries = 2, .y = y.device};

    ck_assert_status(
        t.device->ops->l2_normalise(t.device, &(b2_l2_normalise){.x = x.device, .y = y.device}),
        BLIP2_EINTERNAL);
    ck_assert_status(t.device->ops->itc_max(t.device, &max), BLIP2_EINTERNAL);
    max.queries = 0;
    ck_assert_status(t.device->ops->itc_max(t.device, &max), BLIP2_EINTERNAL);
    op_mat_unchanged(&t, y);
    op_close(&t);
}
END_TEST

void suite_itc(Suite *suite) {
    op_add_case(suite, "l2_normalise", l2_normalise);
    op_add_case(suite, "itc_max", itc_max);
    op_add_case(suite, "itc_max of NaN", itc_max_of_nan);
    op_add_case(suite, "l2_normalise and itc_max refuse", refusals);
}
