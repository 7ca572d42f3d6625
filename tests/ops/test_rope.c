#include <math.h>
#include <stdio.h>

#include "ops.h"
#include "reference.h"

typedef struct rope_case {
    int64_t rows, heads, head_size, gap;
    bool f32; /* x is F32 whatever T is */
    bool joined;
} rope_case;

static const rope_case cases[] = {
    {1, 1, 2, 0, false, false}, {0, 3, 4, 0, false, false},     {3, 1, 6, 1, false, true},
    {5, 3, 80, 0, false, true}, {2, 5, 128, 4, true, false},    {33, 2, 64, 0, false, true},
    {3, 7, 10, 3, true, false}, {70, 32, 128, 0, false, false},
};

static void run_rope(op_context *t, const rope_case *c) {
    enum { POSITIONS = 50 };
    int64_t width = c->heads * c->head_size, count = c->rows * width, half = c->head_size / 2;
    b2_type type = c->f32 ? B2_F32 : t->device->compute;
    /* Q, say, of a joined [N, 3C]: what stands beside it stays. */
    op_mat qkv = op_mat_new(t, type, c->rows, c->joined ? 3 * width : width, c->gap, OP_RANDOM);
    op_mat x = op_mat_cols(qkv, c->joined ? width : 0, width);
    int32_t *positions = op_host(t, (size_t)c->rows * sizeof *positions);
    float *table = op_host(t, (size_t)(POSITIONS * c->head_size) * sizeof *table);
    double *exact = op_host(t, (size_t)count * sizeof *exact);
    float *plain = op_host(t, (size_t)count * sizeof *plain);
    char what[96];

    for (int64_t i = 0; i < c->rows; i++)
        positions[i] = i == 0 ? POSITIONS - 1 : (int32_t)op_integer(t, 0, POSITIONS - 1);
    for (int64_t p = 0; p < POSITIONS; p++)
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)p * pow(10000.0, -(double)j / (double)half);

            table[p * c->head_size + j] = (float)cos(angle);
            table[p * c->head_size + half + j] = (float)sin(angle);
        }
    b2_rope op = {.x = x.device,
                  .positions = op_upload(t, positions, (size_t)c->rows * sizeof *positions),
                  .cos_sin = op_upload(t, table, (size_t)(POSITIONS * c->head_size) * 4),
                  .heads = (uint32_t)c->heads,
                  .head_size = (uint32_t)c->head_size};
    op_check(t, t->device->ops->rope(t->device, &op));
    ref_rope ref = {x.host, x.device.stride, c->rows, c->heads, c->head_size, positions, table};
    ref_rope_f64(exact, &ref);
    ref_rope_f32(plain, &ref);
    snprintf(what, sizeof what, "rope rows %lld heads %lld size %lld", (long long)c->rows,
             (long long)c->heads, (long long)c->head_size);
    op_compare(what, type, op_mat_read(t, x), exact, plain, count);
}

START_TEST(listed) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_rope(&t, &cases[i]);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

START_TEST(refusals) {
    op_context t;
    int32_t zero = 0;

    if (!op_open(&t, _i))
        return;
    op_mat x = op_mat_new(&t, t.device->compute, 1, 12, 0, OP_RANDOM);
    b2_rope op = {.x = x.device,
                  .positions = op_upload(&t, &zero, sizeof zero),
                  .cos_sin = op_upload(&t, x.host, 12 * sizeof(float)),
                  .heads = 4,
                  .head_size = 3};

    ck_assert_status(t.device->ops->rope(t.device, &op), BLIP2_EINTERNAL);
    op.head_size = 4; /* 16 columns */
    ck_assert_status(t.device->ops->rope(t.device, &op), BLIP2_EINTERNAL);
    op.heads = 3;
    op.positions = NULL;
    ck_assert_status(t.device->ops->rope(t.device, &op), BLIP2_EINTERNAL);
    op_mat_unchanged(&t, x);
    op_close(&t);
}
END_TEST

void suite_rope(Suite *suite) {
    op_add_case(suite, "rope", listed);
    op_add_case(suite, "rope refuses", refusals);
}
