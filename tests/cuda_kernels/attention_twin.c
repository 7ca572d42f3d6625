#include "attention_twin.h"

#include <math.h>
#include <stdlib.h>

#include "kernel_test.h"
#include "ops/reference.h"

/* The value as the precision has it. */
static double f32(double value, bool exact) {
    return exact ? value : (double)(float)value;
}

static double narrow(double value, b2_type type, bool exact) {
    return exact ? value : (double)rounded((float)value, type);
}

typedef struct place {
    int s, h, row; /* row of the batch */
    int own;       /* key of the row */
} place;

/* Where the head of key j (or its value) begins in [M, G*D], for the head of queries. */
static int key_at(const attention_twin *t, const place *p, int j) {
    int kv = p->h / (t->heads / t->kv_heads);

    return ((t->k_first[p->s] + j) * t->kv_heads + kv) * t->head_size;
}

/* scores[j], -inf where the row does not look; the result is the largest. */
static double score(double *scores, const attention_twin *t, const place *p, bool exact) {
    int width = t->heads * t->head_size, m = t->k_count[p->s];
    int n = t->q_start[p->s + 1] - t->q_start[p->s];
    int queries = t->queries != NULL ? t->queries[p->s] : 0;
    const float *q = t->q + p->row * width + p->h * t->head_size;
    double most = -INFINITY;

    for (int j = 0; j < m; j++) {
        const float *k = t->k + key_at(t, p, j);

        scores[j] = 0.0;
        for (int d = 0; d < t->head_size; d++)
            scores[j] = f32(scores[j] + (double)q[d] * (double)k[d], exact);
        scores[j] = f32(scores[j] * (double)t->scale, exact);
        if (t->bias != NULL) {
            int at = j - p->own + t->bias_zero;

            at = at < 0 ? 0 : at >= t->bias_span ? t->bias_span - 1 : at;
            scores[j] = f32(scores[j] + (double)t->bias[p->h * t->bias_span + at], exact);
        }
        if (!ref_sees(t->rule, p->row - t->q_start[p->s], j, n, m, queries))
            scores[j] = -INFINITY;
        most = fmax(most, scores[j]);
    }
    return most;
}

static void attend(double *y, double *scores, const attention_twin *t, const place *p, bool exact) {
    int width = t->heads * t->head_size, m = t->k_count[p->s];
    double most = score(scores, t, p, exact), sum = 0.0;
    double *out = y + p->row * width + p->h * t->head_size;

    for (int d = 0; d < t->head_size; d++)
        out[d] = 0.0;
    for (int j = 0; j < m; j++) {
        double weight = scores[j] == -INFINITY ? 0.0 : f32(exp(scores[j] - most), exact);
        const float *v = t->v + key_at(t, p, j);

        sum = f32(sum + weight, exact);
        weight = narrow(weight, t->type, exact);
        for (int d = 0; d < t->head_size; d++)
            out[d] = f32(out[d] + weight * (double)v[d], exact);
    }
    for (int d = 0; d < t->head_size; d++)
        out[d] = sum > 0.0 ? narrow(out[d] / sum, t->type, exact) : 0.0;
}

void attention_twin_run(double *y, const attention_twin *t, bool exact) {
    int most = 1;

    for (int s = 0; s < t->segments; s++)
        most = t->k_count[s] > most ? t->k_count[s] : most;
    double *scores = malloc((size_t)most * sizeof *scores);
    ck_assert_ptr_nonnull(scores);
    for (int s = 0; s < t->segments; s++)
        for (int row = t->q_start[s]; row < t->q_start[s + 1]; row++)
            for (int h = 0; h < t->heads; h++) {
                place p = {s, h, row, t->k_count[s] - t->q_start[s + 1] + row};

                attend(y, scores, t, &p, exact);
            }
    free(scores);
}
