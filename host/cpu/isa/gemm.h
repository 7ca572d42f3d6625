/* Products: of rows with a panel (many rows, or weights already laid out as panels), and of few
 * rows with weight rows as they are stored. */
#ifndef B2_CPU_GEMM_H
#define B2_CPU_GEMM_H
#include "cpu/isa/vec.h"

/* Tile of the panel kernel: TILE_ROWS x TILE_VECTORS accumulators, a panel row of TILE_VECTORS and
 * one broadcast stay in registers (32 of AVX-512, 16 otherwise). */
enum {
    TILE_ROWS = 6,
    TILE_VECTORS = W == 16 ? 4 : 2,
    STRIP = TILE_VECTORS * W, /* columns of a strip of a panel */
    /* Depth of a pass over a strip, which stays in cache while the rows of x go by. */
    DEPTH = W == 16 ? 512 : 256,
    /* Panel rows that are fetched into L2 ahead of use, for the first rows of x that meet a strip.
     * Weights [7680, 2560], GFLOP/s without and with: AVX2 6 rows 29, 45; 36 rows 75, 92; ViT 96,
     * 104. AVX-512 8 rows 66, 74; 24 rows 92, 98; ViT the same. */
    AHEAD = 64,
};

INLINE void prefetch_row(const float *row, const int vectors) {
    UNROLL
    for (int f = 0; f < vectors * W; f += 16)
        __builtin_prefetch(row + f, 0, 2);
}

INLINE void tile(const int rows, const int vectors, float *y, int64_t ldy, const float *x,
                 int64_t ldx, const float *w, int64_t ldw, int64_t k, bool add) {
    vf sum[TILE_ROWS][TILE_VECTORS];

    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[r][v] = add ? load(y + r * ldy + v * W) : splat(0.0f);
    }
    for (int64_t i = 0; i < k; i++) {
        vf panel[TILE_VECTORS];

        prefetch_row(w + (i + AHEAD) * ldw, vectors);

        UNROLL
        for (int v = 0; v < vectors; v++)
            panel[v] = load(w + i * ldw + v * W);
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int v = 0; v < vectors; v++)
                sum[r][v] += x[r * ldx + i] * panel[v];
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            store(y + r * ldy + v * W, sum[r][v]);
    }
}

/* A strip of `vectors` vectors, all n rows. */
INLINE void strip(const int vectors, float *y, int64_t ldy, const float *x, int64_t ldx,
                  const float *w, int64_t ldw, int64_t n, int64_t k, bool add) {
    int64_t i = 0;

    for (; i + TILE_ROWS <= n; i += TILE_ROWS)
        tile(TILE_ROWS, vectors, y + i * ldy, ldy, x + i * ldx, ldx, w, ldw, k, add);
    y += i * ldy;
    x += i * ldx;
    switch (n - i) {
#define LAST_ROWS(rows)                                                                            \
    case rows:                                                                                     \
        tile(rows, vectors, y, ldy, x, ldx, w, ldw, k, add);                                       \
        break;
        LAST_ROWS(1)
        LAST_ROWS(2)
        LAST_ROWS(3)
        LAST_ROWS(4)
        LAST_ROWS(5)
#undef LAST_ROWS
    default:
        break;
    }
}

/* The same for a number of vectors known late. */
INLINE void any_strip(int64_t vectors, float *y, int64_t ldy, const float *x, int64_t ldx,
                      const float *w, int64_t ldw, int64_t n, int64_t k, bool add) {
    switch (vectors) {
#define VECTORS(count)                                                                             \
    case count:                                                                                    \
        strip(count, y, ldy, x, ldx, w, ldw, n, k, add);                                           \
        break;
        VECTORS(1)
        VECTORS(2)
#if W == 16
        VECTORS(3)
        VECTORS(4)
#endif
#undef VECTORS
    default:
        break;
    }
}

static void gemm_panel(float *y, int64_t ldy, const float *x, int64_t ldx, const float *panel,
                       int64_t n, int64_t m, int64_t k) {
    /* Few rows are one pass whatever the depth: the panel is then read once, straight through. */
    int64_t step = n <= TILE_ROWS ? k : DEPTH;

    for (int64_t k0 = 0; k0 < k; k0 += step) {
        int64_t depth = k - k0 < step ? k - k0 : step;

        for (int64_t c = 0; c < m; c += STRIP)
            any_strip(m - c < STRIP ? (m - c) / W : TILE_VECTORS, y + c, ldy, x + k0, ldx,
                      panel + c * k + k0 * STRIP, STRIP, n, depth, k0 > 0);
    }
}

/* Vectors that do not fill a whole tile are shared out evenly: the six of a head size of 88 as
 * 3 + 3, not as 4 + 2. */
static void gemm_add(float *y, int64_t ldy, const float *x, int64_t ldx, const float *w,
                     int64_t ldw, int64_t n, int64_t m, int64_t k) {
    for (int64_t c = 0, vectors; c < m; c += vectors * W) {
        vectors = (m - c) / W;
        if (vectors >= 2 * TILE_VECTORS)
            vectors = TILE_VECTORS;
        else if (vectors > TILE_VECTORS)
            vectors = (vectors + 1) / 2;
        any_strip(vectors, y + c, ldy, x, ldx, w + c, ldw, n, k, true);
    }
}

/* Tile of the row kernel: DOT_ROWS weight rows against DOT_X rows of x. Each step converts one
 * vector of each weight row and uses it DOT_X times. */
enum { DOT_ROWS = 4, DOT_X = W == 16 ? 6 : 2 };

INLINE void dot_tile(const b2_type type, const int rows, const int n, float *y, int64_t ldy,
                     const float *x, int64_t ldx, const void *const *w, int64_t k) {
    const int64_t size = type == B2_F32 ? 4 : 2;
    vf sum[DOT_ROWS][DOT_X], value[DOT_ROWS];
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
        for (int r = 0; r < rows; r++)
            value[r] = load_as(type, w[r], i);
        UNROLL
        for (int c = 0; c < n; c++) {
            vf other = load(x + c * ldx + i);

            UNROLL
            for (int r = 0; r < rows; r++)
                sum[r][c] += value[r] * other;
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        vf last = i < k ? load_part_as(type, w[r], i, k - i) : splat(0.0f);

        UNROLL
        for (int c = 0; c < n; c++) {
            if (i < k)
                sum[r][c] += last * load_part(x + c * ldx + i, k - i);
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
#define LAST_X(count)                                                                              \
    case count:                                                                                    \
        dot_tile(type, rows, count, y, ldy, x, ldx, w, k);                                         \
        break;
        LAST_X(1)
#if W == 16
        LAST_X(2)
        LAST_X(3)
        LAST_X(4)
        LAST_X(5)
#endif
#undef LAST_X
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

#endif
