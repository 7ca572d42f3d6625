#include "feature_store.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "load/safetensors_write.h"

enum { NAME_BYTES = 40, NPY_ALIGN = 64, NPY_HEADER = 192 };

/* A larger capacity of at least `needed`; 0: too many. */
static size_t grown(size_t capacity, size_t needed) {
    size_t twice;

    if (!b2_size_mul(capacity, 2, &twice))
        return 0;
    return b2_size_max(twice, needed);
}

blip2_status b2_matrices_add(b2_matrices *m, const float *data, size_t rows, size_t cols) {
    size_t floats, needed, capacity;
    void *larger;

    if (!b2_size_mul(rows, cols, &floats) || !b2_size_add(m->used, floats, &needed))
        return b2_fail_memory();
    if (needed > m->capacity) {
        capacity = grown(m->capacity, needed);
        if (capacity == 0 ||
            (larger = b2_realloc_array(m->data, capacity, sizeof *m->data)) == NULL)
            return b2_fail_memory();
        m->data = larger;
        m->capacity = capacity;
    }
    if (m->count == m->rows_capacity) {
        capacity = grown(m->rows_capacity, m->count + 1);
        if ((larger = b2_realloc_array(m->rows, capacity, sizeof *m->rows)) == NULL)
            return b2_fail_memory();
        m->rows = larger;
        m->rows_capacity = capacity;
    }
    memcpy(m->data + m->used, data, floats * sizeof *data);
    m->used = needed;
    m->cols = cols;
    m->rows[m->count++] = rows;
    return BLIP2_OK;
}

/* The first input that has not as many rows as input 0; no less than count: none. */
static size_t find_uneven(const b2_matrices *m) {
    size_t i = 1;

    while (i < m->count && m->rows[i] == m->rows[0])
        i++;
    return i;
}

static void free_matrices(b2_matrices *m) {
    b2_free(m->data);
    b2_free(m->rows);
    *m = (b2_matrices){0};
}

void b2_feature_store_free(b2_feature_store *store) {
    free_matrices(&store->hidden);
    free_matrices(&store->projected);
    json_decref(store->names);
    store->names = NULL;
}

/* ---- .npy --------------------------------------------------------------------------------- */

/* Version 1.0: magic, length of the header, the header as Python, padded with spaces. */
static size_t npy_header(char out[NPY_HEADER], const b2_matrices *m) {
    size_t at = 10, length;

    memcpy(out, "\x93NUMPY\x01\x00", 8);
    at += (size_t)snprintf(out + at, NPY_HEADER - at,
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu, %zu), }",
                           m->count, m->rows[0], m->cols);
    length = (at / NPY_ALIGN + 1) * NPY_ALIGN;
    memset(out + at, ' ', length - 1 - at);
    out[length - 1] = '\n';
    out[8] = (char)((length - 10) & 0xFF);
    out[9] = (char)((length - 10) >> 8);
    return length;
}

static blip2_status write_file(const char *path, const void *const *pieces, const size_t *sizes,
                               size_t count) {
    b2_file_writer writer;
    blip2_status status = b2_file_writer_open(&writer, path);

    if (status < 0)
        return status;
    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        status = b2_file_writer_write(&writer, pieces[i], sizes[i]);
    if (status == BLIP2_OK)
        return b2_file_writer_commit(&writer);
    b2_file_writer_abandon(&writer);
    return status;
}

/* path.json, first: whoever sees the matrices finds their names. */
static blip2_status write_names(const b2_feature_store *store, const char *path) {
    b2_text_buffer name = {0};
    json_t *root = json_pack("{s:O}", "names", store->names);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    blip2_status status;

    b2_text_appendf(&name, "%s.json", path);
    if (text == NULL || name.failed)
        status = b2_fail_memory();
    else
        status = write_file(b2_text_data(&name), (const void *const[]){text, "\n"},
                            (const size_t[]){strlen(text), 1}, 2);
    b2_text_free(&name);
    free(text);
    json_decref(root);
    return status;
}

blip2_status b2_feature_store_write_npy(const b2_feature_store *store, const char *path,
                                        const b2_matrices *which) {
    char header[NPY_HEADER];
    size_t uneven = find_uneven(which);
    blip2_status status;

    if (uneven < which->count)
        return b2_fail(BLIP2_EINVAL,
                       "%s: input 1 has %zu rows and input %zu has %zu, which one array cannot "
                       "hold; write .safetensors, or only --first-row",
                       path, which->rows[0], uneven + 1, which->rows[uneven]);
    if ((status = write_names(store, path)) < 0)
        return status;
    return write_file(path, (const void *const[]){header, which->data},
                      (const size_t[]){npy_header(header, which), which->used * sizeof(float)}, 2);
}

/* ---- .safetensors ------------------------------------------------------------------------- */

typedef struct tensors {
    b2_tensor_shape *shapes; /* [count] */
    const float **data;      /* [count] */
    char (*names)[NAME_BYTES];
    size_t count;
} tensors;

static blip2_status fill(void *payload, size_t index, size_t first, size_t count, void *data) {
    const tensors *t = payload;

    memcpy(data, t->data[index] + first, count * sizeof(float));
    return BLIP2_OK;
}

static void add_tensor(tensors *t, const float *data, const int64_t *dim, uint32_t rank) {
    b2_tensor_shape *shape = &t->shapes[t->count];

    *shape = (b2_tensor_shape){.name = t->names[t->count], .type = B2_F32, .rank = rank};
    memcpy(shape->dim, dim, rank * sizeof *dim);
    t->data[t->count++] = data;
}

static void add_tensors(tensors *t, const char *kind, const b2_matrices *m) {
    const float *at = m->data;
    int64_t cols = (int64_t)m->cols;

    if (m->count > 0 && find_uneven(m) >= m->count) {
        (void)snprintf(t->names[t->count], NAME_BYTES, "%s", kind);
        add_tensor(t, at, (const int64_t[]){(int64_t)m->count, (int64_t)m->rows[0], cols}, 3);
        return;
    }
    for (size_t i = 0; i < m->count; at += m->rows[i++] * m->cols) {
        (void)snprintf(t->names[t->count], NAME_BYTES, "%s.%zu", kind, i);
        add_tensor(t, at, (const int64_t[]){(int64_t)m->rows[i], cols}, 2);
    }
}

/* {"names": "[...]"}: a value of the metadata is a text. NULL when out of memory. */
static char *metadata_of(const b2_feature_store *store) {
    char *list = json_dumps(store->names, JSON_COMPACT);
    json_t *root = list != NULL ? json_pack("{s:s}", "names", list) : NULL;
    char *out = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;

    free(list);
    json_decref(root);
    return out;
}

blip2_status b2_feature_store_write_safetensors(const b2_feature_store *store, const char *path) {
    size_t most = store->hidden.count + store->projected.count;
    tensors t = {.shapes = b2_calloc(most, sizeof *t.shapes),
                 .data = b2_calloc(most, sizeof *t.data),
                 .names = b2_calloc(most, sizeof *t.names)};
    char *metadata = metadata_of(store);
    blip2_status status;

    if (t.shapes == NULL || t.data == NULL || t.names == NULL || metadata == NULL) {
        status = b2_fail_memory();
    } else {
        add_tensors(&t, "hidden", &store->hidden);
        add_tensors(&t, "projected", &store->projected);
        status = b2_safetensors_write(path, t.shapes, t.count, metadata, fill, &t);
    }
    b2_free(t.shapes);
    b2_free(t.data);
    b2_free(t.names);
    free(metadata);
    return status;
}
