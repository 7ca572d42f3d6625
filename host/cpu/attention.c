/* y = softmax(scale q k' under the rule) v with an online softmax, in pieces: one head of one
 * segment, QUERY_ROWS query rows. A piece walks over its keys in blocks of B2_PANEL: the block's
 * keys become a panel, whose product with the queries are the scores; they are weighted, and the
 * weights' product with the block's values is added to what the blocks before gave. Scores, panel,
 * values and sums of a piece stay in L2 (130 KiB for the ViT's heads of 88). Keys that no row of
 * the piece sees are never looked at.
 *
 * One core, AVX-512, GFLOP/s beside torch 2.15 in the same run: ViT-g (257 rows and keys, 16 heads
 * of 88) 75, torch 68; 32 queries on 257 keys (12 heads of 64) 56, torch 54; 36 rows (32 heads of
 * 80) 57, torch 40. Two thirds of the time are the two products, a sixth is the softmax. */
#include <math.h>
#include <string.h>

#include "cpu/cpu.h"

enum {
    MAX_HEAD_SIZE = 256,
    FEW_ROWS = 2, /* up to here values are multiplied as they are stored */
    /* Multiply-adds below which waking the other threads costs more than it saves. */
    PARALLEL_PRODUCTS = 1 << 18,
    QUERY_ROWS = 132, /* rows of a piece, a multiple of the GEMM kernel's six */
};

/* A thread's scratch. width: the head size rounded up to whole vectors. */
typedef struct work {
    float *keys;   /* [head_size, B2_PANEL] */
    float *values; /* [B2_PANEL, width] */
    float *scores; /* [QUERY_ROWS, B2_PANEL] */
    float *sums;   /* [QUERY_ROWS, width]: o of the online softmax */
    float *m, *d;  /* [QUERY_ROWS]: its largest score and sum of weights */
} work;

size_t b2_cpu_attention_scratch(void) {
    return (size_t)MAX_HEAD_SIZE * B2_PANEL * 2 + (size_t)QUERY_ROWS * B2_PANEL +
           (size_t)QUERY_ROWS * MAX_HEAD_SIZE + 2 * (size_t)QUERY_ROWS;
}

static int64_t whole_vectors(int64_t count) {
    return (count + B2_VECTOR_MAX - 1) / B2_VECTOR_MAX * B2_VECTOR_MAX;
}

static work carve(float *scratch) {
    work w = {.keys = scratch};

    w.values = w.keys + MAX_HEAD_SIZE * B2_PANEL;
    w.scores = w.values + MAX_HEAD_SIZE * B2_PANEL;
    w.sums = w.scores + QUERY_ROWS * B2_PANEL;
    w.m = w.sums + QUERY_ROWS * MAX_HEAD_SIZE;
    w.d = w.m + QUERY_ROWS;
    return w;
}

/* Keys first .. last-1 of a segment; none if last is not above first. */
typedef struct key_range {
    int64_t first, last;
} key_range;

/* The keys that row i of n rows sees among m, of which the first `queries` are learned queries. */
static key_range visible_keys(b2_mask_rule rule, int64_t i, int64_t n, int64_t m, int64_t queries) {
    int64_t own = m - n + i; /* the key of the row itself; negative: before all keys */

    queries = queries < m ? queries : m;
    switch (rule) {
    case B2_MASK_ALL:
        break;
    case B2_MASK_CAUSAL:
        return (key_range){0, own + 1};
    case B2_MASK_QFORMER_SPLIT:
        return own < queries ? (key_range){0, queries} : (key_range){queries, m};
    case B2_MASK_QFORMER_CAUSAL:
        return (key_range){0, own < queries ? queries : own + 1};
    }
    return (key_range){0, m};
}

/* One piece: rows first .. first+rows-1 of the n rows of segment s, head h. */
typedef struct piece {
    uint32_t s, h;
    int64_t n, first, rows;
} piece;

static key_range row_keys(const b2_attention *op, const piece *p, int64_t row) {
    return visible_keys(op->rule, p->first + row, p->n, op->k_count[p->s],
                        op->queries != NULL ? op->queries[p->s] : 0);
}

static uint32_t kv_heads(const b2_attention *op) {
    return op->kv_heads != 0 ? op->kv_heads : op->heads;
}

