#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/type.h"
#include "ops.h"
#include "reference.h"

typedef enum residual_kind { NO_RESIDUAL, RESIDUAL, IN_PLACE } residual_kind;

typedef struct linear_case {
    int64_t n, m, k;
    b2_type file, keep;
    int parts;
    bool bias;
    b2_activation act;
    residual_kind residual;
    int64_t gap;
    bool gated; /* m columns of y, 2 m rows of the weight */
} linear_case;

static const linear_case cases[] = {
    {1, 1, 1, B2_F32, B2_F32, 1, false, B2_ACT_NONE, NO_RESIDUAL, 0, false},
    {1, 1, 1, B2_F16, B2_F16, 1, true, B2_ACT_GELU, IN_PLACE, 3, false},
    {0, 5, 7, B2_F32, B2_F32, 1, true, B2_ACT_NONE, NO_RESIDUAL, 0, false},
    {1, 3, 2, B2_BF16, B2_BF16, 1, true, B2_ACT_RELU, RESIDUAL, 1, false},
    {2, 31, 7, B2_F32, B2_F32, 1, true, B2_ACT_GELU, NO_RESIDUAL, 1, false},
    {3, 17, 300, B2_F16, B2_F32, 1, true, B2_ACT_GELU_TANH, NO_RESIDUAL, 0, false},
    {4, 65, 44, B2_F32, B2_F16, 1, true, B2_ACT_QUICK_GELU, RESIDUAL, 2, false},
    {5, 64, 64, B2_BF16, B2_BF16, 1, false, B2_ACT_NONE, IN_PLACE, 0, false},
    {1, 200, 588, B2_F16, B2_F16, 3, true, B2_ACT_NONE, NO_RESIDUAL, 5, false},
    {7, 130, 96, B2_F16, B2_BF16, 2, true, B2_ACT_GELU, IN_PLACE, 0, false},
    {8, 96, 129, B2_BF16, B2_F32, 3, false, B2_ACT_RELU, NO_RESIDUAL, 0, false},
    {9, 96, 129, B2_BF16, B2_BF16, 1, true, B2_ACT_NONE, RESIDUAL, 1, false},
    {15, 33, 257, B2_F16, B2_F16, 1, true, B2_ACT_GELU, NO_RESIDUAL, 0, false},
    {16, 64, 64, B2_F32, B2_F32, 3, true, B2_ACT_GELU, IN_PLACE, 0, false},
    {17, 129, 65, B2_F32, B2_F32, 1, true, B2_ACT_GELU, RESIDUAL, 7, false},
    {32, 80, 40, B2_F16, B2_F16, 1, true, B2_ACT_RELU, NO_RESIDUAL, 3, false},
    {65, 64, 31, B2_BF16, B2_BF16, 1, true, B2_ACT_QUICK_GELU, NO_RESIDUAL, 0, false},
    {130, 200, 88, B2_F16, B2_F16, 3, true, B2_ACT_GELU, IN_PLACE, 4, false},
    {257, 88, 352, B2_F32, B2_F32, 1, true, B2_ACT_GELU, NO_RESIDUAL, 0, false},
    {257, 131, 600, B2_BF16, B2_BF16, 1, true, B2_ACT_GELU_TANH, RESIDUAL, 0, false},
    {300, 1, 5, B2_F32, B2_F32, 1, false, B2_ACT_NONE, NO_RESIDUAL, 1, false},
    {1, 1000, 2560, B2_F16, B2_F16, 1, true, B2_ACT_RELU, NO_RESIDUAL, 0, false},
    {1, 515, 1409, B2_F32, B2_F32, 1, true, B2_ACT_NONE, IN_PLACE, 0, false},
    {6, 258, 1031, B2_BF16, B2_BF16, 1, true, B2_ACT_GELU, NO_RESIDUAL, 0, false},
    /* Columns that are whole panels of a device, less, one more, and one. */
    {3, 128, 40, B2_BF16, B2_BF16, 2, false, B2_ACT_GELU, NO_RESIDUAL, 0, true},
    {2, 64, 16, B2_F32, B2_F32, 2, true, B2_ACT_SILU, NO_RESIDUAL, 0, true},
    {37, 65, 33, B2_F32, B2_F32, 2, true, B2_ACT_SILU, RESIDUAL, 1, true},
    {1, 1, 1, B2_F16, B2_F16, 2, true, B2_ACT_GELU_TANH, NO_RESIDUAL, 1, true},
    {0, 3, 4, B2_F32, B2_F32, 2, true, B2_ACT_SILU, NO_RESIDUAL, 0, true},
    {5, 31, 129, B2_F16, B2_F16, 1, true, B2_ACT_GELU_TANH, IN_PLACE, 2, true},
    {140, 230, 24, B2_F16, B2_F16, 2, true, B2_ACT_SILU, NO_RESIDUAL, 0, true},
    {140, 97, 24, B2_F32, B2_F32, 2, true, B2_ACT_NONE, NO_RESIDUAL, 0, true},
    {1, 200, 600, B2_F32, B2_BF16, 2, true, B2_ACT_RELU, RESIDUAL, 0, true},
};

