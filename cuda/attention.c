/* Which attention kernel runs (kernels.h says what each asks for):
 *
 *   decode    paged keys and few query rows a segment: bound by reading keys and values, which many
 *             blocks share where segments and heads alone would not fill the GPU
 *   prefill   everything else in F16 and BF16: tensor cores
 *   plain     F32, and head sizes, types and alignments that the others refuse
 *
 * New rows (slots) are stored by the decode kernel itself; in front of the others by kv_write. */
#include "gpu.h"

enum {
    DECODE_HEAD = 128, /* largest head size of the decode and prefill kernels */
    BLOCKS_PER_SM = 2  /* that decoding wants in flight before splitting keys stops paying */
};

static bool is_paged(const b2_attention *op) {
    return op->kv.pages != NULL;
}

static uint32_t kv_heads(const b2_attention *op) {
    return op->kv_heads != 0 ? op->kv_heads : op->heads;
}

static b2_type kv_type(const b2_attention *op) {
    return is_paged(op) ? op->kv.layout.type : op->k.type;
}

static b2_kv_pool pool_of(const b2_kv_view *kv) {
    const b2_kv_layout *layout = &kv->layout;

    return (b2_kv_pool){.pages = kv->pages,
                        .page_stride = (int64_t)(layout->page_bytes / b2_type_size(layout->type)),
                        .layer = (int32_t)kv->layer,
                        .heads = (int32_t)layout->heads,
                        .page_tokens = (int32_t)layout->page_tokens,
                        .head_size = (int32_t)layout->head_size};
}

/* ---- storing ------------------------------------------------------------------------------ */

blip2_status b2_kv_write_queue(b2_cuda *cuda, const b2_kv_write *op) {
    const b2_kv_layout *layout = &op->kv.layout;
    int64_t cols = (int64_t)layout->heads * layout->head_size;
    b2_type type = op->k.type;

    if (op->k.rows == 0)
        return BLIP2_OK;
    if (!b2_cuda_knows(cuda, type) || !b2_cuda_is(op->k, type, op->k.rows, cols) ||
        !b2_cuda_is(op->v, type, op->k.rows, cols) || op->kv.pages == NULL || op->slots == NULL ||
        layout->type != type || layout->page_tokens == 0 || op->kv.layer >= layout->layers ||
        layout->page_bytes % b2_type_size(type) != 0)
        return b2_cuda_refuse(cuda, "k or v do not fit the pages");
    const b2_kv_write_args args = {.k = op->k.data,
                                   .v = op->v.data,
                                   .k_stride = op->k.stride,
                                   .v_stride = op->v.stride,
                                   .pool = pool_of(&op->kv),
                                   .slots = op->slots,
                                   .rows = (int32_t)op->k.rows};
    return b2_launch_rows(cuda, b2_kernel_of_type(b2_kv_write_f32_kernel, type), op->k.rows, &args);
}

blip2_status b2_cuda_kv_write(b2_device *device, const b2_kv_write *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "kv_write");

    return status < 0 ? status : b2_kv_write_queue(cuda, op);
}

blip2_status b2_cuda_kv_copy_pages(b2_device *device, const b2_kv_copy_pages *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "kv_copy_pages");

    if (status < 0 || op->count == 0)
        return status;
    if (op->pages == NULL || (uintptr_t)op->pages % 16 != 0 || op->from == NULL || op->to == NULL ||
        op->page_bytes % 16 != 0)
        return b2_cuda_refuse(cuda, "no pages, or not of a multiple of 16 bytes");
    if (op->rows != NULL &&
        (op->run_bytes == 0 || op->page_bytes % op->run_bytes != 0 || op->page_bytes > UINT32_MAX))
        return b2_cuda_refuse(cuda, "a page is not of whole runs, or of 4 GiB");
    const b2_kv_copy_args args = {.pages = op->pages,
                                  .page_bytes = (int64_t)op->page_bytes,
                                  .from = op->from,
                                  .to = op->to,
                                  .rows = op->rows,
                                  .slot_bytes = (uint32_t)op->slot_bytes,
                                  .run_bytes = op->rows != NULL ? (uint32_t)op->run_bytes : 16,
                                  .count = (int32_t)op->count};
    return b2_launch(
        cuda, b2_kv_copy_pages_kernel,
        (b2_grid){b2_ceil_div(args.page_bytes, B2_COPY_BYTES), op->count, 1, B2_ROW_THREADS},
        &args);
}

