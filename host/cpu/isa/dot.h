/* Products of rows with weight rows. Each product has W chains of multiply-adds, chain i along the
 * elements i, i + W, i + 2 W .. of both rows, which are added up at the end as sum_of does: for few
 * rows of x and for many, whether a weight was converted before or not. So a row of the result has
 * the same bits whatever other rows are there. */
#ifndef B2_CPU_DOT_H
#define B2_CPU_DOT_H
#include "cpu/isa/unpack.h"
#include "cpu/isa/vec.h"

/* Tile: DOT_ROWS weight rows against DOT_X rows of x. Each step converts one vector of each weight
 * row and uses it DOT_X times. */
enum { DOT_ROWS = 4, DOT_X = W == 16 ? 6 : 3 };
/* Elements of a row of x that stay in L1, with those of its tile, while a block goes by. */
enum { PART = 768 };

/* Numbers of rows that are no whole tile. */
#if W == 16
#define LAST_ONES(DO) DO(1) DO(2) DO(3) DO(4) DO(5)
#else
#define LAST_ONES(DO) DO(1) DO(2)
#endif

INLINE void dot_tile(const b2_type type, const int rows, const int n, float *y, int64_t ldy,
                     const float *x, int64_t ldx, const void *const *w, int64_t k) {
    const int64_t size = type == B2_F32 ? 4 : 2;
    vf sum[DOT_ROWS][DOT_X], other[DOT_X], value;
    int64_t i = 0;

    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int c = 0; c < n; c++)
            sum[r][c] = splat(0.0f);
    }
    for (; i + W <= k; i += W) {
        prefetch(w[0], rows, k * size, W * size, i / W);
        UNROLL
        for (int c = 0; c < n; c++)
            other[c] = load(x + c * ldx + i);
        UNROLL
        for (int r = 0; r < rows; r++) {
            value = load_as(type, w[r], i);
            UNROLL
            for (int c = 0; c < n; c++)
                sum[r][c] += value * other[c];
        }
    }
    if (i < k) {
        UNROLL
        for (int r = 0; r < rows; r++) {
            value = load_part_as(type, w[r], i, k - i);
            UNROLL
            for (int c = 0; c < n; c++)
                sum[r][c] += value * load_part(x + c * ldx + i, k - i);
        }
    }
    UNROLL
    for (int c = 0; c < n; c++) {
        if (rows == DOT_ROWS) {
            vf_quarter all = sums_of(sum[0][c], sum[1][c], sum[2][c], sum[3][c]);

            memcpy(y + c * ldy, &all, sizeof all);
        } else {
            UNROLL
            for (int r = 0; r < rows; r++)
                y[c * ldy + r] = sum_of(sum[r][c]);
        }
    }
}

INLINE void dot_rows(const b2_type type, const int rows, float *y, int64_t ldy, const float *x,
                     int64_t ldx, const void *const *w, int64_t n, int64_t k) {
    int64_t c = 0;

    for (; c + DOT_X <= n; c += DOT_X)
        dot_tile(type, rows, DOT_X, y + c * ldy, ldy, x + c * ldx, ldx, w, k);
    y += c * ldy;
    x += c * ldx;
    switch (n - c) {
#define DOT_LAST(count)                                                                            \
    case count:                                                                                    \
        dot_tile(type, rows, count, y, ldy, x, ldx, w, k);                                         \
        break;
        LAST_ONES(DOT_LAST)
#undef DOT_LAST
    default:
        break;
    }
}

INLINE void dot_typed(const b2_type type, float *y, int64_t ldy, const float *x, int64_t ldx,
                      const void *const *rows, int64_t n, int64_t count, int64_t k) {
    int64_t r = 0;

    for (; r + DOT_ROWS <= count; r += DOT_ROWS)
        dot_rows(type, DOT_ROWS, y + r, ldy, x, ldx, rows + r, n, k);
    for (; r < count; r++)
        dot_rows(type, 1, y + r, ldy, x, ldx, rows + r, n, k);
}

