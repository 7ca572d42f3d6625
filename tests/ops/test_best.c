/* top_k and sample. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "draw.h"
#include "ops.h"

/* ids [top]: the best of a row by looking through it once for each place; -1: no number is left. */
static void find_best(op_context *t, int32_t *ids, const float *row, int64_t vocabulary,
                      int64_t top) {
    bool *taken = op_host(t, (size_t)vocabulary * sizeof *taken);

    for (int64_t k = 0; k < top; k++) {
        ids[k] = -1;
        for (int64_t i = 0; i < vocabulary; i++)
            if (!taken[i] && !isnan(row[i]) && (ids[k] < 0 || row[i] > row[ids[k]]))
                ids[k] = (int32_t)i;
        if (ids[k] >= 0)
            taken[ids[k]] = true;
    }
}

/* What an output of int32_t holds that was made as an F32 matrix, sentinels and all. */
static int32_t *read_ids(op_context *t, op_mat m) {
    return (int32_t *)(void *)op_mat_read(t, m);
}

/* ---- top_k -------------------------------------------------------------------------------- */

/* Log-probabilities of ids [top] in double, and as the float loops get them. */
static void log_softmax(double *exact, float *plain, const float *row, int64_t vocabulary,
                        const int32_t *ids, int64_t top) {
    float most = -INFINITY, sum_f32 = 0.0f;
    double sum = 0.0;

    for (int64_t i = 0; i < vocabulary; i++)
        most = fmaxf(most, row[i]);
    for (int64_t i = 0; i < vocabulary; i++)
        if (!isnan(row[i])) {
            sum += exp((double)row[i] - (double)most);
            sum_f32 += expf(row[i] - most);
        }
    for (int64_t k = 0; k < top; k++) {
        exact[k] = (double)row[ids[k]] - (double)most - log(sum);
        plain[k] = row[ids[k]] - most - logf(sum_f32);
    }
}

static void run_top_k(op_context *t, op_mat logits, int64_t top, const char *what) {
    int64_t rows = logits.device.rows, vocabulary = logits.device.cols;
    op_mat log_prob = op_mat_new(t, B2_F32, rows, top, 0, OP_NAN);
    op_mat ids = op_mat_new(t, B2_F32, rows, top, 0, OP_NAN);
    int32_t expected[B2_TOP_MOST];
    float plain[B2_TOP_MOST];
    double exact[B2_TOP_MOST];

    b2_top_k op = {logits.device, (uint32_t)top, log_prob.device.data, ids.device.data};
    op_check(t, t->device->ops->top_k(t->device, &op));
    float *got = op_mat_read(t, log_prob);
    int32_t *got_ids = read_ids(t, ids);
    for (int64_t r = 0; r < rows; r++) {
        const float *row = logits.host + r * logits.device.stride;
        int64_t numbers = 0;

        find_best(t, expected, row, vocabulary, top);
        for (int64_t k = 0; k < top; k++) {
            if (got_ids[r * top + k] != expected[k])
                ck_abort_msg("%s: row %lld, place %lld is %d, expected %d", what, (long long)r,
                             (long long)k, got_ids[r * top + k], expected[k]);
            if (expected[k] >= 0 && row[expected[k]] > -INFINITY)
                numbers++;
            else if (got[r * top + k] != -INFINITY)
                ck_abort_msg("%s: row %lld, place %lld has %g, expected -inf", what, (long long)r,
                             (long long)k, (double)got[r * top + k]);
        }
        log_softmax(exact, plain, row, vocabulary, expected, numbers);
        op_compare(what, B2_F32, got + r * top, exact, plain, numbers);
    }
}