/* ---- choosing ----------------------------------------------------------------------------- */

static bool at_16_bytes(const b2_mat *m) {
    return m->data == NULL ||
           ((uintptr_t)m->data % 16 == 0 && (size_t)m->stride * b2_type_size(m->type) % 16 == 0);
}

/* What both the decode and the prefill kernels want. */
static bool is_regular(const b2_attention *op) {
    const b2_kv_layout *layout = &op->kv.layout;

    return op->head_size <= DECODE_HEAD && op->head_size * b2_type_size(op->q.type) % 16 == 0 &&
           kv_type(op) == op->q.type && at_16_bytes(&op->q) && at_16_bytes(&op->k) &&
           at_16_bytes(&op->v) && at_16_bytes(&op->y) &&
           (!is_paged(op) || (layout->page_tokens % B2_ATTENTION_GROUP == 0 &&
                              layout->page_bytes % 16 == 0 && (uintptr_t)op->kv.pages % 16 == 0));
}

/* A deterministic device decodes with the other kernels too: they take keys in the order of their
 * places, in tiles that begin at the same keys for every row, where the decode kernel's parts and
 * warps make sums of their own. */
static bool is_decode(const b2_cuda *cuda, const b2_attention *op) {
    return !cuda->deterministic && is_paged(op) && op->max_q <= B2_DECODE_ROWS && is_regular(op);
}

static b2_kernel prefill_kernel(b2_type type, uint32_t head_size) {
    b2_kernel first = type == B2_F16 ? b2_attention_f16_64_kernel : b2_attention_bf16_64_kernel;

    return first + (head_size <= 64 ? 0 : head_size <= 80 ? 1 : head_size <= 96 ? 2 : 3);
}

static b2_kernel decode_kernel(b2_type type, uint32_t head_size) {
    b2_kernel first =
        type == B2_F16 ? b2_attention_decode_f16_64_kernel : b2_attention_decode_bf16_64_kernel;

    if (type == B2_F32)
        return b2_attention_decode_f32_kernel;
    return first + (head_size <= 64 ? 0 : head_size <= 80 ? 1 : 2);
}

/* Parts into which the keys of a segment are cut: no more than are worth a block or fill the GPU.
 * What they leave in scratch is then at most B2_DECODE_ROWS rows of 132 floats for each block that
 * fills it, and as many again: less than 5 MB on an H100. */
static int32_t count_splits(const b2_cuda *cuda, const b2_attention *op) {
    int64_t pairs = (int64_t)op->segments * op->heads;
    int64_t useful = b2_ceil_div(op->max_k, B2_DECODE_PART);
    int64_t filling = b2_ceil_div((int64_t)BLOCKS_PER_SM * cuda->multiprocessors, pairs);
    int64_t splits = useful < filling ? useful : filling;

    return splits <= 1 || pairs > B2_COUNTERS ? 1 : (int32_t)splits;
}

/* ---- running ------------------------------------------------------------------------------ */

static b2_attention_args make_args(const b2_attention *op) {
    b2_attention_args args = {.q = op->q.data,
                              .y = op->y.data,
                              .q_stride = op->q.stride,
                              .y_stride = op->y.stride,
                              .q_start = op->q_start,
                              .k_count = op->k_count,
                              .queries = op->queries,
                              .bias = op->bias,
                              .bias_zero = (int32_t)op->bias_zero,
                              .bias_span = (int32_t)op->bias_span,
                              .heads = (int32_t)op->heads,
                              .head_size = (int32_t)op->head_size,
                              .kv_type = (int32_t)kv_type(op),
                              .rule = (int32_t)op->rule,
                              .scale = op->scale,
                              .splits = 1,
                              .group = (int32_t)(op->heads / kv_heads(op))};

    if (is_paged(op)) {
        args.pool = pool_of(&op->kv);
        args.page_table = op->kv.page_table;
        args.table_stride = (int32_t)op->kv.table_stride;
    }
    if (!is_paged(op) || op->slots != NULL) {
        args.k = op->k.data;
        args.v = op->v.data;
        args.k_stride = op->k.stride;
        args.v_stride = op->v.stride;
        args.k_first = op->k_first;
    }
    return args;
}

