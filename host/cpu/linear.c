/* y = residual + act(x W' + bias), in pieces of TILE_HEIGHT rows by one panel of B2_PANEL columns:
 * a piece of the product is made in a tile that stays in cache and goes through bias, activation
 * and residual there. A gated piece makes two: the gate's and the one it is multiplied with. */
#include "cpu/cpu.h"

enum {
    TILE_STEP = 6, /* rows of the kernels' tiles */
    TILE_HEIGHT = 22 * TILE_STEP,
    CHUNKS = 4, /* runs of pieces for each thread, dealt as threads get free */
    /* Products (multiply-adds) below which waking the other threads costs more than it saves. */
    PARALLEL_PRODUCTS = 1 << 19,
};

/* A tile, one of twice the width for the up half of a gated product, and an unpacked panel or a
 * block with its chains. */
size_t b2_cpu_linear_scratch(int64_t cols) {
    size_t blocks = B2_DOT_DEPTH + (TILE_HEIGHT + 5) * B2_VECTOR_MAX;

    return B2_PANEL * (3 * (size_t)TILE_HEIGHT + ((size_t)cols > blocks ? (size_t)cols : blocks));
}

/* What the pieces of one call have in common. */
typedef struct linear_job {
    const b2_linear *op;
    const b2_cpu_kernels *kernels;
    int64_t m;             /* columns of y */
    int64_t height, tiles; /* rows of a tile, tiles one below the other */
} linear_job;

/* A thread's scratch, and its place in its run of pieces. */
typedef struct worker {
    float *tile;          /* [TILE_HEIGHT, B2_PANEL] */
    float *up;            /* [TILE_HEIGHT, 2 * B2_PANEL] */
    float *unpacked;      /* [k, B2_PANEL] a panel; or a block, chains behind it */
    int64_t unpacked_row; /* the weight row with which that begins, or -1 */
} worker;

/* One piece: rows n0 .. n0+n-1 and columns m0 .. m0+m-1 of y. */
typedef struct piece {
    int64_t n0, n, m0, m;
} piece;

/* Columns that gemm_panel makes for m: whole vectors. For a single text, or the two logits of a
 * match, a quarter of a panel. */
static int64_t whole_vectors(int64_t m) {
    return (m + B2_VECTOR_MAX - 1) / B2_VECTOR_MAX * B2_VECTOR_MAX;
}

/* multiply_rows block by block. A block of all k serves the tiles below too. */
static void multiply_blocks(const linear_job *job, worker *t, float *tile, int64_t stride,
                            const piece *p, int64_t first, const void *const *rows) {
    const b2_weight *w = job->op->w;
    const float *x = b2_cpu_row(job->op->x, p->n0);
    int64_t k = w->cols, blocks = (k + B2_DOT_DEPTH - 1) / B2_DOT_DEPTH;
    int64_t step = whole_vectors((k + blocks - 1) / blocks);

    for (int64_t k0 = 0; k0 < k; k0 += step) {
        int64_t depth = k - k0 < step ? k - k0 : step;

        if (first != t->unpacked_row || depth < k)
            job->kernels->pack_block(t->unpacked, rows, w->type, p->m, k0, depth);
        t->unpacked_row = first;
        job->kernels->dot_block(tile, stride, x + k0, job->op->x.stride, t->unpacked,
                                t->unpacked + B2_PANEL * B2_DOT_DEPTH, p->n, p->m, depth, k0 == 0,
                                k0 + depth == k);
    }
}

/* The piece's rows of x times weight rows first .. first+m-1, kept as rows, into tile. Each way of
 * a weight gives the same bits for any number of rows: either the one, or the two that follow. */
static void multiply_rows(const linear_job *job, worker *t, float *tile, int64_t stride,
                          const piece *p, int64_t first) {
    const b2_weight *w = job->op->w;
    const float *x = b2_cpu_row(job->op->x, p->n0);
    int64_t k = w->cols, ldx = job->op->x.stride;
    const void *rows[B2_PANEL];

    b2_cpu_weight_rows(rows, w, first, p->m);
    if ((w->uses & B2_USE_MANY) != 0) {
        if (first != t->unpacked_row)
            job->kernels->unpack_panel(t->unpacked, rows, w->type, p->m, k);
        t->unpacked_row = first;
        job->kernels->gemm_panel(tile, stride, x, ldx, t->unpacked, p->n, whole_vectors(p->m), k);
    } else if (job->op->x.rows <= job->kernels->few_rows)
        job->kernels->dot(tile, stride, x, ldx, rows, w->type, p->n, p->m, k);
    else
        multiply_blocks(job, t, tile, stride, p, first, rows);
}

