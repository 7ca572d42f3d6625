/* The approximate search: candidates from a graph of all vectors, scored as in the exact search. */
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/size.h"
#include "index/scan.h"

/* All vectors into the graph, a block at a time. */
static blip2_status build_nearest(blip2_index *index, b2_search_progress *progress) {
    const b2_index_file *file = &index->file;
    size_t rows = file->count * file->queries,
           block = b2_size_min(b2_size_max(B2_SCAN_NUMBERS / file->width, 1), rows);
    float *vectors = b2_alloc_array(block, file->width * sizeof *vectors);
    b2_nearest *nearest = NULL;
    blip2_status status =
        vectors != NULL ? b2_nearest_open(&nearest, file->width, index->threads) : b2_fail_memory();

    for (size_t at = 0; at < rows && status == BLIP2_OK; at += block) {
        size_t n = b2_size_min(block, rows - at);

        b2_to_f32(vectors, file->vectors + at * file->width * b2_type_size(file->type), file->type,
                  n * file->width);
        for (size_t i = 0; i < n * file->width && status == BLIP2_OK; i++)
            if (!isfinite(vectors[i]))
                status = b2_index_file_broken(file, (at + i / file->width) / file->queries);
        if (status == BLIP2_OK && (status = b2_nearest_add(nearest, vectors, n)) == BLIP2_OK)
            status = b2_search_tell(progress, 0);
    }
    b2_free(vectors);
    if (status < 0)
        b2_nearest_close(nearest);
    else
        index->nearest = nearest;
    return status;
}

static int by_number(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;

    return x < y ? -1 : x > y;
}

/* Pictures of the vectors near the query's, in order, each once; their number. */
static blip2_status find_candidates(const b2_scan *s, size_t nearest, int64_t *rows,
                                    size_t *pictures, size_t *count) {
    const b2_index_file *file = &s->index->file;
    size_t found = 0, kept = 0;

    for (size_t c = s->queries->first[s->begin]; c < s->queries->first[s->end]; c++) {
        blip2_status status = b2_nearest_find(s->index->nearest,
                                              s->queries->vectors + c * file->width, nearest, rows);

        if (status < 0)
            return status;
        for (size_t i = 0; i < nearest; i++)
            if (rows[i] >= 0)
                pictures[found++] = (size_t)rows[i] / file->queries;
    }
    qsort(pictures, found, sizeof *pictures, by_number);
    for (size_t i = 0; i < found; i++)
        if (kept == 0 || pictures[kept - 1] != pictures[i])
            pictures[kept++] = pictures[i];
    *count = kept;
    return BLIP2_OK;
}

static blip2_status search_one(b2_scan *s, size_t nearest, b2_best *lists) {
    size_t columns = s->queries->first[s->end] - s->queries->first[s->begin], count, most;
    int64_t *rows = b2_alloc_array(nearest, sizeof *rows);
    size_t *pictures = NULL;
    blip2_status status = BLIP2_OK;

    if (!b2_size_mul(nearest, columns, &most) || rows == NULL ||
        (pictures = b2_alloc_array(most, sizeof *pictures)) == NULL)
        status = b2_fail_memory();
    if (status == BLIP2_OK &&
        (status = find_candidates(s, nearest, rows, pictures, &count)) == BLIP2_OK && count > 0)
        status = b2_scan_open(s, count);
    for (size_t at = 0; status == BLIP2_OK && at < count; at += s->block)
        status = b2_scan_block(s, pictures + at, b2_size_min(s->block, count - at), lists);
    b2_scan_close(s);
    b2_free(rows);
    b2_free(pictures);
    return status;
}

blip2_status b2_search_near(blip2_index *index, const b2_queries *queries, uint32_t nearest,
                            b2_best *lists, b2_search_progress *progress) {
    size_t most = b2_size_min(nearest, index->file.count * index->file.queries);
    blip2_status status = index->nearest == NULL ? build_nearest(index, progress) : BLIP2_OK;

    for (size_t q = 0; q < queries->count && status == BLIP2_OK; q++) {
        b2_scan s = {.index = index, .queries = queries, .begin = q, .end = q + 1};

        status = search_one(&s, most, lists);
    }
    return status == BLIP2_OK ? b2_search_tell(progress, index->file.count) : status;
}
