/* Products of rows with a panel: each is one chain of multiply-adds along k. So a row of the result
 * has the same bits whatever other rows are there. */
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

#endif