static void dot(float *y, int64_t ldy, const float *x, int64_t ldx, const void *const *rows,
                b2_type type, int64_t n, int64_t count, int64_t k) {
    if (type == B2_F16)
        dot_typed(B2_F16, y, ldy, x, ldx, rows, n, count, k);
    else if (type == B2_BF16)
        dot_typed(B2_BF16, y, ldy, x, ldx, rows, n, count, k);
    else
        dot_typed(B2_F32, y, ldy, x, ldx, rows, n, count, k);
}

/* ---- few rows of weights of values ----------------------------------------------------------- */

/* Up to four vectors of y. A row's chain goes through the rows of w in order, as in gemm_add. */
INLINE void add_tile(const b2_type type, const int vectors, float *y, const float *x,
                     const void *const *w, int64_t c, int64_t left, int64_t k) {
    vf sum[4];

    UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = load(y + c + v * W);
    for (int64_t i = 0; i < k; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] += x[i] * (left < W ? load_part_as(type, w[i], c, left)
                                       : load_as(type, w[i], c + v * W));
    }
    UNROLL
    for (int v = 0; v < vectors; v++)
        store(y + c + v * W, sum[v]);
}

INLINE void add_typed(const b2_type type, float *y, const float *x, const void *const *w, int64_t m,
                      int64_t k) {
    int64_t c = 0;

    for (; c + 4 * W <= m; c += 4 * W)
        add_tile(type, 4, y, x, w, c, W, k);
    for (; c + W <= m; c += W)
        add_tile(type, 1, y, x, w, c, W, k);
    if (c < m)
        add_tile(type, 1, y, x, w, c, m - c, k);
}

static void add_rows(float *y, int64_t ldy, const float *x, int64_t ldx, const void *const *rows,
                     b2_type type, int64_t n, int64_t m, int64_t k) {
    for (int64_t i = 0; i < n; i++, y += ldy, x += ldx) {
        if (type == B2_F16)
            add_typed(B2_F16, y, x, rows, m, k);
        else if (type == B2_BF16)
            add_typed(B2_BF16, y, x, rows, m, k);
        else
            add_typed(B2_F32, y, x, rows, m, k);
    }
}

/* ---- many rows of x: blocks of weight rows, converted once ---------------------------------- */

INLINE int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

/* A block is cut along its depth into parts of about one length, at most PART. */
INLINE int64_t part_depth(int64_t depth) {
    int64_t parts = (depth + PART - 1) / PART;

    return round_up((depth + parts - 1) / parts, W);
}

/* A part: weight rows in groups of DOT_ROWS, whose vectors take turns [depth / W, DOT_ROWS, W], so
 * that a tile reads it from front to back. Zeros for rows that are missing to a whole group, and
 * behind k. */
INLINE void pack_part(const b2_type type, float *part, const void *const *rows, int64_t count,
                      int64_t k0, int64_t depth) {
    const int64_t size = type == B2_F32 ? 4 : 2, padded = round_up(depth, W);

    for (int64_t r = 0; r < round_up(count, DOT_ROWS); r++) {
        float *to = part + r / DOT_ROWS * DOT_ROWS * padded + r % DOT_ROWS * W;

        for (int64_t i = 0; i < depth; i += W, to += DOT_ROWS * W) {
            if (r >= count) {
                store(to, splat(0.0f));
                continue;
            }
            if (r + 2 < count)
                __builtin_prefetch((const char *)rows[r + 2] + (k0 + i) * size, 0, 2);
            store(to, i + W <= depth ? load_as(type, rows[r], k0 + i)
                                     : load_part_as(type, rows[r], k0 + i, depth - i));
        }
    }
}

/* Its parts one after the other. */
static void pack_block(float *block, const void *const *rows, b2_type type, int64_t count,
                       int64_t k0, int64_t depth) {
    const int64_t step = part_depth(depth), end = k0 + depth;

    for (; k0 < end; k0 += step, block += round_up(count, DOT_ROWS) * step) {
        int64_t part = end - k0 < step ? end - k0 : step;

        if (type == B2_F16)
            pack_part(B2_F16, block, rows, count, k0, part);
        else if (type == B2_BF16)
            pack_part(B2_BF16, block, rows, count, k0, part);
        else
            pack_part(B2_F32, block, rows, count, k0, part);
    }
}

