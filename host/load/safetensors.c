/* A safetensors file: 8 bytes N (little-endian), N bytes of JSON
 *     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
 * and the data. Every check of the reference parser (huggingface/safetensors, Rust) is made here:
 * the table is believed only if the tensors, sorted by offset, tile the data without a hole, an
 * overlap or a rest, each of exactly the size that its shape and type say. We are stricter only in
 * what no real file does: duplicate names, names with a NUL, white space before the first brace,
 * integers of 2^63 and more, a rank above 8. */
#include "load/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "load/json.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files and memory are little-endian");

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000 };

/* All types of the format, in bits; the usable ones are those of b2_type. */
static const struct {
    const char *name;
    uint32_t bits;
    bool usable;
    b2_type type;
} types[] = {
    {"F32", 32, true, B2_F32},        {"F16", 16, true, B2_F16},
    {"BF16", 16, true, B2_BF16},      {"I64", 64, true, B2_I64},
    {"I32", 32, true, B2_I32},        {"U8", 8, true, B2_U8},
    {"BOOL", 8, false, B2_U8},        {"I8", 8, false, B2_U8},
    {"I16", 16, false, B2_U8},        {"U16", 16, false, B2_U8},
    {"U32", 32, false, B2_U8},        {"U64", 64, false, B2_U8},
    {"F64", 64, false, B2_U8},        {"C64", 64, false, B2_U8},
    {"F8_E4M3", 8, false, B2_U8},     {"F8_E5M2", 8, false, B2_U8},
    {"F8_E8M0", 8, false, B2_U8},     {"F8_E4M3FNUZ", 8, false, B2_U8},
    {"F8_E5M2FNUZ", 8, false, B2_U8}, {"F6_E2M3", 6, false, B2_U8},
    {"F6_E3M2", 6, false, B2_U8},     {"F4", 4, false, B2_U8},
};

/* One entry of the table before its place is checked. */
typedef struct entry {
    b2_tensor tensor;
    size_t begin, end; /* bytes from the start of the data */
} entry;

static blip2_status fail(const char *file, const char *name, const char *what) {
    return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": %s", file, name, what);
}

/* A JSON integer >= 0. */
static bool get_size(const json_t *value, size_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *out = (size_t)json_integer_value(value);
    return true;
}

static blip2_status read_shape(const json_t *shape, b2_tensor *t) {
    size_t rank = json_array_size(shape);

    if (!json_is_array(shape))
        return fail(t->file, t->name, "expected \"shape\" to be a list of integers");
    if (rank > B2_MAX_RANK)
        return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": expected at most %d dimensions, got %zu",
                       t->file, t->name, B2_MAX_RANK, rank);
    t->rank = (uint32_t)rank;
    t->count = 1;
    for (size_t i = 0; i < rank; i++) {
        size_t dim;

        if (!get_size(json_array_get(shape, i), &dim))
            return fail(t->file, t->name, "expected every dimension to be an integer >= 0");
        if (!b2_size_mul(t->count, dim, &t->count))
            return fail(t->file, t->name, "the product of its dimensions overflows");
        t->dim[i] = (int64_t)dim;
    }
    return BLIP2_OK;
}

static blip2_status read_type(const json_t *dtype, b2_tensor *t) {
    const char *name = json_string_value(dtype);
    size_t bits;

    if (name == NULL)
        return fail(t->file, t->name, "expected \"dtype\" to be a text");
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(name, types[i].name) != 0)
            continue;
        t->type = types[i].type;
        t->type_name = types[i].name;
        t->usable = types[i].usable;
        if (!b2_size_mul(t->count, types[i].bits, &bits) || bits % 8 != 0)
            return fail(t->file, t->name, "its size is no whole number of bytes");
        t->bytes = bits / 8;
        return BLIP2_OK;
    }
    return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": unknown dtype \"%.32s\"", t->file, t->name,
                   name);
}

static blip2_status read_entry(const json_t *value, size_t data_bytes, entry *out) {
    b2_tensor *t = &out->tensor;
    const json_t *offsets = json_object_get(value, "data_offsets");
    blip2_status status;

    if (!json_is_object(value))
        return fail(t->file, t->name, "expected an object");
    if ((status = read_shape(json_object_get(value, "shape"), t)) < 0 ||
        (status = read_type(json_object_get(value, "dtype"), t)) < 0)
        return status;
    if (json_array_size(offsets) != 2 || !get_size(json_array_get(offsets, 0), &out->begin) ||
        !get_size(json_array_get(offsets, 1), &out->end))
        return fail(t->file, t->name, "expected \"data_offsets\" to be two integers >= 0");
    if (out->begin > out->end || out->end > data_bytes)
        return b2_fail(BLIP2_EFORMAT,
                       "%s: tensor \"%s\": data_offsets %zu..%zu are not within the %zu bytes of "
                       "data",
                       t->file, t->name, out->begin, out->end, data_bytes);
    if (out->end - out->begin != t->bytes)
        return b2_fail(BLIP2_EFORMAT,
                       "%s: tensor \"%s\": shape and dtype need %zu bytes, data_offsets give %zu",
                       t->file, t->name, t->bytes, out->end - out->begin);
    return BLIP2_OK;
}