START_TEST(top_k) {
    static const int64_t vocabularies[6] = {1, 5, 1027, 4100, 50272, 130};
    static const int64_t tops[6] = {1, 64, 10, 2, 64, 33};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 12; i++) {
        char what[64];

        t.random += (uint64_t)i;
        op_mat logits = op_mat_new(&t, B2_F32, i == 7 ? 0 : 1 + i % 2, vocabularies[i % 6],
                                   i % 3 == 0 ? 0 : i % 4, OP_RANDOM);
        for (int64_t r = 0; r < logits.device.rows; r++) { /* up to 20, few of them equal */
            float *row = logits.host + r * logits.device.stride;

            for (int64_t j = 0; j < logits.device.cols; j++)
                row[j] *= 20.0f;
            op_check(&t, t.device->ops->upload(t.device, b2_mat_rows(logits.device, r, 1).data, row,
                                               (size_t)logits.device.cols * sizeof *row));
        }
        snprintf(what, sizeof what, "top_k %d: best %lld of %lld", i, (long long)tops[i % 6],
                 (long long)vocabularies[i % 6]);
        run_top_k(&t, logits, tops[i % 6], what);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

/* Ascending scores, of which each is the best so far; equals, NaN and -inf keep their order. */
START_TEST(top_k_of_hard_rows) {
    enum { ROWS = 6, VOCABULARY = 3001 };
    op_context t;

    if (!op_open(&t, _i))
        return;
    float *rows = op_host(&t, ROWS * VOCABULARY * sizeof *rows);
    for (int i = 0; i < VOCABULARY; i++) {
        rows[i] = (float)i * 0.01f;
        rows[VOCABULARY + i] = i % 7 != 0 ? (float)-(i % 7) : i % 2 != 0 ? 0.0f : -0.0f;
        rows[2 * VOCABULARY + i] = i % 150 == 149 ? (float)(i % 4) : i % 3 != 0 ? NAN : -INFINITY;
        rows[3 * VOCABULARY + i] = i % 1000 == 7 ? (float)-i : NAN;
        rows[4 * VOCABULARY + i] = NAN;
        rows[5 * VOCABULARY + i] = i % 2 != 0 ? -INFINITY : NAN;
    }
    op_mat logits = {
        .device = b2_mat_of(op_upload(&t, rows, ROWS * VOCABULARY * 4), B2_F32, ROWS, VOCABULARY),
        .host = rows};
    run_top_k(&t, logits, 64, "top_k of hard rows");
    op_close(&t);
}
END_TEST

/* ---- sample ------------------------------------------------------------------------------- */

enum { DRAWS = 24 };

typedef struct sample_input {
    op_mat logits;
    float temperature[DRAWS], top_p[DRAWS];
    int32_t top_k[DRAWS];
    uint64_t seed[DRAWS];
    uint32_t counter[DRAWS];
} sample_input;

static void sample(op_context *t, const sample_input *in, int32_t tokens[DRAWS]) {
    int64_t rows = in->logits.device.rows;
    op_mat out = op_mat_new(t, B2_F32, rows, 1, 0, OP_NAN);
    b2_sample op = {.logits = in->logits.device,
                    .temperature = op_upload(t, in->temperature, sizeof in->temperature),
                    .top_p = op_upload(t, in->top_p, sizeof in->top_p),
                    .top_k = op_upload(t, in->top_k, sizeof in->top_k),
                    .seed = op_upload(t, in->seed, sizeof in->seed),
                    .counter = op_upload(t, in->counter, sizeof in->counter),
                    .tokens = out.device.data};

    op_check(t, t->device->ops->sample(t->device, &op));
    memcpy(tokens, read_ids(t, out), (size_t)rows * sizeof *tokens);
}

/* What the same logits give on the CPU device: not one draw may differ. */
static void sample_on_cpu(const sample_input *in, int32_t tokens[DRAWS]) {
    op_context cpu = {0};
    sample_input copy = *in;
    int64_t rows = in->logits.device.rows;
    size_t bytes = (size_t)(rows * in->logits.device.stride) * sizeof(float);

    ck_assert_status_ok(b2_device_open(&cpu.device, "cpu", NULL));
    copy.logits.device.data = op_upload(&cpu, in->logits.host, bytes);
    sample(&cpu, &copy, tokens);
    op_close(&cpu);
}

/* Philox4x32-10 as the paper has it: a round, then the key's step. */
static uint32_t philox(uint64_t seed, uint32_t counter) {
    uint32_t x[4] = {counter, 0, 0, 0}, k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);

    for (int i = 0; i < 10; i++) {
        uint64_t p0 = (uint64_t)0xd2511f53u * x[0], p1 = (uint64_t)0xcd9e8d57u * x[2];
        uint32_t y[4] = {(uint32_t)(p1 >> 32) ^ x[1] ^ k0, (uint32_t)p1,
                         (uint32_t)(p0 >> 32) ^ x[3] ^ k1, (uint32_t)p0};

        memcpy(x, y, sizeof x);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return x[0];
}

/* transformers' filters and a draw, in double over the whole row. margin: how far the draw is from
 * falling on a neighbour, or a token from being dropped, where floats may decide otherwise. */
static int32_t sample_twin(op_context *t, const sample_input *in, int r, double *margin) {
    const float *row = in->logits.host + r * in->logits.device.stride;
    int64_t vocabulary = in->logits.device.cols, most = vocabulary < 64 ? vocabulary : 64;
    double weight[64], total = 0.0, below = 0.0, sum = 0.0, top_p = (double)in->top_p[r];
    double target = (philox(in->seed[r], in->counter[r]) >> 8) * 0x1p-24;
    int64_t kept = in->top_k[r] < vocabulary ? in->top_k[r] : vocabulary;
    int32_t ids[64];

    find_best(t, ids, row, vocabulary, most);
    while (kept < most && row[ids[kept]] == row[ids[kept - 1]])
        kept++;
    for (int64_t k = 0; k < kept; k++)
        total += weight[k] =
            exp(((double)row[ids[k]] - (double)row[ids[0]]) / (double)in->temperature[r]);
    *margin = 1.0;
    for (; kept > 1 && top_p < 1.0; kept--) {
        below += weight[kept - 1] / total;
        *margin = fmin(*margin, fabs(below - (1.0 - top_p)));
        if (below > 1.0 - top_p)
            break;
    }
    total = 0.0;
    for (int64_t k = 0; k < kept; k++)
        total += weight[k];
    for (int64_t k = 0; k < kept; k++) {
        sum += weight[k] / total;
        if (k < kept - 1)
            *margin = fmin(*margin, fabs(target - sum));
        if (target < sum)
            return ids[k];
    }
    return ids[kept - 1];
}

/* Row 5i: small whole numbers, so that many are equal to the k-th best. */
static sample_input draw(op_context *t, int64_t vocabulary, int64_t gap) {
    sample_input in = {.logits = op_mat_new(t, B2_F32, DRAWS, vocabulary, gap, OP_RANDOM)};

    for (int r = 0; r < DRAWS; r++) {
        float *row = in.logits.host + r * in.logits.device.stride;

        for (int64_t j = 0; j < vocabulary; j++)
            row[j] = r % 5 == 0 ? (float)(j % 11) : 4.0f * row[j];
        op_check(t, t->device->ops->upload(t->device, b2_mat_rows(in.logits.device, r, 1).data, row,
                                           (size_t)vocabulary * sizeof *row));
        in.temperature[r] = (float)op_uniform(t, 0.2, 3.0);
        in.top_p[r] = r % 3 == 0 ? 1.0f : (float)op_uniform(t, 0.05, 1.0);
        in.top_k[r] = r % 4 == 0 ? B2_TOP_MOST : (int32_t)op_integer(t, 1, B2_TOP_MOST);
        in.seed[r] = (uint64_t)op_integer(t, 0, INT64_MAX - 1) * 2 + 1;
        in.counter[r] = (uint32_t)op_integer(t, 0, UINT32_MAX);
    }
    return in;
}

START_TEST(samples) {
    static const int64_t vocabularies[5] = {1, 5, 40, 64, 1500};
    int unsure = 0;

    ck_assert_uint_eq(philox(0, 0), 0x6627e8d5u); /* the paper's known answer */
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 10; i++) {
        int32_t tokens[DRAWS], same[DRAWS];

        t.random += (uint64_t)i;
        sample_input in = draw(&t, vocabularies[i % 5], i % 4);
        sample(&t, &in, tokens);
        sample_on_cpu(&in, same);
        for (int r = 0; r < DRAWS; r++) {
            double margin;
            int32_t expected = sample_twin(&t, &in, r, &margin);

            if (tokens[r] != same[r])
                ck_abort_msg("sample %d: row %d is %d, on the CPU %d", i, r, tokens[r], same[r]);
            if (margin < 1e-5) /* sums of 64 floats */
                unsure++;
            else if (tokens[r] != expected)
                ck_abort_msg("sample %d: row %d is %d, expected %d", i, r, tokens[r], expected);
        }
        op_clear(&t);
    }
    op_close(&t);
    ck_assert_int_le(unsure, 4);
}
END_TEST