/* y [n, DOT_ROWS] of one group; chains [n, DOT_ROWS, W]: where its sums stand between parts. */
INLINE void block_tile(const int n, float *y, int64_t ldy, const float *x, int64_t ldx,
                       const float *group, float *chains, int64_t depth, bool begin, bool end) {
    vf sum[DOT_X][DOT_ROWS];
    int64_t i = 0;

    UNROLL
    for (int c = 0; c < n; c++) {
        UNROLL
        for (int r = 0; r < DOT_ROWS; r++)
            sum[c][r] = begin ? splat(0.0f) : load(chains + (c * DOT_ROWS + r) * W);
    }
    for (; i + W <= depth; i += W, group += DOT_ROWS * W) {
        vf other[DOT_X];

        UNROLL
        for (int c = 0; c < n; c++)
            other[c] = load(x + c * ldx + i);
        UNROLL
        for (int r = 0; r < DOT_ROWS; r++) {
            vf value = load(group + r * W);

            UNROLL
            for (int c = 0; c < n; c++)
                sum[c][r] += value * other[c];
        }
    }
    UNROLL
    for (int c = 0; c < n; c++) {
        vf last = i < depth ? load_part(x + c * ldx + i, depth - i) : splat(0.0f);

        UNROLL
        for (int r = 0; r < DOT_ROWS; r++) {
            if (i < depth)
                sum[c][r] += load(group + r * W) * last;
            if (!end)
                store(chains + (c * DOT_ROWS + r) * W, sum[c][r]);
        }
        if (end) {
            vf_quarter all = sums_of(sum[c][0], sum[c][1], sum[c][2], sum[c][3]);

            memcpy(y + c * ldy, &all, sizeof all);
        }
    }
}

/* DOT_X or fewer rows of x with a block. While the groups of a part go by, the next part of x (or
 * the first of the next rows) is fetched into L2, a piece with each group. */
INLINE void block_rows(const int n, float *y, int64_t ldy, const float *x, int64_t ldx,
                       const float *block, float *chains, int64_t count, int64_t depth, bool begin,
                       bool end) {
    const int64_t step = part_depth(depth);
    const int64_t ahead = round_up(step / (round_up(count, DOT_ROWS) / DOT_ROWS), 16);

    for (int64_t i = 0; i < depth; i += step) {
        int64_t part = depth - i < step ? depth - i : step;
        const float *next = x + (i + part < depth ? i + part : DOT_X * ldx);

        for (int64_t r = 0; r < count; r += DOT_ROWS, next += ahead) {
            UNROLL
            for (int c = 0; c < n; c++)
                for (int64_t j = 0; j < ahead; j += 16)
                    __builtin_prefetch(next + c * ldx + j, 0, 2);
            block_tile(n, y + r, ldy, x + i, ldx, block, chains + r * DOT_X * W, part,
                       begin && i == 0, end && i + part == depth);
            block += DOT_ROWS * round_up(part, W);
        }
    }
}

static void dot_block(float *y, int64_t ldy, const float *x, int64_t ldx, const float *block,
                      float *chains, int64_t n, int64_t count, int64_t depth, bool first,
                      bool last) {
    /* A block of all k leaves no sums behind. */
    const int64_t step = first && last ? 0 : DOT_X * B2_PANEL * W;
    int64_t i = 0;

    for (; i + DOT_X <= n; i += DOT_X, chains += step)
        block_rows(DOT_X, y + i * ldy, ldy, x + i * ldx, ldx, block, chains, count, depth, first,
                   last);
    switch (n - i) {
#define BLOCK_LAST(rows)                                                                           \
    case rows:                                                                                     \
        block_rows(rows, y + i * ldy, ldy, x + i * ldx, ldx, block, chains, count, depth, first,   \
                   last);                                                                          \
        break;
        LAST_ONES(BLOCK_LAST)
#undef BLOCK_LAST
    default:
        break;
    }
}

#endif
