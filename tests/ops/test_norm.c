#include <stdio.h>

#include "ops.h"
#include "reference.h"

typedef enum place { FRESH, ON_X, ON_ADD, NOWHERE } place;

typedef struct norm_case {
    int64_t rows, cols, gap;
    bool add, beta, rms;
    place y, sum;
} norm_case;

static const norm_case cases[] = {
    {1, 1, 0, false, true, false, FRESH, NOWHERE},  {0, 5, 0, false, true, false, FRESH, NOWHERE},
    {3, 2, 1, true, true, false, FRESH, FRESH},     {5, 3, 0, false, false, true, ON_X, NOWHERE},
    {2, 31, 5, true, true, false, ON_X, ON_ADD},    {4, 64, 0, true, true, false, ON_ADD, ON_X},
    {7, 88, 3, true, false, true, FRESH, ON_X},     {33, 768, 0, true, true, false, FRESH, ON_ADD},
    {257, 352, 0, false, true, false, ON_X, FRESH}, {9, 1408, 8, true, true, false, ON_ADD, FRESH},
    {2, 2560, 0, true, true, false, ON_X, NOWHERE}, {3, 4097, 1, true, true, true, ON_ADD, NOWHERE},
    {1, 17, 0, false, true, false, FRESH, ON_X},
};

static op_mat placed(op_context *t, place where, b2_type fresh, op_mat x, op_mat add) {
    switch (where) {
    case FRESH:
        return op_mat_new(t, fresh, x.device.rows, x.device.cols, 2, OP_NAN);
    case ON_X:
        return x;
    case ON_ADD:
        return add;
    case NOWHERE:
        break;
    }
    return (op_mat){0};
}

static void run_norm(op_context *t, const norm_case *c, float eps) {
    op_mat x = op_mat_new(t, B2_F32, c->rows, c->cols, c->gap, OP_RANDOM);
    op_mat add = {0}, y, sum;
    float *gamma_device, *beta_device;
    float *gamma = op_vector(t, c->cols, &gamma_device);
    float *beta = op_vector(t, c->cols, &beta_device);
    int64_t count = c->rows * c->cols;
    double *exact = op_host(t, (size_t)count * sizeof *exact);
    double *exact_sum = op_host(t, (size_t)count * sizeof *exact);
    float *plain = op_host(t, (size_t)count * sizeof *plain);
    float *plain_sum = op_host(t, (size_t)count * sizeof *plain);
    char what[96];

    if (c->add)
        add = op_mat_new(t, B2_F32, c->rows, c->cols, 1, OP_RANDOM);
    y = placed(t, c->y, c->rows % 2 == 0 ? B2_F32 : t->device->compute, x, add);
    sum = placed(t, c->sum, B2_F32, x, add);
    b2_norm op = {x.device, add.device, gamma_device, c->beta ? beta_device : NULL,
                  eps,      c->rms,     y.device,     sum.device};
    op_check(t, t->device->ops->norm(t->device, &op));
    ref_norm ref = {x.host,  add.host, x.device.stride, add.device.stride,
                    c->rows, c->cols,  gamma,           c->beta ? beta : NULL,
                    eps,     c->rms};
    ref_norm_f64(exact, exact_sum, &ref);
    ref_norm_f32(plain, plain_sum, &ref);
    snprintf(what, sizeof what, "norm rows %lld cols %lld y %d sum %d", (long long)c->rows,
             (long long)c->cols, (int)c->y, (int)c->sum);
    op_compare(what, y.device.type, op_mat_read(t, y), exact, plain, count);
    if (c->sum != NOWHERE)
        op_compare(what, B2_F32, op_mat_read(t, sum), exact_sum, plain_sum, count);
    if (c->y != ON_X && c->sum != ON_X)
        op_mat_unchanged(t, x);
    if (c->add && c->y != ON_ADD && c->sum != ON_ADD)
        op_mat_unchanged(t, add);
}

START_TEST(listed) {
    static const float epsilons[3] = {1e-12f, 1e-6f, 1e-5f};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_norm(&t, &cases[i], epsilons[i % 3]);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

/* A large common part: a variance taken as E[x^2] - E[x]^2 would be wrong here. */
START_TEST(far_from_zero) {
    op_context t;
    enum { ROWS = 3, COLS = 200 };

    if (!op_open(&t, _i))
        return;
    float *x = op_host(&t, ROWS * COLS * sizeof *x), ones[COLS], plain[ROWS * COLS];
    double exact[ROWS * COLS], sum[ROWS * COLS];
    float plain_sum[ROWS * COLS];
    op_mat y = op_mat_new(&t, B2_F32, ROWS, COLS, 0, OP_NAN);

    for (int i = 0; i < ROWS * COLS; i++)
        x[i] = 1000.0f + (float)op_uniform(&t, -1.0, 1.0);
    for (int i = 0; i < COLS; i++)
        ones[i] = 1.0f;
    b2_norm op = {.x = b2_mat_of(op_upload(&t, x, ROWS * COLS * 4), B2_F32, ROWS, COLS),
                  .gamma = op_upload(&t, ones, sizeof ones),
                  .eps = 1e-6f,
                  .y = y.device};
    op_check(&t, t.device->ops->norm(t.device, &op));
    ref_norm ref = {
        .x = x, .x_stride = COLS, .rows = ROWS, .cols = COLS, .gamma = ones, .eps = 1e-6f};
    ref_norm_f64(exact, sum, &ref);
    ref_norm_f32(plain, plain_sum, &ref);
    op_compare("norm far from zero", B2_F32, op_mat_read(&t, y), exact, plain, ROWS * COLS);
    op_close(&t);
}
END_TEST

START_TEST(refusals) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    op_mat x = op_mat_new(&t, B2_F32, 2, 4, 0, OP_RANDOM);
    op_mat y = op_mat_new(&t, B2_F32, 2, 3, 0, OP_NAN);
    float *gamma;
    (void)op_vector(&t, 4, &gamma);
    b2_norm op = {.x = x.device, .gamma = gamma, .y = y.device};

    ck_assert_status(t.device->ops->norm(t.device, &op), BLIP2_EINTERNAL);
    op.y = op.sum = x.device;
    ck_assert_status(t.device->ops->norm(t.device, &op), BLIP2_EINTERNAL);
    op_close(&t);
}
END_TEST

void suite_norm(Suite *suite) {
    op_add_case(suite, "norm", listed);
    op_add_case(suite, "norm far from zero", far_from_zero);
    op_add_case(suite, "norm refuses", refusals);
}