typedef struct made_weight {
    b2_weight *weight;
    float *values; /* [weight_rows, k] as kept */
} made_weight;

static int64_t weight_rows(const linear_case *c) {
    return c->gated ? 2 * c->m : c->m;
}

/* Its rows split over c->parts tensors of the file's type; the last gets the remainder. */
static made_weight make_weight(op_context *t, const linear_case *c, unsigned uses) {
    size_t size = b2_type_size(c->file), k = (size_t)c->k;
    size_t all = (size_t)weight_rows(c), count = all * k;
    b2_weight_part parts[3];
    made_weight made = {.values = op_host(t, count * sizeof(float))};
    b2_weight_desc desc = {parts, (uint32_t)c->parts, c->k, c->keep, uses};
    int64_t row = 0;

    for (size_t i = 0; i < count; i++)
        made.values[i] = (float)op_uniform(t, -1.0, 1.0);
    for (int p = 0; p < c->parts; p++) {
        int64_t rows = (int64_t)all / c->parts;

        if (p + 1 == c->parts)
            rows = (int64_t)all - row;
        float *values = made.values + (size_t)row * k;
        /* A tensor may stand anywhere in a file, at odd addresses too. */
        char *file = (char *)op_host(t, (size_t)rows * k * size + 1) + c->gap % 2;
        char *kept = op_host(t, (size_t)rows * k * 4);

        b2_from_f32(file, c->file, values, (size_t)rows * k);
        b2_to_f32(values, file, c->file, (size_t)rows * k);
        b2_from_f32(kept, c->keep, values, (size_t)rows * k);
        b2_to_f32(values, kept, c->keep, (size_t)rows * k);
        op_round(values, op_kept(t, c->keep), rows * c->k);
        parts[p] = (b2_weight_part){file, rows, c->file};
        row += rows;
    }
    op_check(t, t->device->ops->weight_create(t->device, &desc, &made.weight));
    return made;
}

/* Is B2_USE_MANY a way of its own? Elsewhere it changes nothing, and a GPU in software is slow. */
static bool has_many(const op_context *t) {
    return strcmp(t->device->ops->name, "cpu") == 0;
}

static void run_linear(op_context *t, const linear_case *c, unsigned uses) {
    b2_type compute = t->device->compute;
    bool in_compute = op_kept(t, c->keep) == compute; /* else x and y must be F32 */
    op_mat x = op_mat_new(t, c->n % 2 == 0 && in_compute ? compute : B2_F32, c->n, c->k, c->gap,
                          OP_RANDOM);
    op_mat residual = {0};
    b2_type type = c->residual == NO_RESIDUAL && in_compute && c->n % 3 != 0 ? compute : B2_F32;
    op_mat y =
        op_mat_new(t, type, c->n, c->m, c->gap, c->residual == IN_PLACE ? OP_RANDOM : OP_NAN);
    made_weight w = make_weight(t, c, uses);
    float *bias, *bias_device;
    size_t count = (size_t)(c->n * c->m);
    double *exact = op_host(t, count * sizeof *exact);
    float *plain = op_host(t, count * sizeof *plain);
    char what[160];

    if (c->residual == RESIDUAL)
        residual = op_mat_new(t, B2_F32, c->n, c->m, 1, OP_RANDOM);
    else if (c->residual == IN_PLACE)
        residual = y;
    bias = op_vector(t, weight_rows(c), &bias_device);
    b2_linear op = {.x = x.device,
                    .w = w.weight,
                    .bias = c->bias ? bias_device : NULL,
                    .act = c->act,
                    .gated = c->gated,
                    .residual = residual.device,
                    .y = y.device};
    op_check(t, t->device->ops->linear(t->device, &op));
    if (in_compute) /* an F32 x is rounded to a compute type in which the weight is kept */
        op_round(x.host, compute, c->n * x.device.stride);
    ref_linear ref = {x.host,        x.device.stride,
                      w.values,      c->bias ? bias : NULL,
                      residual.host, residual.device.stride,
                      c->n,          c->m,
                      c->k,          c->act,
                      c->gated};
    ref_linear_f64(exact, &ref);
    ref_linear_f32(plain, &ref);
    snprintf(what, sizeof what, "linear n %lld m %lld k %lld %s as %s act %d residual %d %s",
             (long long)c->n, (long long)c->m, (long long)c->k, b2_type_name(c->file),
             b2_type_name(c->keep), (int)c->act, (int)c->residual, c->gated ? "gated" : "");
    op_compare(what, type, op_mat_read(t, y), exact, plain, (int64_t)count);
    op_mat_unchanged(t, x);
    t->device->ops->weight_free(t->device, w.weight);
}

