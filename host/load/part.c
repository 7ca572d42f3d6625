#include "load/part.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "load/json.h"
#include "load/safetensors.h"

static const char format_name[] = "part 1";

/* ---- data --------------------------------------------------------------------------------- */

/* Is one of count numbers infinite or no number? By exponents: the data may be unaligned. */
static bool is_finite(const uint8_t *data, b2_type type, size_t count) {
    size_t size = b2_type_size(type);
    uint32_t mask = type == B2_F32 ? 0x7F800000U : type == B2_F16 ? 0x7C00U : 0x7F80U;

    if (type != B2_F32 && type != B2_F16 && type != B2_BF16)
        return true;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = 0; /* little-endian, as safetensors.c asserts */

        memcpy(&bits, data + i * size, size);
        if ((bits & mask) == mask)
            return false;
    }
    return true;
}

static blip2_status check_finite(const char *file, const char *name, const void *data, b2_type type,
                                 size_t count) {
    if (is_finite(data, type, count))
        return BLIP2_OK;
    return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": holds numbers that are not finite", file,
                   name);
}

/* ---- writing ------------------------------------------------------------------------------ */

static size_t count_of(const b2_tensor_shape *shape) {
    size_t count = 1;

    for (uint32_t d = 0; d < shape->rank; d++)
        count *= (size_t)shape->dim[d]; /* of memory that is there */
    return count;
}

typedef struct source {
    const b2_tensor_shape *tensors;
    const void *const *data;
} source;

static blip2_status fill(void *payload, size_t index, size_t first, size_t count, void *out) {
    const source *s = payload;
    size_t size = b2_type_size(s->tensors[index].type);

    memcpy(out, (const uint8_t *)s->data[index] + first * size, count * size);
    return BLIP2_OK;
}

static blip2_status make_metadata(char **out, const b2_part_key *key, const char *note,
                                  const char *sha256) {
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s*}", "blip2", format_name, "model", key->model,
                  "options", key->options, "inputs", key->inputs, "sha256", sha256, "note", note);

    *out = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return *out != NULL ? BLIP2_OK : b2_fail_memory();
}

blip2_status b2_part_write(const char *path, const b2_part_key *key, const char *note,
                           const b2_tensor_shape *tensors, size_t count, const void *const *data) {
    source s = {tensors, data};
    char hex[B2_SHA256_HEX], *metadata;
    b2_sha256 sha;
    blip2_status status;

    b2_sha256_init(&sha);
    for (size_t i = 0; i < count; i++) {
        size_t elements = count_of(&tensors[i]);

        if ((status = check_finite(b2_file_name(path), tensors[i].name, data[i], tensors[i].type,
                                   elements)) < 0)
            return status;
        b2_sha256_update(&sha, data[i], elements * b2_type_size(tensors[i].type));
    }
    b2_sha256_final_hex(&sha, hex);
    if ((status = make_metadata(&metadata, key, note, hex)) < 0)
        return status;
    status = b2_safetensors_write(path, tensors, count, metadata, fill, &s);
    free(metadata);
    return status;
}

/* ---- reading ------------------------------------------------------------------------------ */

/* "" where there is none. */
static const char *text_of(const json_t *metadata, const char *name) {
    const char *text = json_string_value(json_object_get(metadata, name));

    return text != NULL ? text : "";
}

static blip2_status check_key(const char *file, const json_t *metadata, const b2_part_key *key) {
    const char *format = text_of(metadata, "blip2"), *model = text_of(metadata, "model");

    if (strcmp(format, format_name) != 0)
        return b2_fail(BLIP2_EFORMAT, "%s: %s%.40s%s: not written by this version of blip2", file,
                       *format != '\0' ? "\"" : "no format in its metadata, expected \"",
                       *format != '\0' ? format : format_name, "\"");
    if (strcmp(model, key->model) != 0)
        return b2_fail(BLIP2_EINVAL,
                       "%s: made with another model (SHA-256 %.12s..., this one is %.12s...)", file,
                       model, key->model);
    if (strcmp(text_of(metadata, "options"), key->options) != 0)
        return b2_fail(BLIP2_EINVAL, "%s: made with other options", file);
    if (strcmp(text_of(metadata, "inputs"), key->inputs) != 0)
        return b2_fail(BLIP2_EINVAL, "%s: made from other pictures or texts", file);
    return BLIP2_OK;
}

