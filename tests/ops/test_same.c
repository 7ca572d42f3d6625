/* A row's bits do not depend on the rows beside it, on its number, nor on where its sequence is cut
 * into calls: a batch is run whole and in chunks. On the CPU as it is, on a GPU with
 * `deterministic`. */
#include <string.h>

#include "ops.h"

enum { CHUNKS = 9 };
/* Around the numbers of rows at which some device takes another way. */
static const int64_t chunks[CHUNKS] = {1, 2, 3, 5, 17, 25, 37, 64, 65};

/* Rows first .. first+count-1 of one batch. */
typedef void run_rows(op_context *t, void *what, int64_t first, int64_t count);

/* The batch in every chunking; `out` is what it writes. */
static void check_chunks(op_context *t, const char *name, run_rows *run, void *what, op_mat *out) {
    int64_t n = out->device.rows;
    size_t bytes = (size_t)(n * out->device.cols) * sizeof(float);
    op_mat fresh = *out;
    float *whole;

    run(t, what, 0, n);
    whole = op_mat_read(t, *out);
    for (int c = 0; c < CHUNKS && chunks[c] < n; c++) {
        if (strcmp(t->device->ops->name, "cpu") != 0 && chunks[c] != 37 && chunks[c] != 65)
            continue; /* a GPU in software takes its time; 66 rows in chunks of 65 are one alone */
        *out = op_mat_new(t, fresh.device.type, n, fresh.device.cols, 0, OP_NAN);
        for (int64_t i = 0; i < n; i += chunks[c])
            run(t, what, i, n - i < chunks[c] ? n - i : chunks[c]);
        ck_assert_msg(memcmp(whole, op_mat_read(t, *out), bytes) == 0,
                      "%s: %lld rows in chunks of %lld differ from the whole", name, (long long)n,
                      (long long)chunks[c]);
    }
}

/* ---- linear -------------------------------------------------------------------------------- */

typedef struct linear_job {
    op_mat x, y, residual;
    b2_linear op;
} linear_job;

static void linear_rows(op_context *t, void *what, int64_t first, int64_t count) {
    linear_job *job = what;
    b2_linear op = job->op;

    op.x = b2_mat_rows(job->x.device, first, count);
    op.y = b2_mat_rows(job->y.device, first, count);
    if (job->residual.device.data != NULL)
        op.residual = b2_mat_rows(job->residual.device, first, count);
    op_check(t, t->device->ops->linear(t->device, &op));
}

static void check_linear(op_context *t, int64_t n, int64_t m, int64_t k, b2_type type,
                         unsigned uses, bool gated) {
    int64_t rows = gated ? 2 * m : m;
    size_t count = (size_t)(rows * k);
    float *values = op_host(t, count * sizeof *values);
    void *stored = op_host(t, count * b2_type_size(type));
    b2_weight_part part = {stored, rows, type};
    b2_weight_desc desc = {&part, 1, k, type, uses};
    linear_job job = {.x = op_mat_new(t, B2_F32, n, k, 0, OP_RANDOM),
                      .y = op_mat_new(t, B2_F32, n, m, 0, OP_NAN)};
    b2_weight *weight = NULL;
    char name[96];

    for (size_t i = 0; i < count; i++)
        values[i] = (float)op_uniform(t, -1.0, 1.0);
    b2_from_f32(stored, type, values, count);
    op_check(t, t->device->ops->weight_create(t->device, &desc, &weight));
    if (!gated)
        job.residual = op_mat_new(t, B2_F32, n, m, 0, OP_RANDOM);
    job.op = (b2_linear){.w = weight, .act = B2_ACT_GELU, .gated = gated};
    (void)op_vector(t, rows, (float **)(uintptr_t)&job.op.bias);
    snprintf(name, sizeof name, "linear [%lld, %lld] %s uses %u gated %d", (long long)m,
             (long long)k, b2_type_name(type), uses, gated);
    check_chunks(t, name, linear_rows, &job, &job.y);
    t->device->ops->weight_free(t->device, weight);
    op_clear(t);
}

START_TEST(linear) {
    static const struct {
        int64_t n, m, k;
    } sizes[] = {{70, 70, 130},   {130, 64, 512}, {70, 5, 33},
                 {66, 131, 1100}, {300, 8, 64},   {66, 5, 2700}};
    op_context t;

    if (!op_open_same(&t, _i))
        return;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t n = sizes[i].n, m = sizes[i].m, k = sizes[i].k;

        for (int type = 0; type < 3; type++) {
            if (op_kept(&t, (b2_type)type) != (b2_type)type)
                continue;
            check_linear(&t, n, m, k, (b2_type)type, B2_USE_LINEAR, i % 2 == 1);
            if (strcmp(t.device->ops->name, "cpu") == 0) /* no way of its own elsewhere */
                check_linear(&t, n, m, k, (b2_type)type, B2_USE_LINEAR | B2_USE_MANY, i % 2 == 1);
        }
        check_linear(&t, n, m, k, B2_F32, B2_USE_LINEAR | B2_USE_ROWS, false);
    }
    op_close(&t);
}
END_TEST

