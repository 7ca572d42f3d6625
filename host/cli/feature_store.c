#include "feature_store.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "load/safetensors_write.h"

enum { NAME_BYTES = 40, NPY_ALIGN = 64, NPY_HEADER = 192, PIECE = 1 << 18 /* floats */ };

/* A larger capacity of at least `needed`; 0: too many. */
static size_t grown(size_t capacity, size_t needed) {
    size_t twice;

    if (!b2_size_mul(capacity, 2, &twice))
        return 0;
    return b2_size_max(twice, needed);
}

static blip2_status fail_errno(const char *path, const char *what) {
    return b2_fail(BLIP2_EIO, "%s: cannot %s: %s", path, what, strerror(errno != 0 ? errno : EIO));
}

/* In the folder of the file to be, where room is needed anyway. */
static blip2_status open_data(FILE **out, const char *path) {
    b2_text_buffer name = {0};
    char *text;
    int fd;

    b2_text_appendf(&name, "%s.data-XXXXXX", path);
    if ((text = b2_text_take(&name)) == NULL) {
        b2_text_free(&name);
        return b2_fail_memory();
    }
    if ((fd = mkstemp(text)) >= 0)
        (void)unlink(text);
    b2_free(text);
    if (fd < 0 || (*out = fdopen(fd, "w+b")) == NULL) {
        blip2_status status = fail_errno(path, "create");

        if (fd >= 0)
            (void)close(fd);
        return status;
    }
    return BLIP2_OK;
}

blip2_status b2_feature_store_add(const b2_feature_store *store, b2_matrices *m, const void *data,
                                  size_t rows, size_t cols) {
    size_t floats, needed, capacity;
    void *larger;
    blip2_status status;

    if (!b2_size_mul(rows, cols, &floats) || !b2_size_add(m->used, floats, &needed))
        return b2_fail_memory();
    if (m->data == NULL && (status = open_data(&m->data, store->path)) < 0)
        return status;
    if (m->count == m->rows_capacity) {
        capacity = grown(m->rows_capacity, m->count + 1);
        if ((larger = b2_realloc_array(m->rows, capacity, sizeof *m->rows)) == NULL)
            return b2_fail_memory();
        m->rows = larger;
        m->rows_capacity = capacity;
    }
    errno = 0;
    if (fwrite(data, sizeof(float), floats, m->data) != floats)
        return fail_errno(store->path, "write");
    m->used = needed;
    m->cols = cols;
    m->rows[m->count++] = rows;
    return BLIP2_OK;
}