/* The same for any kind of weight; the result is where in tile the products stand. Up halves may
 * begin inside a panel and reach into the next (where M is no multiple of B2_PANEL, as in no model
 * we know): then all of both is multiplied, and tile is two panels wide. */
static const float *multiply(const linear_job *job, worker *t, float *tile, int64_t stride,
                             const piece *p, int64_t first) {
    const b2_linear *op = job->op;
    int64_t k = op->w->cols, shift = first % B2_PANEL;

    if (op->w->panels == NULL) {
        multiply_rows(job, t, tile, stride, p, first);
        return tile;
    }
    for (int64_t c = 0; c < shift + p->m; c += B2_PANEL) {
        int64_t left = whole_vectors(shift + p->m - c);

        job->kernels->gemm_panel(tile + c, stride, b2_cpu_row(op->x, p->n0), op->x.stride,
                                 op->w->panels + (first - shift + c) * k, p->n,
                                 left < B2_PANEL ? left : B2_PANEL, k);
    }
    return tile + shift;
}

static void run_piece(const linear_job *job, worker *t, const piece *p) {
    const b2_linear *op = job->op;
    b2_epilogue epilogue = {.bias = op->bias != NULL ? op->bias + p->m0 : NULL, .act = op->act};
    const float *tile = multiply(job, t, t->tile, B2_PANEL, p, p->m0);

    if (op->gated) {
        epilogue.up_stride = 2 * B2_PANEL;
        epilogue.up = multiply(job, t, t->up, epilogue.up_stride, p, job->m + p->m0);
        epilogue.up_bias = op->bias != NULL ? op->bias + job->m + p->m0 : NULL;
    }
    if (op->residual.data != NULL) {
        epilogue.residual = b2_cpu_row(op->residual, p->n0) + p->m0;
        epilogue.residual_stride = op->residual.stride;
    }
    job->kernels->finish(b2_cpu_row(op->y, p->n0) + p->m0, op->y.stride, tile, B2_PANEL, p->n, p->m,
                         &epilogue);
}

/* Pieces first .. last-1, counted down the tiles of a panel and then on to the next panel, so that
 * weights are read from memory, and panels unpacked, once for all the tiles below each other that
 * fall to a thread. */
static void run_pieces(const linear_job *job, float *scratch, int64_t first, int64_t last) {
    int64_t rows = job->op->x.rows;
    worker t = {.tile = scratch, .up = scratch + B2_PANEL * TILE_HEIGHT, .unpacked_row = -1};

    t.unpacked = t.up + 2 * B2_PANEL * TILE_HEIGHT;
    for (int64_t i = first; i < last; i++) {
        piece p = {.n0 = i % job->tiles * job->height, .m0 = i / job->tiles * B2_PANEL};

        p.n = rows - p.n0 < job->height ? rows - p.n0 : job->height;
        p.m = job->m - p.m0 < B2_PANEL ? job->m - p.m0 : B2_PANEL;
        run_piece(job, &t, &p);
    }
}

blip2_status b2_cpu_linear(b2_device *device, const b2_linear *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    const b2_weight *w = op->w;
    linear_job job = {.op = op, .kernels = cpu->kernels, .m = op->y.cols};
    int64_t pieces, chunks;
    bool parallel;

    if (w == NULL || (w->uses & B2_USE_LINEAR) == 0)
        return b2_cpu_refuse("linear", "the weight was not made for it");
    if (!b2_cpu_is(op->x, op->x.rows, w->cols) || !b2_cpu_is(op->y, op->x.rows, job.m) ||
        w->rows != (op->gated ? 2 * job.m : job.m) ||
        (op->residual.data != NULL && !b2_cpu_is(op->residual, op->x.rows, job.m)) ||
        op->y.data == op->x.data)
        return b2_cpu_refuse("linear", "x, y or residual do not fit the weight");
    if (op->x.rows == 0)
        return BLIP2_OK;
    job.tiles = (op->x.rows + TILE_HEIGHT - 1) / TILE_HEIGHT;
    job.height = (op->x.rows + job.tiles - 1) / job.tiles;
    job.height = (job.height + TILE_STEP - 1) / TILE_STEP * TILE_STEP;
    pieces = job.tiles * ((job.m + B2_PANEL - 1) / B2_PANEL);
    parallel = op->x.rows * w->rows * w->cols >= PARALLEL_PRODUCTS;
    chunks = pieces < cpu->threads * CHUNKS ? pieces : cpu->threads * CHUNKS;
#pragma omp parallel for num_threads(cpu->threads) schedule(dynamic) if (parallel)
    for (int64_t c = 0; c < chunks; c++)
        run_pieces(&job, b2_cpu_scratch(cpu), pieces * c / chunks, pieces * (c + 1) / chunks);
    return BLIP2_OK;
}