static blip2_status decode(b2_cuda *cuda, const b2_attention *op) {
    b2_attention_args args = make_args(op);

    args.slots = op->slots;
    args.splits = count_splits(cuda, op);
    args.partial = cuda->scratch;
    args.arrived = cuda->counters;
    return b2_launch(cuda, decode_kernel(op->q.type, op->head_size),
                     (b2_grid){args.splits, op->heads, op->segments, B2_ATTENTION_THREADS}, &args);
}

static blip2_status attend(b2_cuda *cuda, const b2_attention *op) {
    b2_attention_args args;
    bool plain = op->q.type == B2_F32 || !is_regular(op);
    int64_t rows = plain ? B2_ATTENTION_PLAIN_ROWS : B2_ATTENTION_ROWS;
    blip2_status status;

    if (op->slots != NULL &&
        (status = b2_kv_write_queue(
             cuda, &(b2_kv_write){.k = op->k, .v = op->v, .kv = op->kv, .slots = op->slots})) < 0)
        return status;
    args = make_args(op);
    return b2_launch(
        cuda,
        plain ? b2_kernel_of_type(b2_attention_f32_kernel, op->q.type)
              : prefill_kernel(op->q.type, op->head_size),
        (b2_grid){b2_ceil_div(op->max_q, rows), op->heads, op->segments, B2_ATTENTION_THREADS},
        &args);
}

static blip2_status check_keys(const b2_cuda *cuda, const b2_attention *op, int64_t cols) {
    const b2_kv_layout *layout = &op->kv.layout;

    if (!is_paged(op)) {
        if (op->max_k > 0 &&
            (op->k.data == NULL || op->v.data == NULL || op->k.cols != cols || op->v.cols != cols ||
             op->k.type != op->v.type || op->k_first == NULL))
            return b2_cuda_refuse(cuda, "k or v do not fit the heads");
    } else if (layout->heads != kv_heads(op) || layout->head_size != op->head_size ||
               layout->page_tokens == 0 || op->kv.layer >= layout->layers ||
               op->kv.page_table == NULL || layout->page_bytes % b2_type_size(layout->type) != 0) {
        return b2_cuda_refuse(cuda, "the pages do not fit the heads");
    }
    if (op->slots != NULL && (!is_paged(op) || op->k.rows != op->q.rows || op->k.cols != cols ||
                              op->v.rows != op->q.rows || op->v.cols != cols))
        return b2_cuda_refuse(cuda, "new rows without pages, or not as many as queries");
    return BLIP2_OK;
}

static blip2_status check(const b2_cuda *cuda, const b2_attention *op) {
    int64_t cols = (int64_t)op->heads * op->head_size;

    if (op->head_size == 0 || op->head_size > B2_ATTENTION_PLAIN_HEAD)
        return b2_cuda_refuse(cuda, "the head size is not between 1 and 256");
    if (!b2_cuda_knows(cuda, op->q.type) || !b2_cuda_is(op->q, op->q.type, op->q.rows, cols) ||
        !b2_cuda_is(op->y, op->q.type, op->q.rows, cols))
        return b2_cuda_refuse(cuda, "q or y do not fit the heads");
    if (op->queries == NULL &&
        (op->rule == B2_MASK_QFORMER_SPLIT || op->rule == B2_MASK_QFORMER_CAUSAL))
        return b2_cuda_refuse(cuda, "a Q-Former rule without query counts");
    if (op->bias != NULL &&
        (op->bias_span == 0 || op->bias_span > INT32_MAX || op->bias_zero >= op->bias_span))
        return b2_cuda_refuse(cuda, "distance 0 is outside the bias");
    if (op->heads == 0 || op->heads % kv_heads(op) != 0)
        return b2_cuda_refuse(cuda, "heads of keys and values do not divide those of queries");
    return check_keys(cuda, op, (int64_t)kv_heads(op) * op->head_size);
}

blip2_status b2_cuda_attention(b2_device *device, const b2_attention *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "attention");

    if (status < 0 || op->segments == 0 || op->q.rows == 0 || (status = check(cuda, op)) < 0)
        return status;
    return is_decode(cuda, op) ? decode(cuda, op) : attend(cuda, op);
}