/* rows[i] = key (which 0) or value (1) first + i of the piece's segment and head. */
static void locate(const void **rows, const b2_attention *op, const piece *p, uint32_t which,
                   int64_t first, int64_t count) {
    const b2_kv_layout *layout = &op->kv.layout;
    b2_mat m = which == 0 ? op->k : op->v;
    uint32_t head = p->h / (op->heads / kv_heads(op));

    if (op->kv.pages == NULL) {
        m = b2_mat_cols(m, (int64_t)head * op->head_size, op->head_size);
        for (int64_t i = 0; i < count; i++)
            rows[i] = b2_mat_rows(m, op->k_first[p->s] + first + i, 1).data;
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        size_t j = (size_t)(first + i);
        int32_t page =
            op->kv.page_table[(size_t)p->s * op->kv.table_stride + j / layout->page_tokens];
        size_t offset =
            b2_kv_offset(layout, op->kv.layer, which, head, (uint32_t)(j % layout->page_tokens));

        rows[i] = (const char *)op->kv.pages + (size_t)page * layout->page_bytes +
                  offset * b2_type_size(layout->type);
    }
}

/* to[j] = from[j] + scale * to[j], or from[0] for all j */
static void add_run(float *to, const float *from, bool constant, float scale, int64_t count) {
    if (constant)
        for (int64_t j = 0; j < count; j++)
            to[j] = *from + scale * to[j];
    else
        for (int64_t j = 0; j < count; j++)
            to[j] = from[j] + scale * to[j];
}

/* Scores of row i of the piece with `count` keys from `first` on are scaled and get their bias,
 * which runs along with the keys between its two ends and stands still beyond them. */
static void add_bias(float *scores, const b2_attention *op, const piece *p, int64_t i,
                     int64_t first, int64_t count) {
    const float *bias = op->bias + (size_t)p->h * op->bias_span;
    int64_t span = op->bias_span, own = op->k_count[p->s] - p->n + p->first + i;
    int64_t zero = own - (int64_t)op->bias_zero - first; /* the key, from `first`, with bias[0] */
    int64_t low = zero < 0 ? 0 : zero < count ? zero : count;
    int64_t high = zero + span < low ? low : zero + span < count ? zero + span : count;

    add_run(scores, bias, true, op->scale, low);
    add_run(scores + low, bias + (high > low ? low - zero : 0), false, op->scale, high - low);
    add_run(scores + high, bias + span - 1, true, op->scale, count - high);
}

/* Keys first .. first+count-1 take part in the softmax of every row of the piece. */
static void see_block(const b2_cpu_kernels *kernels, const b2_attention *op, const piece *p,
                      const work *w, int64_t first, int64_t count) {
    int64_t width = whole_vectors(op->head_size), columns = whole_vectors(count);
    b2_type type = op->kv.pages != NULL ? op->kv.layout.type : op->k.type;
    const float *q = b2_cpu_row(op->q, op->q_start[p->s] + p->first) + p->h * op->head_size;
    const void *rows[B2_PANEL];

    locate(rows, op, p, 0, first, count);
    kernels->unpack_panel(w->keys, rows, type, count, op->head_size);
    kernels->gemm_panel(w->scores, B2_PANEL, q, op->q.stride, w->keys, p->rows, columns,
                        op->head_size);
    locate(rows, op, p, 1, first, count);
    if (p->rows > FEW_ROWS)
        kernels->unpack_rows(w->values, width, rows, type, count, op->head_size);
    for (int64_t i = 0; i < p->rows; i++) {
        key_range keys = row_keys(op, p, i);
        int64_t from = keys.first > first ? keys.first - first : 0;
        int64_t to = keys.last < first + count ? keys.last - first : count;
        b2_key_span span = {(int32_t)from, (int32_t)(to > from ? to : from)};
        float *scores = w->scores + i * B2_PANEL, scale = op->scale, factor;

        if (op->bias != NULL) {
            add_bias(scores, op, p, i, first, count);
            scale = 1.0f;
        }
        factor = kernels->softmax(scores, columns, span, scale, &w->m[i], &w->d[i]);
        if (factor != 1.0f)
            kernels->scale(w->sums + i * width, factor, width);
    }
    if (p->rows > FEW_ROWS)
        kernels->gemm_add(w->sums, width, w->scores, B2_PANEL, w->values, width, p->rows, width,
                          count);
    else
        kernels->add_rows(w->sums, width, w->scores, B2_PANEL, rows, type, p->rows, op->head_size,
                          count);
}

