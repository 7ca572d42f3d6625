#include "load/safetensors_write.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/size.h"
#include "base/text_buffer.h"

enum { PIECE_BYTES = 1 << 20, HEADER_ALIGN = 8 };

static const char torch_metadata[] = "{\"format\":\"pt\"}";

/* A run of the caller's tensors that goes into one file. */
typedef struct span {
    const b2_tensor_shape *tensors; /* all of the caller's */
    size_t first, count;
    const char *metadata; /* a JSON object */
} span;

static blip2_status measure(const b2_tensor_shape *t, size_t *elements, size_t *bytes) {
    if (t->rank > B2_MAX_RANK || *t->name == '\0')
        return b2_fail(BLIP2_EINVAL, "tensor \"%s\": no name, or a rank above %d", t->name,
                       B2_MAX_RANK);
    for (const char *c = t->name; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e || *c == '"' || *c == '\\')
            return b2_fail(BLIP2_EINVAL, "tensor \"%s\": not a plain ASCII name", t->name);
    *elements = 1;
    for (uint32_t i = 0; i < t->rank; i++)
        if (t->dim[i] < 0 || !b2_size_mul(*elements, (size_t)t->dim[i], elements))
            return b2_fail(BLIP2_EINVAL, "tensor \"%s\": a negative dimension or too large a shape",
                           t->name);
    if (!b2_size_mul(*elements, b2_type_size(t->type), bytes))
        return b2_fail(BLIP2_EINVAL, "tensor \"%s\": too large a shape", t->name);
    return BLIP2_OK;
}

/* The JSON of one file; its size is a multiple of 8, so that the data start aligned. */
static blip2_status make_header(b2_text_buffer *text, const span *s) {
    static const char spaces[HEADER_ALIGN + 1] = "        ";
    size_t at = 0, elements, bytes;

    b2_text_appendf(text, "{\"__metadata__\":%s", s->metadata);
    for (size_t i = s->first; i < s->first + s->count; i++) {
        const b2_tensor_shape *t = s->tensors + i;
        blip2_status status = measure(t, &elements, &bytes);

        if (status < 0)
            return status;
        b2_text_appendf(text, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name,
                        b2_type_name(t->type));
        for (uint32_t d = 0; d < t->rank; d++)
            b2_text_appendf(text, "%s%" PRId64, d > 0 ? "," : "", t->dim[d]);
        b2_text_appendf(text, "],\"data_offsets\":[%zu,", at);
        if (!b2_size_add(at, bytes, &at))
            return b2_fail(BLIP2_EINVAL, "tensor \"%s\": the file would be too large", t->name);
        b2_text_appendf(text, "%zu]}", at);
    }
    b2_text_appendf(text, "}");
    b2_text_append(text, spaces, (HEADER_ALIGN - text->length % HEADER_ALIGN) % HEADER_ALIGN);
    return text->failed ? b2_fail_memory() : BLIP2_OK;
}

static blip2_status write_tensor(b2_file_writer *writer, const b2_tensor_shape *t, size_t index,
                                 b2_tensor_fill fill, void *payload, void *piece) {
    size_t most = PIECE_BYTES / b2_type_size(t->type), elements, bytes;
    blip2_status status = measure(t, &elements, &bytes);

    for (size_t first = 0; first < elements && status == BLIP2_OK; first += most) {
        size_t n = b2_size_min(elements - first, most);

        if ((status = fill(payload, index, first, n, piece)) == BLIP2_OK)
            status = b2_file_writer_write(writer, piece, n * b2_type_size(t->type));
    }
    return status;
}

