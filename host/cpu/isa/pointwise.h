/* What is done to rows once the products are there: epilogue, softmax, norm. */
#ifndef B2_CPU_POINTWISE_H
#define B2_CPU_POINTWISE_H
#include <math.h>

#include "cpu/isa/math.h"
#include "cpu/isa/vec.h"

INLINE void finish_act(const b2_activation act, float *y, int64_t ldy, const float *tile,
                       int64_t ldt, int64_t n, int64_t m, const b2_epilogue *e) {
    for (int64_t i = 0; i < n; i++, y += ldy, tile += ldt) {
        const float *residual = e->residual != NULL ? e->residual + i * e->residual_stride : NULL;
        const float *up = e->up != NULL ? e->up + i * e->up_stride : NULL;
        int64_t j = 0;

        for (; j + W <= m; j += W) {
            vf v = load(tile + j);

            if (e->bias != NULL)
                v += load(e->bias + j);
            v = activate(act, v);
            if (up != NULL)
                v *= e->up_bias != NULL ? load(up + j) + load(e->up_bias + j) : load(up + j);
            store(y + j, residual != NULL ? load(residual + j) + v : v);
        }
        if (j < m) {
            vf v = load_part(tile + j, m - j);

            if (e->bias != NULL)
                v += load_part(e->bias + j, m - j);
            v = activate(act, v);
            if (up != NULL) {
                vf other = load_part(up + j, m - j);

                v *= e->up_bias != NULL ? other + load_part(e->up_bias + j, m - j) : other;
            }
            if (residual != NULL)
                v += load_part(residual + j, m - j);
            store_part(y + j, v, m - j);
        }
    }
}

static void finish(float *y, int64_t ldy, const float *tile, int64_t ldt, int64_t n, int64_t m,
                   const b2_epilogue *e) {
    switch (e->act) {
#define ACT(act)                                                                                   \
    case act:                                                                                      \
        finish_act(act, y, ldy, tile, ldt, n, m, e);                                               \
        break;
        ACT(B2_ACT_NONE)
        ACT(B2_ACT_RELU)
        ACT(B2_ACT_GELU)
        ACT(B2_ACT_GELU_TANH)
        ACT(B2_ACT_QUICK_GELU)
        ACT(B2_ACT_SILU)
#undef ACT
    }
}

/* All ones for the lanes whose column c + lane lies within the span. */
INLINE vu within(b2_key_span span, int32_t c) {
    vu lane, inside = {0};

    for (uint32_t i = 0; i < W; i++)
        lane[i] = i;
    lane += (uint32_t)(c - span.first); /* columns before the span wrap around to huge numbers */
    inside = (vu)(lane < (uint32_t)(span.last - span.first));
    return inside;
}

/* The value, or -inf where masked. */
INLINE vf seen(const bool masked, vf value, int64_t c, b2_key_span span) {
    return masked ? pick(within(span, (int32_t)c), value, splat(-INFINITY)) : value;
}

/* Masked or not, a score that is seen goes through the same roundings: whether a row's keys end
 * with a block depends on the other rows there. */
INLINE float softmax_row(const bool masked, float *scores, int64_t columns, b2_key_span span,
                         float scale, float *m, float *d) {
    vf most = splat(-INFINITY), sum = splat(0.0f);
    float largest, base, factor;

    for (int64_t c = 0; c < columns; c += W)
        most = vmax(most, seen(masked, load(scores + c) * scale, c, span));
    largest = max_of(most);
    largest = largest > *m ? largest : *m;
    /* Where no key was seen yet everything is -inf, and -inf - -inf would be NaN. */
    base = largest == -INFINITY ? 0.0f : largest;
    for (int64_t c = 0; c < columns; c += W) {
        vf weight = exp_negative(seen(masked, load(scores + c) * scale - base, c, span));

        store(scores + c, weight);
        sum += weight;
    }
    factor = exp_negative(splat(*m - base))[0];
    *m = largest;
    *d = *d * factor + sum_of(sum);
    return factor;
}

static float softmax(float *scores, int64_t columns, b2_key_span span, float scale, float *m,
                     float *d) {
    if (span.first == 0 && span.last == columns)
        return softmax_row(false, scores, columns, span, scale, m, d);
    return softmax_row(true, scores, columns, span, scale, m, d);
}

static float largest(const float *x, int64_t n) {
    vf most = splat(-INFINITY);
    float last;
    int64_t i = 0;

    for (; i + W <= n; i += W)
        most = vmax(load(x + i), most); /* (a NaN among x gives way) */
    last = max_of(most);
    for (; i < n; i++)
        last = x[i] > last ? x[i] : last;
    return last;
}

static void scale_row(float *x, float factor, int64_t m) {
    for (int64_t i = 0; i < m; i += W)
        store(x + i, load(x + i) * factor);
}

static void norm(const b2_norm_row *row) {
    int64_t cols = row->cols, whole = cols - cols % W, part = cols - whole;
    float *s = row->sum, mean = 0.0f, scale;
    vf total = splat(0.0f), squares = splat(0.0f), v;

    for (int64_t j = 0; j < whole; j += W) {
        v = row->add != NULL ? load(row->x + j) + load(row->add + j) : load(row->x + j);
        store(s + j, v);
        total += v;
    }
    if (part > 0) {
        v = load_part(row->x + whole, part);
        if (row->add != NULL)
            v += load_part(row->add + whole, part);
        store_part(s + whole, v, part);
        total += v;
    }
    if (!row->rms)
        mean = sum_of(total) / (float)cols;
    for (int64_t j = 0; j < whole; j += W) {
        v = load(s + j) - mean;
        squares += v * v;
    }
    for (int64_t j = whole; j < cols; j++)
        squares[0] += (s[j] - mean) * (s[j] - mean);
    scale = 1.0f / sqrtf(sum_of(squares) / (float)cols + row->eps);
    for (int64_t j = 0; j < whole; j += W) {
        v = (load(s + j) - mean) * scale * load(row->gamma + j);
        store(row->y + j, row->beta != NULL ? v + load(row->beta + j) : v);
    }
    for (int64_t j = whole; j < cols; j++) {
        float last = (s[j] - mean) * scale * row->gamma[j];

        row->y[j] = row->beta != NULL ? last + row->beta[j] : last;
    }
}

#endif
