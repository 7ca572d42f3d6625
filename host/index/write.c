/* An index into its file, piece by piece: what is written may be larger than memory. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "index/file.h"
#include "load/safetensors_write.h"

/* In the order of the file: what needs alignment first. */
enum { SIZES, TIMES, PATH_ENDS, VECTORS, PIXELS, PATHS, TENSORS, DIGEST = 32 };

typedef struct writing {
    const b2_index_row *rows; /* [count] */
    const int64_t *path_ends; /* [count] */
    size_t stride, element;   /* bytes of a picture's vectors, and of a number */
    size_t at;                /* the row whose path is being written */
} writing;

static const void *bytes_of(const writing *w, size_t row, size_t tensor) {
    return tensor == VECTORS ? w->rows[row].vectors : w->rows[row].pixels;
}

/* Bytes first .. first + count - 1 of what all rows have one behind the other, size bytes each. */
static void copy_rows(const writing *w, size_t tensor, size_t size, size_t first, size_t count,
                      uint8_t *to) {
    while (count > 0) {
        size_t row = first / size, from = first % size, n = b2_size_min(count, size - from);

        memcpy(to, (const uint8_t *)bytes_of(w, row, tensor) + from, n);
        to += n;
        first += n;
        count -= n;
    }
}

/* Paths come in order, so the row goes on from where it was. */
static void copy_paths(writing *w, size_t first, size_t count, uint8_t *to) {
    while (count > 0) {
        size_t start, end, n;

        while ((size_t)w->path_ends[w->at] <= first)
            w->at++;
        start = w->at > 0 ? (size_t)w->path_ends[w->at - 1] : 0;
        end = (size_t)w->path_ends[w->at];
        n = b2_size_min(count, end - first);
        memcpy(to, w->rows[w->at].path + (first - start), n);
        to += n;
        first += n;
        count -= n;
    }
}

static blip2_status fill(void *payload, size_t index, size_t first, size_t count, void *data) {
    writing *w = payload;
    int64_t *numbers = data;

    if (index == VECTORS)
        copy_rows(w, index, w->stride, first * w->element, count * w->element, data);
    else if (index == PIXELS)
        copy_rows(w, index, DIGEST, first, count, data);
    else if (index == PATHS)
        copy_paths(w, first, count, data);
    else
        for (size_t i = 0; i < count; i++) {
            const b2_index_row *row = &w->rows[first + i];

            numbers[i] = index == SIZES   ? row->size
                         : index == TIMES ? row->time
                                          : w->path_ends[first + i];
        }
    return BLIP2_OK;
}

static blip2_status write_all(const char *path, const b2_index_shape *shape, writing *w,
                              size_t count) {
    int64_t n = (int64_t)count;
    const b2_tensor_shape tensors[TENSORS] = {
        {"sizes", B2_I64, 1, {n}},
        {"times", B2_I64, 1, {n}},
        {"path_ends", B2_I64, 1, {n}},
        {"vectors", shape->type, 3, {n, (int64_t)shape->queries, (int64_t)shape->width}},
        {"pixels", B2_U8, 2, {n, DIGEST}},
        {"paths", B2_U8, 1, {w->path_ends[count - 1]}},
    };
    json_t *metadata = json_pack("{s:s, s:s, s:s}", "format", "blip2 index", "version", "1",
                                 "model", shape->model);
    char *text = metadata != NULL ? json_dumps(metadata, JSON_COMPACT) : NULL;
    blip2_status status;

    json_decref(metadata);
    if (text == NULL)
        return b2_fail_memory();
    status = b2_safetensors_write(path, tensors, TENSORS, text, fill, w);
    free(text);
    return status;
}

blip2_status b2_index_file_write(const char *path, const b2_index_shape *shape,
                                 const b2_index_row *rows, size_t count) {
    int64_t *ends = b2_alloc_array(count, sizeof *ends), end = 0;
    writing w = {.rows = rows,
                 .path_ends = ends,
                 .element = b2_type_size(shape->type),
                 .stride = shape->queries * shape->width * b2_type_size(shape->type)};
    blip2_status status;

    if (ends == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++)
        ends[i] = end += (int64_t)strlen(rows[i].path) + 1;
    status = write_all(path, shape, &w, count);
    b2_free(ends);
    return status;
}