static void attend(const b2_cpu_kernels *kernels, const b2_attention *op, const piece *p,
                   const work *w) {
    int64_t width = whole_vectors(op->head_size);
    key_range keys = {INT64_MAX, 0}; /* seen by any row */

    for (int64_t i = 0; i < p->rows; i++) {
        key_range row = row_keys(op, p, i);

        w->m[i] = -INFINITY;
        w->d[i] = 0.0f;
        if (row.first < row.last) {
            keys.first = row.first < keys.first ? row.first : keys.first;
            keys.last = row.last > keys.last ? row.last : keys.last;
        }
    }
    memset(w->sums, 0, (size_t)(p->rows * width) * sizeof *w->sums);
    for (int64_t j = keys.first / B2_PANEL * B2_PANEL; j < keys.last; j += B2_PANEL)
        see_block(kernels, op, p, w, j, keys.last - j < B2_PANEL ? keys.last - j : B2_PANEL);
    for (int64_t i = 0; i < p->rows; i++) {
        float *y = b2_cpu_row(op->y, op->q_start[p->s] + p->first + i) + p->h * op->head_size;
        float divisor = w->d[i] > 0.0f ? 1.0f / w->d[i] : 0.0f;

        for (uint32_t c = 0; c < op->head_size; c++)
            y[c] = w->sums[i * width + c] * divisor;
    }
}

static blip2_status check(const b2_attention *op) {
    int64_t cols = (int64_t)op->heads * op->head_size, kv_cols;
    const b2_kv_layout *layout = &op->kv.layout;

    if (op->head_size == 0 || op->head_size > MAX_HEAD_SIZE)
        return b2_cpu_refuse("attention", "the head size is not between 1 and 256");
    if (!b2_cpu_is(op->q, op->q.rows, cols) || !b2_cpu_is(op->y, op->q.rows, cols))
        return b2_cpu_refuse("attention", "q or y do not fit the heads");
    if (op->heads == 0 || op->heads % kv_heads(op) != 0)
        return b2_cpu_refuse("attention", "heads of k and v do not divide those of q");
    kv_cols = (int64_t)kv_heads(op) * op->head_size;
    if (op->kv.pages != NULL) {
        if (layout->heads != kv_heads(op) || layout->head_size != op->head_size ||
            layout->page_tokens == 0 || op->kv.layer >= layout->layers || op->kv.page_table == NULL)
            return b2_cpu_refuse("attention", "the pages do not fit the heads");
    } else if (op->max_k > 0 && (!b2_cpu_is(op->k, op->k.rows, kv_cols) ||
                                 !b2_cpu_is(op->v, op->k.rows, kv_cols) || op->k_first == NULL)) {
        return b2_cpu_refuse("attention", "k or v do not fit the heads");
    }
    if (op->queries == NULL &&
        (op->rule == B2_MASK_QFORMER_SPLIT || op->rule == B2_MASK_QFORMER_CAUSAL))
        return b2_cpu_refuse("attention", "a Q-Former rule without query counts");
    if (op->bias != NULL && (op->bias_span == 0 || op->bias_zero >= op->bias_span))
        return b2_cpu_refuse("attention", "distance 0 is outside the bias");
    if (op->slots != NULL && (op->kv.pages == NULL || op->k.rows != op->q.rows))
        return b2_cpu_refuse("attention", "new rows without pages, or not as many as queries");
    return BLIP2_OK;
}

/* Piece i of segments x heads x blocks; rows is 0 or less where a segment has fewer blocks. */
static piece piece_of(const b2_attention *op, int64_t i, int64_t blocks) {
    piece p = {.s = (uint32_t)(i / blocks / op->heads), .h = (uint32_t)(i / blocks % op->heads)};
    int64_t own_blocks, height;

    p.n = op->q_start[p.s + 1] - op->q_start[p.s];
    own_blocks = (p.n + QUERY_ROWS - 1) / QUERY_ROWS;
    height = own_blocks > 0 ? (p.n + own_blocks - 1) / own_blocks : 0;
    p.first = i % blocks * height;
    p.rows = p.n - p.first < height ? p.n - p.first : height;
    return p;
}

blip2_status b2_cpu_attention(b2_device *device, const b2_attention *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t blocks = ((int64_t)op->max_q + QUERY_ROWS - 1) / QUERY_ROWS;
    int64_t pieces = (int64_t)op->segments * op->heads * blocks;
    bool parallel = op->q.rows * op->max_k * op->q.cols >= PARALLEL_PRODUCTS;
    blip2_status status;

    if (op->segments == 0 || op->q.rows == 0)
        return BLIP2_OK;
    if ((status = check(op)) != BLIP2_OK)
        return status;
    if (op->slots != NULL &&
        (status = b2_cpu_kv_write(
             device, &(b2_kv_write){.k = op->k, .v = op->v, .kv = op->kv, .slots = op->slots})) < 0)
        return status;
#pragma omp parallel for num_threads(cpu->threads) schedule(dynamic) if (parallel)
    for (int64_t i = 0; i < pieces; i++) {
        piece p = piece_of(op, i, blocks);
        work w = carve(b2_cpu_scratch(cpu));

        if (p.rows > 0)
            attend(cpu->kernels, op, &p, &w);
    }
    return BLIP2_OK;
}