/* ---- attention ----------------------------------------------------------------------------- */

enum { HEADS = 2, TOKENS = 16, MOST_PAGES = 12 };

typedef struct attention_job {
    op_mat q, k, v, y;
    b2_attention op;
    int32_t *numbers; /* the device's: of a call, one behind the other */
    int64_t keys;     /* of the whole sequence */
    bool fresh;       /* rows bring their keys; else all keys are there, as rows of k and v */
} attention_job;

static void attention_rows(op_context *t, void *what, int64_t first, int64_t count) {
    attention_job *job = what;
    b2_attention op = job->op;
    int64_t keys = job->fresh ? first + count : job->keys;
    int32_t host[3 + 1 + 1 + 1 + MOST_PAGES + 256] = {0, (int32_t)count};
    int32_t *numbers = job->numbers;

    host[3] = 0;
    host[4] = (int32_t)keys;
    host[5] = op.rule == B2_MASK_QFORMER_CAUSAL ? 1 : 0;
    for (int i = 0; i < MOST_PAGES; i++)
        host[6 + i] = MOST_PAGES - 1 - i;
    for (int64_t i = 0; i < count; i++) {
        int64_t at = first + i;

        host[6 + MOST_PAGES + i] = host[6 + at / TOKENS] * TOKENS + (int32_t)(at % TOKENS);
    }
    op_check(t, t->device->ops->sync(t->device));
    op_check(t, t->device->ops->upload(t->device, numbers, host, sizeof host));
    op.q = b2_mat_rows(job->q.device, first, count);
    op.y = b2_mat_rows(job->y.device, first, count);
    op.q_start = numbers;
    op.k_first = numbers + 3;
    op.k_count = numbers + 4;
    op.queries = numbers + 5;
    op.segments = 1;
    op.max_q = (uint32_t)count;
    op.max_k = (uint32_t)keys;
    if (job->fresh) {
        op.k = b2_mat_rows(job->k.device, first, count);
        op.v = b2_mat_rows(job->v.device, first, count);
        op.kv.page_table = numbers + 6;
        op.kv.table_stride = MOST_PAGES;
        op.slots = numbers + 6 + MOST_PAGES;
    } else {
        op.k = job->k.device;
        op.v = job->v.device;
    }
    op_check(t, t->device->ops->attention(t->device, &op));
}

static void check_attention(op_context *t, const char *name, b2_type type, int64_t size,
                            b2_mask_rule rule, bool fresh, bool bias, int64_t n) {
    attention_job job = {.keys = 150, .fresh = fresh};
    int64_t cols = HEADS * size, keys = fresh ? n : job.keys;
    size_t page_bytes = (size_t)(2 * cols * TOKENS) * b2_type_size(type);
    void *pages = op_host(t, page_bytes * MOST_PAGES);
    int32_t none[512] = {0};

    job.q = op_mat_new(t, type, n, cols, 0, OP_RANDOM);
    job.k = op_mat_new(t, type, keys, cols, 0, OP_RANDOM);
    job.v = op_mat_new(t, type, keys, cols, 0, OP_RANDOM);
    job.y = op_mat_new(t, type, n, cols, 0, OP_NAN);
    job.numbers = op_upload(t, none, sizeof none);
    job.op =
        (b2_attention){.heads = HEADS, .head_size = (uint32_t)size, .scale = 0.7f, .rule = rule};
    if (fresh)
        job.op.kv = (b2_kv_view){.pages = op_upload(t, pages, page_bytes * MOST_PAGES),
                                 .layout = {.type = type,
                                            .layers = 1,
                                            .heads = HEADS,
                                            .head_size = (uint32_t)size,
                                            .page_tokens = TOKENS,
                                            .page_bytes = page_bytes}};
    if (bias) {
        (void)op_vector(t, (int64_t)HEADS * 40, (float **)(uintptr_t)&job.op.bias);
        job.op.bias_span = 40;
        job.op.bias_zero = 39;
    }
    check_chunks(t, name, attention_rows, &job, &job.y);
    op_clear(t);
}

START_TEST(attention) {
    op_context t;

    if (!op_open_same(&t, _i))
        return;
    for (int half = 0; half < 2; half++) {
        b2_type type = half != 0 ? t.device->compute : B2_F32;

        check_attention(&t, "causal 80", type, 80, B2_MASK_CAUSAL, true, false, 150);
        check_attention(&t, "causal 64 with a bias", type, 64, B2_MASK_CAUSAL, true, true, 130);
        check_attention(&t, "causal 128", type, 128, B2_MASK_CAUSAL, true, false, 66);
        check_attention(&t, "a query and text 64", type, 64, B2_MASK_QFORMER_CAUSAL, true, false,
                        70);
        check_attention(&t, "all of 44", type, 44, B2_MASK_ALL, false, false, 70);
        check_attention(&t, "all of 88", type, 88, B2_MASK_ALL, false, false, 70);
    }
    op_close(&t);
}
END_TEST

