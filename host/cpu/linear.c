/* y = residual + act(x W' + bias), in pieces of TILE_HEIGHT rows by one panel of B2_PANEL columns:
 * a piece of the product is made in a tile that stays in cache and goes through bias, activation
 * and residual there. */
#include "cpu/cpu.h"

enum {
    TILE_HEIGHT = 128,
    CHUNKS = 4, /* runs of pieces for each thread, dealt as threads get free */
    /* Products (multiply-adds) below which waking the other threads costs more than it saves. */
    PARALLEL_PRODUCTS = 1 << 19,
};

/* Are weights kept as rows best multiplied as they are stored? Unpacking a panel first costs as
 * much for few rows of x as for many; `dot` ends every row with a sum across a vector, which weighs
 * more the shorter the row is. GFLOP/s of both on one core with F16 weights: rows          8     16
 * 32     64    128 AVX-512 k = 2560   73/46  87/65  95/80 102/96 103/101 k =  352   76/63  85/83
 * 86/94  87/105 86/107 AVX2 k = 2560   71/38  83/61  89/76  87/92  76/99    (BF16 at most 74 with
 * `dot`) */
static bool few(const b2_cpu_kernels *kernels, int64_t rows, int64_t k) {
    return rows <= kernels->few_rows && rows <= k / 16;
}

/* An unpacked panel, then a tile. */
size_t b2_cpu_linear_scratch(int64_t cols) {
    return (size_t)B2_PANEL * (size_t)cols + (size_t)B2_PANEL * TILE_HEIGHT;
}

/* What the pieces of one call have in common. */
typedef struct linear_job {
    const b2_linear *op;
    const b2_cpu_kernels *kernels;
    int64_t height, tiles; /* rows of a tile, tiles one below the other */
} linear_job;

static void finish_tile(const linear_job *job, const float *tile, int64_t n0, int64_t n, int64_t m0,
                        int64_t m) {
    const b2_linear *op = job->op;
    b2_epilogue epilogue = {.bias = op->bias != NULL ? op->bias + m0 : NULL, .act = op->act};

    if (op->residual.data != NULL) {
        epilogue.residual = b2_cpu_row(op->residual, n0) + m0;
        epilogue.residual_stride = op->residual.stride;
    }
    job->kernels->finish(b2_cpu_row(op->y, n0) + m0, op->y.stride, tile, B2_PANEL, n, m, &epilogue);
}

/* Pieces first .. last-1, counted down the tiles of a panel and then on to the next panel, so that
 * a thread unpacks a panel once for all the tiles below each other that fall to it. */
static void run_pieces(const linear_job *job, float *scratch, int64_t first, int64_t last) {
    const b2_linear *op = job->op;
    const b2_weight *w = op->w;
    int64_t k = w->cols, unpacked = -1;
    bool as_stored = w->panels == NULL && few(job->kernels, op->x.rows, k);
    float *tile = scratch + B2_PANEL * k;
    const void *rows[B2_PANEL];

    for (int64_t piece = first; piece < last; piece++) {
        int64_t p = piece / job->tiles, n0 = piece % job->tiles * job->height, m0 = p * B2_PANEL;
        int64_t n = op->x.rows - n0 < job->height ? op->x.rows - n0 : job->height;
        int64_t m = w->rows - m0 < B2_PANEL ? w->rows - m0 : B2_PANEL;
        const float *panel = w->panels != NULL ? w->panels + m0 * k : scratch;

        if (w->panels == NULL && p != unpacked) {
            b2_cpu_weight_rows(rows, w, m0, m);
            if (!as_stored)
                job->kernels->unpack_panel(scratch, rows, w->type, m, k);
            unpacked = p;
        }
        if (as_stored)
            job->kernels->dot(tile, B2_PANEL, b2_cpu_row(op->x, n0), op->x.stride, rows, w->type, n,
                              m, k);
        else
            job->kernels->gemm_panel(tile, B2_PANEL, b2_cpu_row(op->x, n0), op->x.stride, panel, n,
                                     B2_PANEL, k);
        finish_tile(job, tile, n0, n, m0, m);
    }
}

blip2_status b2_cpu_linear(b2_device *device, const b2_linear *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    const b2_weight *w = op->w;
    linear_job job = {op, cpu->kernels, 0, 0};
    int64_t pieces, chunks;
    bool parallel;

    if (w == NULL || (w->uses & B2_USE_LINEAR) == 0)
        return b2_cpu_refuse("linear", "the weight was not made for it");
    if (!b2_cpu_is(op->x, op->x.rows, w->cols) || !b2_cpu_is(op->y, op->x.rows, w->rows) ||
        (op->residual.data != NULL && !b2_cpu_is(op->residual, op->x.rows, w->rows)) ||
        op->y.data == op->x.data)
        return b2_cpu_refuse("linear", "x, y or residual do not fit the weight");
    if (op->x.rows == 0)
        return BLIP2_OK;
    job.tiles = (op->x.rows + TILE_HEIGHT - 1) / TILE_HEIGHT;
    job.height = (op->x.rows + job.tiles - 1) / job.tiles;
    pieces = job.tiles * ((w->rows + B2_PANEL - 1) / B2_PANEL);
    parallel = op->x.rows * w->rows * w->cols >= PARALLEL_PRODUCTS;
    chunks = pieces < cpu->threads * CHUNKS ? pieces : cpu->threads * CHUNKS;
#pragma omp parallel for num_threads(cpu->threads) schedule(dynamic) if (parallel)
    for (int64_t c = 0; c < chunks; c++)
        run_pieces(&job, b2_cpu_scratch(cpu), pieces * c / chunks, pieces * (c + 1) / chunks);
    return BLIP2_OK;
}