/* No number gives -1; one +inf is drawn whatever the rest; -inf is drawn where there is nothing
 * else; top_p 0 leaves the best, and so does top_k 1 (but its equals). */
START_TEST(samples_of_odd_rows) {
    enum { ROWS = 5, VOCABULARY = 5 };
    float rows[ROWS][VOCABULARY] = {{NAN, NAN, NAN, NAN, NAN},
                                    {1, NAN, INFINITY, -INFINITY, 3},
                                    {1, 2, 2.5f, 0, -1},
                                    {NAN, -INFINITY, NAN, NAN, NAN},
                                    {1, 7, 3, 7, 7}};
    int32_t tokens[DRAWS], drawn = 0;
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (uint32_t i = 0; i < 20; i++) {
        sample_input in = {.logits = {.device = b2_mat_of(op_upload(&t, rows, sizeof rows), B2_F32,
                                                          ROWS, VOCABULARY),
                                      .host = rows[0]}};
        for (int r = 0; r < ROWS; r++) {
            in.temperature[r] = 2.0f;
            in.top_p[r] = r == 2 ? 0.0f : 1.0f;
            in.top_k[r] = r == 4 ? 1 : B2_TOP_MOST;
            in.seed[r] = i;
        }
        sample(&t, &in, tokens);
        ck_assert_int_eq(tokens[0], -1);
        ck_assert_int_eq(tokens[1], 2);
        ck_assert_int_eq(tokens[2], 2);
        ck_assert_int_eq(tokens[3], 1);
        ck_assert(tokens[4] == 1 || tokens[4] == 3 || tokens[4] == 4);
        drawn |= 1 << tokens[4];
        op_clear(&t);
    }
    op_close(&t);
    ck_assert_int_eq(drawn, 1 << 1 | 1 << 3 | 1 << 4);
}
END_TEST