static blip2_status check_metadata(json_t *metadata, const char *file) {
    const char *key;
    json_t *value;

    if (metadata == NULL || json_is_null(metadata))
        return BLIP2_OK;
    if (!json_is_object(metadata))
        return b2_fail(BLIP2_EFORMAT, "%s: __metadata__: expected an object", file);
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return b2_fail(BLIP2_EFORMAT, "%s: __metadata__.%.100s: expected a text", file, key);
    }
    return BLIP2_OK;
}

static int by_place(const void *left, const void *right) {
    const entry *a = left, *b = right;

    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1;
    return strcmp(a->tensor.name, b->tensor.name);
}

/* The sorted entries must tile data[0 .. bytes) exactly. */
static blip2_status place_entries(b2_tensor_list *list, entry *entries, size_t count,
                                  const uint8_t *data, size_t bytes, const char *file) {
    size_t at = 0;

    for (size_t i = 0; i < count; i++) {
        b2_tensor *t = &entries[i].tensor;
        blip2_status status;

        if (entries[i].begin != at)
            return b2_fail(BLIP2_EFORMAT,
                           "%s: tensor \"%s\": data_offsets begin at %zu, expected %zu (%s)", file,
                           t->name, entries[i].begin, at,
                           entries[i].begin > at ? "a hole in the data" : "tensors overlap");
        at = entries[i].end;
        t->data = data + entries[i].begin;
        if ((status = b2_tensor_list_add(list, t)) < 0)
            return status;
    }
    if (at != bytes)
        return b2_fail(BLIP2_EFORMAT, "%s: file has %zu bytes of data, its tensors cover %zu", file,
                       bytes, at);
    return BLIP2_OK;
}

static blip2_status read_entries(b2_tensor_list *list, json_t *header, const uint8_t *data,
                                 size_t bytes, const char *file) {
    entry *entries = b2_alloc_array(json_object_size(header), sizeof *entries);
    blip2_status status = BLIP2_OK;
    size_t count = 0;
    const char *key;
    json_t *value;

    if (entries == NULL)
        return b2_fail_memory();
    json_object_foreach(header, key, value) {
        char *name;

        if (strcmp(key, "__metadata__") == 0) {
            if ((status = check_metadata(value, file)) < 0)
                goto out;
            continue;
        }
        if ((name = b2_arena_strndup(&list->arena, key, strlen(key))) == NULL) {
            status = b2_fail_memory();
            goto out;
        }
        entries[count] = (entry){.tensor = {.name = name, .file = file}};
        if ((status = read_entry(value, bytes, entries + count)) < 0)
            goto out;
        count++;
    }
    qsort(entries, count, sizeof *entries, by_place);
    status = place_entries(list, entries, count, data, bytes, file);
out:
    b2_free(entries);
    return status;
}

/* The JSON of the file, and where its data are. */
static blip2_status read_header(json_t **out, const uint8_t **data, size_t *data_bytes,
                                const b2_file_map *map, const char *file) {
    const uint8_t *bytes = map->data;
    size_t rest = map->size - LENGTH_BYTES;
    uint64_t length;

    if (map->size < LENGTH_BYTES)
        return b2_fail(BLIP2_EFORMAT, "%s: file has %zu bytes, a safetensors file has at least 8",
                       file, map->size);
    memcpy(&length, bytes, sizeof length);
    if (length > MAX_HEADER_BYTES)
        return b2_fail(BLIP2_EFORMAT,
                       "%s: not a safetensors file: header of %llu bytes, the limit is %d", file,
                       (unsigned long long)length, MAX_HEADER_BYTES);
    if (length > rest)
        return b2_fail(BLIP2_EFORMAT, "%s: header of %llu bytes, but only %zu bytes follow", file,
                       (unsigned long long)length, rest);
    if (length == 0 || bytes[LENGTH_BYTES] != '{')
        return b2_fail(BLIP2_EFORMAT, "%s: header does not start with '{'", file);
    *data = bytes + LENGTH_BYTES + length;
    *data_bytes = rest - (size_t)length;
    return b2_json_parse(out, (const char *)bytes + LENGTH_BYTES, (size_t)length, file);
}

blip2_status b2_safetensors_parse(b2_tensor_list *list, const b2_file_map *map, const char *file) {
    const uint8_t *data = NULL;
    size_t bytes = 0;
    json_t *header;
    blip2_status status = read_header(&header, &data, &bytes, map, file);

    if (status < 0)
        return status;
    status = read_entries(list, header, data, bytes, file);
    json_decref(header);
    return status;
}

blip2_status b2_safetensors_metadata(json_t **out, const b2_file_map *map, const char *file) {
    const uint8_t *data = NULL;
    size_t bytes = 0;
    json_t *header, *metadata;
    blip2_status status = read_header(&header, &data, &bytes, map, file);

    *out = NULL;
    if (status < 0)
        return status;
    metadata = json_object_get(header, "__metadata__");
    if ((status = check_metadata(metadata, file)) == BLIP2_OK) {
        *out = json_is_object(metadata) ? json_incref(metadata) : json_object();
        if (*out == NULL)
            status = b2_fail_memory();
    }
    json_decref(header);
    return status;
}