START_TEST(listed) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_linear(&t, &cases[i], B2_USE_LINEAR);
        op_clear(&t);
        if (!has_many(&t))
            continue;
        run_linear(&t, &cases[i], B2_USE_LINEAR | B2_USE_MANY);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

START_TEST(drawn) {
    static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
    op_context t;

    if (!op_open(&t, _i))
        return;
    op_context draw = t; /* for random numbers alone */
    for (int i = 0; i < 60; i++) {
        linear_case c = {op_integer(&draw, 1, i % 3 == 0 ? 150 : 20),
                         op_integer(&draw, 1, 150),
                         op_integer(&draw, 1, 200),
                         types[op_integer(&draw, 0, 2)],
                         types[op_integer(&draw, 0, 2)],
                         1,
                         op_integer(&draw, 0, 1) == 1,
                         (b2_activation)op_integer(&draw, 0, B2_ACT_SILU),
                         (residual_kind)op_integer(&draw, 0, 2),
                         op_integer(&draw, 0, 9),
                         i % 4 == 3};

        t.random += (uint64_t)i;
        run_linear(&t, &c, i % 2 == 0 ? B2_USE_LINEAR : B2_USE_LINEAR | B2_USE_MANY);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

/* Inputs wide enough that every branch of the activations is met, one value an output. */
START_TEST(activations) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int act = 0; act <= B2_ACT_SILU; act++) {
        enum { COUNT = 20011 };
        static const float one = 1.0f;
        b2_weight_part part = {&one, 1, B2_F32};
        b2_weight_desc desc = {&part, 1, 1, B2_F32, B2_USE_LINEAR};
        b2_weight *weight = NULL;
        char what[64];

        desc.keep = t.device->compute;
        for (int scale = 0; scale < 4; scale++) {
            static const double widths[4] = {0.01, 1.0, 6.0, 100.0};
            b2_type type = t.device->compute;

            float *x = op_host(&t, COUNT * sizeof *x);
            double *exact = op_host(&t, COUNT * sizeof *exact);
            float *plain = op_host(&t, COUNT * sizeof *plain);
            op_mat y = op_mat_new(&t, type, COUNT, 1, 0, OP_NAN);

            for (int i = 0; i < COUNT; i++)
                x[i] = (float)op_uniform(&t, -widths[scale], widths[scale]);

            op_check(&t, t.device->ops->weight_create(t.device, &desc, &weight));
            b2_linear op = {.x = b2_mat_of(op_upload(&t, x, COUNT * 4), B2_F32, COUNT, 1),
                            .w = weight,
                            .act = (b2_activation)act,
                            .y = y.device};
            op_check(&t, t.device->ops->linear(t.device, &op));
            ref_linear ref = {.x = x,
                              .x_stride = 1,
                              .w = &one,
                              .n = COUNT,
                              .m = 1,
                              .k = 1,
                              .act = (b2_activation)act};
            ref_linear_f64(exact, &ref);
            ref_linear_f32(plain, &ref);
            snprintf(what, sizeof what, "activation %d to %g", act, widths[scale]);
            op_compare(what, type, op_mat_read(&t, y), exact, plain, COUNT);
            t.device->ops->weight_free(t.device, weight);
        }
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

/* Every finite half, multiplied by one, comes back as it is, for one row and for many, and of
 * weights for many rows alone. */
START_TEST(halves) {
    static const b2_type types[2] = {B2_F16, B2_BF16};
    enum { K = 16, M = 65536 / K };
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 4; i++) {
        b2_type type = types[i / 2];

        if (op_kept(&t, type) != type || (i % 2 == 1 && !has_many(&t))) {
            op_clear(&t);
            continue;
        }
        uint16_t *all = op_host(&t, (size_t)M * K * sizeof *all);
        float *expected = op_host(&t, (size_t)M * K * sizeof *expected);
        float one[K * K] = {0};
        b2_weight_part part = {all, M, type};
        b2_weight_desc desc = {&part, 1, K, type,
                               i % 2 == 0 ? B2_USE_LINEAR : B2_USE_LINEAR | B2_USE_MANY};
        b2_weight *weight = NULL;

        for (int j = 0; j < M * K; j++) {
            all[j] = (uint16_t)j;
            b2_to_f32(&expected[j], &all[j], type, 1);
            if (!isfinite(expected[j]))
                all[j] = 0, expected[j] = 0.0f;
        }
        for (int j = 0; j < K; j++)
            one[j * K + j] = 1.0f;
        op_check(&t, t.device->ops->weight_create(t.device, &desc, &weight));
        b2_mat x = b2_mat_of(op_upload(&t, one, sizeof one), B2_F32, K, K);
        for (int first = 0; first <= K; first++) { /* one row each, then all of them */
            op_mat y = op_mat_new(&t, B2_F32, first < K ? 1 : K, M, 0, OP_NAN);
            b2_linear op = {
                .x = first < K ? b2_mat_rows(x, first, 1) : x, .w = weight, .y = y.device};

            op_check(&t, t.device->ops->linear(t.device, &op));
            float *got = op_mat_read(&t, y);
            for (int r = 0; r < op.x.rows; r++)
                for (int j = 0; j < M; j++)
                    if (got[r * M + j] != expected[j * K + first % K + r])
                        ck_abort_msg("%s of %#x is %a, expected %a", b2_type_name(type),
                                     (unsigned)all[j * K + first % K + r], (double)got[r * M + j],
                                     (double)expected[j * K + first % K + r]);
        }
        t.device->ops->weight_free(t.device, weight);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

START_TEST(refusals) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    linear_case c = {2, 3, 4, B2_F32, B2_F32, 1, false, B2_ACT_NONE, NO_RESIDUAL, 0, false};
    made_weight w = make_weight(&t, &c, B2_USE_LINEAR);
    op_mat x = op_mat_new(&t, B2_F32, 2, 4, 0, OP_RANDOM);
    op_mat y = op_mat_new(&t, B2_F32, 2, 3, 0, OP_NAN);
    b2_linear op = {.x = x.device, .w = w.weight, .y = y.device};

    op.x.cols = 5;
    ck_assert_status(t.device->ops->linear(t.device, &op), BLIP2_EINTERNAL);
    op.x = x.device;
    op.y.rows = 1;
    ck_assert_status(t.device->ops->linear(t.device, &op), BLIP2_EINTERNAL);
    op.y = x.device;
    ck_assert_status(t.device->ops->linear(t.device, &op), BLIP2_EINTERNAL);
    op.y = y.device;
    op.gated = true; /* 3 rows are no gate and up for 3 columns, nor for 1 */
    ck_assert_status(t.device->ops->linear(t.device, &op), BLIP2_EINTERNAL);
    op.y.cols = 1;
    ck_assert_status(t.device->ops->linear(t.device, &op), BLIP2_EINTERNAL);
    op.gated = false;
    op.y = y.device;
    op.residual = x.device;
    ck_assert_status(t.device->ops->linear(t.device, &op), BLIP2_EINTERNAL);
    op_mat_unchanged(&t, y);
    t.device->ops->weight_free(t.device, w.weight);
    op_close(&t);
}
END_TEST

void suite_linear(Suite *suite) {
    op_add_case(suite, "linear", listed);
    op_add_case(suite, "linear, drawn", drawn);
    op_add_case(suite, "activations", activations);
    op_add_case(suite, "halves", halves);
    op_add_case(suite, "linear refuses", refusals);
}