/* Text rows beside rows of queries, and alone. */
START_TEST(split) {
    enum { ROWS = 100, QUERIES = 70, SIZE = 64 };
    static const int32_t counts[] = {ROWS, ROWS - QUERIES, 7, 1};
    op_context t;

    if (!op_open_same(&t, _i))
        return;
    b2_type type = t.device->compute;
    op_mat q = op_mat_new(&t, type, ROWS, SIZE, 0, OP_RANDOM);
    op_mat k = op_mat_new(&t, type, ROWS, SIZE, 0, OP_RANDOM);
    float *whole = NULL;

    for (int i = 0; i < 4; i++) {
        int32_t n = counts[i], numbers[] = {0, n, 0, ROWS, QUERIES}, *on;
        op_mat y = op_mat_new(&t, type, ROWS, SIZE, 0, OP_NAN);
        size_t bytes = (size_t)n * SIZE * sizeof *whole;
        float *got;

        on = op_upload(&t, numbers, sizeof numbers);
        const b2_attention op = {.q = b2_mat_rows(q.device, ROWS - n, n),
                                 .k = k.device,
                                 .v = k.device,
                                 .y = b2_mat_rows(y.device, ROWS - n, n),
                                 .q_start = on,
                                 .k_first = on + 2,
                                 .k_count = on + 3,
                                 .queries = on + 4,
                                 .segments = 1,
                                 .heads = 1,
                                 .head_size = SIZE,
                                 .max_q = (uint32_t)n,
                                 .max_k = ROWS,
                                 .scale = 0.5f,
                                 .rule = B2_MASK_QFORMER_SPLIT};
        op_check(&t, t.device->ops->attention(t.device, &op));
        got = op_mat_read(&t, y);
        whole = whole != NULL ? whole : got;
        ck_assert_msg(memcmp(whole + (ROWS - n) * SIZE, got + (ROWS - n) * SIZE, bytes) == 0,
                      "the last %d rows alone differ", n);
    }
    op_close(&t);
}
END_TEST

/* ---- rows by themselves -------------------------------------------------------------------- */

typedef struct row_job {
    op_mat x, add, y;
    float *gamma, *beta;
} row_job;

static void norm_rows(op_context *t, void *what, int64_t first, int64_t count) {
    row_job *job = what;
    const b2_norm op = {.x = b2_mat_rows(job->x.device, first, count),
                        .add = b2_mat_rows(job->add.device, first, count),
                        .gamma = job->gamma,
                        .beta = job->beta,
                        .eps = 1e-5f,
                        .y = b2_mat_rows(job->y.device, first, count)};

    op_check(t, t->device->ops->norm(t->device, &op));
}

static void l2_rows(op_context *t, void *what, int64_t first, int64_t count) {
    row_job *job = what;
    const b2_l2_normalise op = {.x = b2_mat_rows(job->x.device, first, count),
                                .y = b2_mat_rows(job->y.device, first, count)};

    op_check(t, t->device->ops->l2_normalise(t->device, &op));
}

/* y [n, TOP]: log-probabilities. */
enum { TOP = 5 };

static void top_rows(op_context *t, void *what, int64_t first, int64_t count) {
    row_job *job = what;
    int32_t none[512 * TOP] = {0};
    const b2_top_k op = {.logits = b2_mat_rows(job->x.device, first, count),
                         .top = TOP,
                         .log_prob = (float *)job->y.device.data + first * TOP,
                         .ids = op_upload(t, none, (size_t)count * TOP * sizeof *none)};

    op_check(t, t->device->ops->top_k(t->device, &op));
    op_check(t, t->device->ops->sync(t->device));
    t->device->ops->free(t->device, t->device_blocks[--t->device_count]);
}

START_TEST(rows) {
    static const int64_t widths[] = {7, 352, 1408};
    enum { ROWS = 70 };
    op_context t;

    if (!op_open_same(&t, _i))
        return;
    for (int i = 0; i < 3; i++) {
        int64_t cols = widths[i];
        row_job job = {.x = op_mat_new(&t, B2_F32, ROWS, cols, 0, OP_RANDOM),
                       .add = op_mat_new(&t, B2_F32, ROWS, cols, 0, OP_RANDOM),
                       .y = op_mat_new(&t, B2_F32, ROWS, cols, 0, OP_NAN)};

        (void)op_vector(&t, cols, &job.gamma);
        (void)op_vector(&t, cols, &job.beta);
        check_chunks(&t, "norm", norm_rows, &job, &job.y);
        job.y = op_mat_new(&t, B2_F32, ROWS, cols, 0, OP_NAN);
        check_chunks(&t, "l2_normalise", l2_rows, &job, &job.y);
        job.y = op_mat_new(&t, B2_F32, ROWS, TOP, 0, OP_NAN);
        check_chunks(&t, "top_k", top_rows, &job, &job.y);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

void suite_same(Suite *suite) {
    op_add_case(suite, "same_linear", linear);
    op_add_case(suite, "same_attention", attention);
    op_add_case(suite, "same_split", split);
    op_add_case(suite, "same_rows", rows);
}
