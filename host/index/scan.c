/* The index block by block: vectors looked up, multiplied with those of the queries, and the best
 * of each picture. A block stays in cache; the file goes through it once, whatever is asked. */
#include <math.h>

#include "base/alloc.h"
#include "base/size.h"
#include "index/scan.h"

void b2_scan_close(b2_scan *s) {
    b2_contrast_close(&s->contrast);
    b2_free(s->ids);
    b2_free(s->scores);
}

blip2_status b2_scan_open(b2_scan *s, size_t most) {
    const b2_index_file *file = &s->index->file;
    const size_t *first = s->queries->first;
    size_t columns = first[s->end] - first[s->begin],
           numbers = file->queries * (file->width + columns);

    s->block = b2_size_min(b2_size_max(B2_SCAN_NUMBERS / numbers, 1), most);
    s->ids = b2_alloc_array(s->block, file->queries * sizeof *s->ids);
    s->scores = b2_alloc_array(s->block, columns * sizeof *s->scores);
    if (s->ids == NULL || s->scores == NULL)
        return b2_fail_memory();
    return b2_contrast_open(&s->contrast, s->index->device,
                            s->queries->vectors + first[s->begin] * file->width, columns,
                            file->width, file->queries, s->block);
}

/* A vector that is no number makes every product of it none. */
static blip2_status check_numbers(const b2_scan *s, const size_t *pictures, size_t count) {
    const b2_index_file *file = &s->index->file;
    b2_mat products = s->contrast.products; /* of the CPU device: plain memory */

    for (size_t row = 0; row < count * file->queries; row++)
        if (!isfinite(((const float *)products.data)[row * (size_t)products.stride]))
            return b2_index_file_broken(file, pictures[row / file->queries]);
    return BLIP2_OK;
}

static float best_of(const float *scores, size_t count) {
    float best = scores[0];

    for (size_t i = 1; i < count; i++)
        best = fmaxf(best, scores[i]);
    return best;
}

/* Vectors of pictures [count], one behind the other, as F32: where the file map has them if it can
 * be, for the CPU's device memory is plain memory; else looked up into the block. */
static blip2_status find_rows(b2_scan *s, const size_t *pictures, size_t count, b2_mat *out) {
    const b2_index_file *file = &s->index->file;
    size_t rows = count * file->queries;
    b2_device *device = s->index->device;
    b2_embed look_up = {.table = s->index->vectors, .ids = s->ids, .count = (uint32_t)rows};

    if (file->type == B2_F32 && pictures[count - 1] - pictures[0] == count - 1) {
        const uint8_t *at = file->vectors + pictures[0] * b2_index_file_stride(file);

        *out = b2_mat_of((void *)(uintptr_t)at, B2_F32, (int64_t)rows, (int64_t)file->width);
        return BLIP2_OK;
    }
    for (size_t i = 0; i < rows; i++)
        s->ids[i] = (int32_t)(pictures[i / file->queries] * file->queries + i % file->queries);
    *out = look_up.y = b2_mat_rows(s->contrast.rows, 0, (int64_t)rows);
    return device->ops->embed(device, &look_up);
}

blip2_status b2_scan_block(b2_scan *s, const size_t *pictures, size_t count, b2_best *lists) {
    const size_t *first = s->queries->first;
    size_t columns = first[s->end] - first[s->begin];
    b2_mat rows;
    blip2_status status;

    if ((status = find_rows(s, pictures, count, &rows)) < 0 ||
        (status = b2_contrast_of_rows(&s->contrast, rows, s->scores)) < 0 ||
        (status = check_numbers(s, pictures, count)) < 0)
        return status;
    for (size_t q = s->begin; q < s->end; q++)
        for (size_t i = 0; i < count; i++)
            b2_best_add(&lists[q], pictures[i],
                        best_of(s->scores + i * columns + (first[q] - first[s->begin]),
                                first[q + 1] - first[q]));
    return BLIP2_OK;
}

blip2_status b2_search_exact(blip2_index *index, const b2_queries *queries, b2_best *lists,
                             b2_search_progress *progress) {
    b2_scan s = {.index = index, .queries = queries, .end = queries->count};
    size_t count = index->file.count, *pictures = NULL;
    blip2_status status = b2_scan_open(&s, count);

    if (status == BLIP2_OK && (pictures = b2_alloc_array(s.block, sizeof *pictures)) == NULL)
        status = b2_fail_memory();
    for (size_t at = 0; at < count && status == BLIP2_OK; at += s.block) {
        size_t n = b2_size_min(s.block, count - at);

        for (size_t i = 0; i < n; i++)
            pictures[i] = at + i;
        if ((status = b2_scan_block(&s, pictures, n, lists)) == BLIP2_OK)
            status = b2_search_tell(progress, n);
    }
    b2_free(pictures);
    b2_scan_close(&s);
    return status;
}