static bool has_shape(const b2_tensor *tensor, const b2_tensor_shape *expected) {
    bool equal = tensor->usable && tensor->type == expected->type && tensor->rank == expected->rank;

    for (uint32_t d = 0; d < expected->rank && equal; d++)
        equal = expected->dim[d] < 0 || tensor->dim[d] == expected->dim[d];
    return equal;
}

static blip2_status find(b2_part *part, size_t index, const b2_tensor_shape *expected,
                         const char *file) {
    char want[160], got[160];

    for (size_t i = 0; i < part->list.count; i++) {
        const b2_tensor *tensor = &part->list.item[i];

        if (strcmp(tensor->name, expected->name) != 0)
            continue;
        part->tensors[index] = *tensor;
        if (has_shape(tensor, expected))
            return BLIP2_OK;
        b2_shape_text(want, sizeof want, expected->rank, expected->dim);
        b2_shape_text(got, sizeof got, tensor->rank, tensor->dim);
        return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": expected %s %s, got %s %s", file,
                       expected->name, b2_type_name(expected->type), want, tensor->type_name, got);
    }
    return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\" is missing", file, expected->name);
}

/* Tensors lie in the file as they were written, so in the order of the sum. */
static blip2_status check_data(const b2_part *part, const char *file, const char *expected) {
    char hex[B2_SHA256_HEX];
    b2_sha256 sha;
    blip2_status status = BLIP2_OK;

    b2_sha256_init(&sha);
    for (size_t i = 0; i < part->list.count && status == BLIP2_OK; i++) {
        const b2_tensor *tensor = &part->list.item[i];

        status = check_finite(file, tensor->name, tensor->data, tensor->type, tensor->count);
        b2_sha256_update(&sha, tensor->data, tensor->bytes);
    }
    b2_sha256_final_hex(&sha, hex);
    if (status == BLIP2_OK && strcmp(hex, expected) != 0)
        return b2_fail(BLIP2_EFORMAT, "%s: damaged: its data have another SHA-256 than was written",
                       file);
    return status;
}

static blip2_status take_note(b2_part *part, const json_t *metadata) {
    const char *note = json_string_value(json_object_get(metadata, "note"));

    if (note != NULL && (part->note = b2_strdup(note)) == NULL)
        return b2_fail_memory();
    return BLIP2_OK;
}

blip2_status b2_part_open(b2_part *out, const char *path, const b2_part_key *key,
                          const b2_tensor_shape *expected, size_t count, bool quick) {
    const char *file = b2_file_name(path);
    json_t *metadata = NULL;
    blip2_status status;

    *out = (b2_part){0};
    if ((status = b2_file_map_open(&out->map, path)) < 0 ||
        (status = b2_safetensors_metadata(&metadata, &out->map, file)) < 0 ||
        (status = check_key(file, metadata, key)) < 0 ||
        (status = b2_safetensors_parse(&out->list, &out->map, file)) < 0)
        goto out;
    if (out->list.count != count) {
        status = b2_fail(BLIP2_EFORMAT, "%s: has %zu tensors, expected %zu", file, out->list.count,
                         count);
        goto out;
    }
    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        status = find(out, i, &expected[i], file);
    if (status == BLIP2_OK && !quick)
        status = check_data(out, file, text_of(metadata, "sha256"));
    if (status == BLIP2_OK)
        status = take_note(out, metadata);
out:
    json_decref(metadata);
    if (status < 0)
        b2_part_close(out);
    return status;
}

void b2_part_close(b2_part *part) {
    b2_free(part->note);
    b2_tensor_list_free(&part->list);
    b2_file_map_close(&part->map);
    *part = (b2_part){0};
}
