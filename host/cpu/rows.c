/* Operations that move rows: embedding look-up, row copies, keys and values into pages, pages onto
 * pages. They are a few megabytes at most beside the gigabytes of a GEMM, and run on the calling
 * thread; but for the look-up that reads the pictures of a whole index (host/index). */
#include <string.h>

#include "cpu/cpu.h"

/* Elements below which waking the other threads costs more than it saves. */
enum { PARALLEL_ELEMENTS = 1 << 16 };

/* One row of the table into y [cols], or added to it. */
static void embed_row(const b2_cpu *cpu, const b2_embed *op, int64_t id, float *y) {
    const b2_weight *table = op->table;
    float part[256];
    const void *row;

    b2_cpu_weight_rows(&row, table, id, 1);
    if (!op->accumulate && table->cols % B2_VECTOR_MAX == 0) {
        cpu->kernels->unpack_rows(y, table->cols, &row, table->type, 1, table->cols);
        return;
    }
    for (int64_t j = 0; j < table->cols; j += 256) {
        size_t n = (size_t)(table->cols - j < 256 ? table->cols - j : 256);

        b2_to_f32(part, (const char *)row + (size_t)j * b2_type_size(table->type), table->type, n);
        for (size_t c = 0; c < n; c++)
            y[j + (int64_t)c] = op->accumulate ? y[j + (int64_t)c] + part[c] : part[c];
    }
}

blip2_status b2_cpu_embed(b2_device *device, const b2_embed *op) {
    const b2_cpu *cpu = b2_cpu_of(device);
    const b2_weight *table = op->table;
    bool parallel;

    if (table == NULL || (table->uses & B2_USE_ROWS) == 0 || table->cols != op->y.cols)
        return b2_cpu_refuse("embed", "the table was not made for it or differs in width");
    if (op->count > 0 && (!b2_cpu_is(op->y, op->y.rows, table->cols) || op->ids == NULL))
        return b2_cpu_refuse("embed", "no ids or y");
    for (uint32_t i = 0; i < op->count; i++) {
        int64_t row = op->rows != NULL ? op->rows[i] : (int64_t)i;

        if (op->ids[i] < 0 || op->ids[i] >= table->rows || row < 0 || row >= op->y.rows)
            return b2_cpu_refuse("embed", "an id or row is outside its matrix");
    }
    /* Rows that are named may be named twice. */
    parallel = op->rows == NULL && (int64_t)op->count * table->cols >= PARALLEL_ELEMENTS;
#pragma omp parallel for num_threads(cpu->threads) if (parallel)
    for (uint32_t i = 0; i < op->count; i++)
        embed_row(cpu, op, op->ids[i],
                  b2_cpu_row(op->y, op->rows != NULL ? op->rows[i] : (int64_t)i));
    return BLIP2_OK;
}

blip2_status b2_cpu_copy_rows(b2_device *device, const b2_copy_rows *op) {
    (void)device;
    if (op->count == 0)
        return BLIP2_OK;
    if (!b2_cpu_is(op->x, op->x.rows, op->y.cols) || !b2_cpu_is(op->y, op->y.rows, op->x.cols))
        return b2_cpu_refuse("copy_rows", "x and y differ in width or type");
    for (uint32_t i = 0; i < op->count; i++) {
        int64_t from = op->x_rows != NULL ? op->x_rows[i] : (int64_t)i;
        int64_t to = op->y_rows != NULL ? op->y_rows[i] : (int64_t)i;

        if (from < 0 || from >= op->x.rows || to < 0 || to >= op->y.rows)
            return b2_cpu_refuse("copy_rows", "a row is outside its matrix");
        memmove(b2_cpu_row(op->y, to), b2_cpu_row(op->x, from), (size_t)op->x.cols * sizeof(float));
    }
    return BLIP2_OK;
}

static void write_row(const b2_kv_view *kv, uint32_t which, int32_t place, const float *row) {
    const b2_kv_layout *layout = &kv->layout;
    uint32_t slot = (uint32_t)place % layout->page_tokens;
    char *page =
        (char *)kv->pages + (size_t)((uint32_t)place / layout->page_tokens) * layout->page_bytes;

    for (uint32_t h = 0; h < layout->heads; h++)
        b2_from_f32(page + b2_kv_offset(layout, kv->layer, which, h, slot) *
                               b2_type_size(layout->type),
                    layout->type, row + (size_t)h * layout->head_size, layout->head_size);
}

blip2_status b2_cpu_kv_write(b2_device *device, const b2_kv_write *op) {
    const b2_kv_layout *layout = &op->kv.layout;
    int64_t cols = (int64_t)layout->heads * layout->head_size;

    (void)device;
    if (op->k.rows == 0)
        return BLIP2_OK;
    if (!b2_cpu_is(op->k, op->k.rows, cols) || !b2_cpu_is(op->v, op->k.rows, cols) ||
        op->kv.pages == NULL || op->slots == NULL || layout->page_tokens == 0 ||
        op->kv.layer >= layout->layers)
        return b2_cpu_refuse("kv_write", "k or v do not fit the pages");
    for (int64_t i = 0; i < op->k.rows; i++) {
        if (op->slots[i] < 0)
            return b2_cpu_refuse("kv_write", "a negative slot");
        write_row(&op->kv, 0, op->slots[i], b2_cpu_row(op->k, i));
        write_row(&op->kv, 1, op->slots[i], b2_cpu_row(op->v, i));
    }
    return BLIP2_OK;
}

static void copy_page(const b2_kv_copy_pages *op, uint32_t i) {
    char *to = (char *)op->pages + (size_t)op->to[i] * op->page_bytes;
    const char *from = (const char *)op->pages + (size_t)op->from[i] * op->page_bytes;

    if (op->rows == NULL) {
        memcpy(to, from, op->page_bytes);
        return;
    }
    for (size_t run = 0; run < op->page_bytes; run += op->run_bytes)
        memcpy(to + run, from + run, (size_t)op->rows[i] * op->slot_bytes);
}

blip2_status b2_cpu_kv_copy_pages(b2_device *device, const b2_kv_copy_pages *op) {
    (void)device;
    if (op->count == 0)
        return BLIP2_OK;
    if (op->pages == NULL || op->from == NULL || op->to == NULL || op->page_bytes % 16 != 0)
        return b2_cpu_refuse("kv_copy_pages", "no pages, or not of a multiple of 16 bytes");
    if (op->rows != NULL && (op->run_bytes == 0 || op->page_bytes % op->run_bytes != 0))
        return b2_cpu_refuse("kv_copy_pages", "a page is not of whole runs");
    for (uint32_t i = 0; i < op->count; i++) {
        if (op->from[i] < 0 || op->to[i] < 0)
            return b2_cpu_refuse("kv_copy_pages", "a negative page");
        if (op->rows != NULL &&
            (op->rows[i] < 0 || (size_t)op->rows[i] * op->slot_bytes > op->run_bytes))
            return b2_cpu_refuse("kv_copy_pages", "more rows than slots");
        copy_page(op, i);
    }
    return BLIP2_OK;
}