static blip2_status write_span(const char *path, const span *s, b2_tensor_fill fill,
                               void *payload) {
    b2_text_buffer header = {0};
    b2_file_writer writer = {0};
    void *piece = b2_alloc(PIECE_BYTES);
    uint64_t length;
    blip2_status status;

    if (piece == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    if ((status = make_header(&header, s)) < 0 || (status = b2_file_writer_open(&writer, path)) < 0)
        goto out;
    length = header.length;
    if ((status = b2_file_writer_write(&writer, &length, sizeof length)) == BLIP2_OK)
        status = b2_file_writer_write(&writer, header.data, header.length);
    for (size_t i = s->first; i < s->first + s->count && status == BLIP2_OK; i++)
        status = write_tensor(&writer, s->tensors + i, i, fill, payload, piece);
    if (status == BLIP2_OK)
        status = b2_file_writer_commit(&writer);
    else
        b2_file_writer_abandon(&writer);
out:
    b2_text_free(&header);
    b2_free(piece);
    return status;
}

blip2_status b2_safetensors_write(const char *path, const b2_tensor_shape *tensors, size_t count,
                                  const char *metadata, b2_tensor_fill fill, void *payload) {
    const span all = {tensors, 0, count, metadata != NULL ? metadata : torch_metadata};

    return write_span(path, &all, fill, payload);
}

/* The tensors from first on that fit into one shard, at least one; *bytes: their data. */
static blip2_status cut_shard(span *out, size_t count, uint64_t shard_bytes, uint64_t *bytes) {
    size_t elements, size;

    *bytes = 0;
    for (out->count = 0; out->first + out->count < count; out->count++) {
        blip2_status status = measure(out->tensors + out->first + out->count, &elements, &size);

        if (status < 0)
            return status;
        if (out->count > 0 && (*bytes > shard_bytes || size > shard_bytes - *bytes))
            break;
        *bytes += size;
    }
    return BLIP2_OK;
}

static void shard_name(char *name, size_t size, size_t shard, size_t shards) {
    if (shards == 1)
        (void)snprintf(name, size, "model.safetensors");
    else
        (void)snprintf(name, size, "model-%05zu-of-%05zu.safetensors", shard + 1, shards);
}

static blip2_status write_text(const char *directory, const char *name,
                               const b2_text_buffer *text) {
    char *path = b2_path_join(directory, name);
    blip2_status status = path == NULL || text->failed
                              ? b2_fail_memory()
                              : b2_file_write(path, text->data, text->length);

    b2_free(path);
    return status;
}

blip2_status b2_safetensors_write_folder(const char *directory, const b2_tensor_shape *tensors,
                                         size_t count, uint64_t shard_bytes, b2_tensor_fill fill,
                                         void *payload) {
    span s = {.tensors = tensors, .metadata = torch_metadata};
    b2_text_buffer map = {0}, index = {0};
    size_t shards = 0;
    uint64_t bytes, total = 0;
    blip2_status status = BLIP2_OK;

    for (; s.first < count && status == BLIP2_OK; s.first += s.count, shards++)
        if ((status = cut_shard(&s, count, shard_bytes, &bytes)) == BLIP2_OK)
            total += bytes;
    s.first = 0;
    shards = b2_size_max(shards, 1); /* no tensors: one file without any */
    for (size_t i = 0; i < shards && status == BLIP2_OK; i++, s.first += s.count) {
        char name[64], *path;

        if ((status = cut_shard(&s, count, shard_bytes, &bytes)) < 0)
            break;
        shard_name(name, sizeof name, i, shards);
        for (size_t t = s.first; t < s.first + s.count; t++)
            b2_text_appendf(&map, "%s\n    \"%s\": \"%s\"", t > 0 ? "," : "", tensors[t].name,
                            name);
        path = b2_path_join(directory, name);
        status = path != NULL ? write_span(path, &s, fill, payload) : b2_fail_memory();
        b2_free(path);
    }
    if (status == BLIP2_OK && shards > 1) {
        b2_text_appendf(&index,
                        "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64
                        "\n  },\n  \"weight_map\": {",
                        total);
        b2_text_append(&index, b2_text_data(&map), map.length);
        b2_text_appendf(&index, "\n  }\n}\n");
        index.failed = index.failed || map.failed;
        status = write_text(directory, "model.safetensors.index.json", &index);
    }
    b2_text_free(&map);
    b2_text_free(&index);
    return status;
}
