/* Stored values to float panels and rows. */
#ifndef B2_CPU_UNPACK_H
#define B2_CPU_UNPACK_H
#include "cpu/isa/vec.h"

/* Transposing W x W floats: in step S (1, 2, 4 ..) rows i and i + S exchange the halves of each
 * pair of S-wide columns. */
#define LOW(j, S) ((j) & (S) ? W + (j) - (S) : (j))
#define HIGH(j, S) ((j) & (S) ? W + (j) : (j) + (S))
#define FOUR(pick, j, S) pick(j, S), pick((j) + 1, S), pick((j) + 2, S), pick((j) + 3, S)
#if W == 16
#define ALL(pick, S) FOUR(pick, 0, S), FOUR(pick, 4, S), FOUR(pick, 8, S), FOUR(pick, 12, S)
#elif W == 8
#define ALL(pick, S) FOUR(pick, 0, S), FOUR(pick, 4, S)
#else
#define ALL(pick, S) FOUR(pick, 0, S)
#endif
#define TRANSPOSE_STEP(S)                                                                          \
    UNROLL                                                                                         \
    for (int i = 0; i < W; i++)                                                                    \
        if ((i & (S)) == 0) {                                                                      \
            vf upper = row[i], lower = row[i + (S)];                                               \
                                                                                                   \
            row[i] = __builtin_shufflevector(upper, lower, ALL(LOW, S));                           \
            row[i + (S)] = __builtin_shufflevector(upper, lower, ALL(HIGH, S));                    \
        }

INLINE void transpose(vf row[W]) {
    TRANSPOSE_STEP(1)
    TRANSPOSE_STEP(2)
#if W >= 8
    TRANSPOSE_STEP(4)
#endif
#if W >= 16
    TRANSPOSE_STEP(8)
#endif
}

/* W columns of a strip [k, STRIP]. */
INLINE void unpack_columns(const b2_type type, float *strip, const void *const *rows, int64_t count,
                           int64_t k) {
    const int64_t size = type == B2_F32 ? 4 : 2;
    vf square[W];
    int64_t i = 0;

    for (; i + W <= k; i += W) {
        prefetch(rows[0], W, k * size, W * size, i / W);
        UNROLL
        for (int r = 0; r < W; r++)
            square[r] = r < count ? load_as(type, rows[r], i) : splat(0.0f);
        transpose(square);
        UNROLL
        for (int r = 0; r < W; r++)
            store(strip + (i + r) * STRIP, square[r]);
    }
    if (i == k)
        return;
    for (int r = 0; r < W; r++)
        square[r] = r < count ? load_part_as(type, rows[r], i, k - i) : splat(0.0f);
    transpose(square);
    for (int r = 0; r < k - i; r++)
        store(strip + (i + r) * STRIP, square[r]);
}

INLINE void unpack_panel_typed(const b2_type type, float *panel, const void *const *rows,
                               int64_t count, int64_t k) {
    for (int64_t c = 0; c < B2_PANEL; c += W) {
        float *columns = panel + c / STRIP * STRIP * k + c % STRIP;

        if (c + W <= count)
            unpack_columns(type, columns, rows + c, W, k);
        else
            unpack_columns(type, columns, rows + c, count - c, k);
    }
}

static void unpack_panel(float *panel, const void *const *rows, b2_type type, int64_t count,
                         int64_t k) {
    if (type == B2_F16)
        unpack_panel_typed(B2_F16, panel, rows, count, k);
    else if (type == B2_BF16)
        unpack_panel_typed(B2_BF16, panel, rows, count, k);
    else
        unpack_panel_typed(B2_F32, panel, rows, count, k);
}

INLINE void unpack_rows_typed(const b2_type type, float *to, int64_t ld, const void *const *rows,
                              int64_t count, int64_t k) {
    for (int64_t r = 0; r < count; r++, to += ld) {
        int64_t i = 0;

        for (; i + W <= k; i += W)
            store(to + i, load_as(type, rows[r], i));
        if (i < k) {
            store(to + i, load_part_as(type, rows[r], i, k - i));
            i += W;
        }
        for (; i < ld; i += W)
            store(to + i, splat(0.0f));
    }
}

static void unpack_rows(float *to, int64_t ld, const void *const *rows, b2_type type, int64_t count,
                        int64_t k) {
    if (type == B2_F16)
        unpack_rows_typed(B2_F16, to, ld, rows, count, k);
    else if (type == B2_BF16)
        unpack_rows_typed(B2_BF16, to, ld, rows, count, k);
    else
        unpack_rows_typed(B2_F32, to, ld, rows, count, k);
}

#endif