/* The exponential that all devices share: right to 1e-7, and 0 where it would be subnormal. */
START_TEST(exponential) {
    if (_i > 0)
        return;
    for (int i = 0; i <= 870000; i++) {
        float x = (float)i * -1e-4f;
        double exact = exp((double)x);

        if (fabs((double)b2_draw_exp(x) - exact) > 1e-7 * exact)
            ck_abort_msg("e^%.9g is %.9g, expected %.9g", (double)x, (double)b2_draw_exp(x), exact);
    }
    ck_assert(b2_draw_exp(-87.5f) == 0.0f && b2_draw_exp(-INFINITY) == 0.0f);
    ck_assert(b2_draw_exp(NAN) == 0.0f && b2_draw_exp(0.0f) == 1.0f);
}
END_TEST

START_TEST(refusals) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    op_mat logits = op_mat_new(&t, B2_F32, 1, 3, 0, OP_RANDOM);
    b2_top_k top = {.logits = {.type = B2_F32, .rows = 1, .cols = 3, .stride = 3}, .top = 1};
    b2_sample draws = {.logits = top.logits};

    ck_assert_status(t.device->ops->sample(t.device, &draws), BLIP2_EINTERNAL);
    ck_assert_status(t.device->ops->top_k(t.device, &top), BLIP2_EINTERNAL);
    top.logits = logits.device;
    top.top = 0;
    ck_assert_status(t.device->ops->top_k(t.device, &top), BLIP2_EINTERNAL);
    top.top = B2_TOP_MOST + 1;
    ck_assert_status(t.device->ops->top_k(t.device, &top), BLIP2_EINTERNAL);
    op_close(&t);
}
END_TEST

void suite_best(Suite *suite) {
    op_add_case(suite, "top_k", top_k);
    op_add_case(suite, "top_k of hard rows", top_k_of_hard_rows);
    op_add_case(suite, "sample", samples);
    op_add_case(suite, "sample of odd rows", samples_of_odd_rows);
    op_add_case(suite, "the shared exponential", exponential);
    op_add_case(suite, "top_k and sample refuse", refusals);
}