/* From the start on, or from float number `first` on. */
static blip2_status read_data(const char *path, b2_matrices *m, size_t first, size_t count,
                              void *out) {
    errno = 0;
    if (fflush(m->data) != 0 || fseeko(m->data, (off_t)(first * sizeof(float)), SEEK_SET) != 0 ||
        fread(out, sizeof(float), count, m->data) != count)
        return fail_errno(path, "read what was gathered");
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
    if (m->data != NULL)
        (void)fclose(m->data);
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

/* start [size], then the data of m (NULL: none). */
static blip2_status write_file(const char *path, const void *start, size_t size, b2_matrices *m) {
    b2_file_writer writer;
    void *piece = b2_alloc(PIECE * sizeof(float));
    blip2_status status = piece != NULL ? b2_file_writer_open(&writer, path) : b2_fail_memory();

    if (status < 0) {
        b2_free(piece);
        return status;
    }
    status = b2_file_writer_write(&writer, start, size);
    for (size_t at = 0; m != NULL && at < m->used && status == BLIP2_OK; at += PIECE) {
        size_t count = b2_size_min(PIECE, m->used - at);

        if ((status = read_data(path, m, at, count, piece)) == BLIP2_OK)
            status = b2_file_writer_write(&writer, piece, count * sizeof(float));
    }
    b2_free(piece);
    if (status == BLIP2_OK)
        return b2_file_writer_commit(&writer);
    b2_file_writer_abandon(&writer);
    return status;
}

/* path.json, first: whoever sees the matrices finds their names. */
static blip2_status write_names(const b2_feature_store *store) {
    b2_text_buffer name = {0}, content = {0};
    json_t *root = json_pack("{s:O}", "names", store->names);
    char *text = root != NULL ? json_dumps(root, JSON_INDENT(1)) : NULL;
    blip2_status status;

    b2_text_appendf(&name, "%s.json", store->path);
    if (text != NULL)
        b2_text_appendf(&content, "%s\n", text);
    if (text == NULL || name.failed || content.failed)
        status = b2_fail_memory();
    else
        status = write_file(b2_text_data(&name), content.data, content.length, NULL);
    b2_text_free(&name);
    b2_text_free(&content);
    free(text);
    json_decref(root);
    return status;
}

blip2_status b2_feature_store_write_npy(const b2_feature_store *store, b2_matrices *which) {
    char header[NPY_HEADER];
    size_t uneven = find_uneven(which);
    blip2_status status;

    if (uneven < which->count)
        return b2_fail(BLIP2_EINVAL,
                       "%s: input 1 has %zu rows and input %zu has %zu, which one array cannot "
                       "hold; write .safetensors, or only --first-row",
                       store->path, which->rows[0], uneven + 1, which->rows[uneven]);
    if ((status = write_names(store)) < 0)
        return status;
    return write_file(store->path, header, npy_header(header, which), which);
}

/* ---- .safetensors ------------------------------------------------------------------------- */

typedef struct tensors {
    const char *path;
    b2_tensor_shape *shapes; /* [count] */
    b2_matrices **of;        /* [count] whose data they are in, */
    size_t *first;           /* [count] from which float on */
    char (*names)[NAME_BYTES];
    size_t count;
} tensors;

static blip2_status fill(void *payload, size_t index, size_t first, size_t count, void *data) {
    const tensors *t = payload;

    return read_data(t->path, t->of[index], t->first[index] + first, count, data);
}

static void add_tensor(tensors *t, b2_matrices *of, size_t first, const int64_t *dim,
                       uint32_t rank) {
    b2_tensor_shape *shape = &t->shapes[t->count];

    *shape = (b2_tensor_shape){.name = t->names[t->count], .type = B2_F32, .rank = rank};
    memcpy(shape->dim, dim, rank * sizeof *dim);
    t->of[t->count] = of;
    t->first[t->count++] = first;
}

static void add_tensors(tensors *t, const char *kind, b2_matrices *m) {
    size_t at = 0;
    int64_t cols = (int64_t)m->cols;

    if (m->count > 0 && find_uneven(m) >= m->count) {
        (void)snprintf(t->names[t->count], NAME_BYTES, "%s", kind);
        add_tensor(t, m, 0, (const int64_t[]){(int64_t)m->count, (int64_t)m->rows[0], cols}, 3);
        return;
    }
    for (size_t i = 0; i < m->count; at += m->rows[i++] * m->cols) {
        (void)snprintf(t->names[t->count], NAME_BYTES, "%s.%zu", kind, i);
        add_tensor(t, m, at, (const int64_t[]){(int64_t)m->rows[i], cols}, 2);
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

blip2_status b2_feature_store_write_safetensors(b2_feature_store *store) {
    size_t most = store->hidden.count + store->projected.count;
    tensors t = {.path = store->path,
                 .shapes = b2_calloc(most, sizeof *t.shapes),
                 .of = b2_calloc(most, sizeof *t.of),
                 .first = b2_calloc(most, sizeof *t.first),
                 .names = b2_calloc(most, sizeof *t.names)};
    char *metadata = metadata_of(store);
    blip2_status status;

    if (t.shapes == NULL || t.of == NULL || t.first == NULL || t.names == NULL ||
        metadata == NULL) {
        status = b2_fail_memory();
    } else {
        add_tensors(&t, "hidden", &store->hidden);
        add_tensors(&t, "projected", &store->projected);
        status = b2_safetensors_write(store->path, t.shapes, t.count, metadata, fill, &t);
    }
    b2_free(t.shapes);
    b2_free(t.of);
    b2_free(t.first);
    b2_free(t.names);
    free(metadata);
    return status;
}
