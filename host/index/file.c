#include "index/file.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

static const struct field {
    const char *name;
    uint32_t rank;
    b2_type type; /* B2_F32: or F16 */
} fields[] = {{"sizes", 1, B2_I64},   {"times", 1, B2_I64}, {"path_ends", 1, B2_I64},
              {"vectors", 3, B2_F32}, {"pixels", 2, B2_U8}, {"paths", 1, B2_U8}};
enum { SIZES, TIMES, PATH_ENDS, VECTORS, PIXELS, PATHS, FIELDS, DIGEST = 32 };

blip2_status b2_index_model(char out[B2_INDEX_MODEL], const blip2_model *model) {
    char hex[B2_SHA256_HEX];
    blip2_status status = blip2_model_digest(model, hex);

    if (status == BLIP2_OK)
        (void)snprintf(out, B2_INDEX_MODEL, "%.60s %.16s", b2_model_name(model), hex);
    return status;
}

blip2_status b2_index_file_check(const b2_index_file *file, const blip2_model *model) {
    char name[B2_INDEX_MODEL];
    blip2_status status = b2_index_model(name, model);

    if (status < 0)
        return status;
    if (strcmp(name, file->model) != 0)
        return b2_fail(BLIP2_EINVAL, "%s: is an index of the model %s, not of %s", file->name,
                       file->model, name);
    if (file->queries != model->config.qformer.queries ||
        file->width != (size_t)model->stage1.text.rows)
        return b2_fail(BLIP2_EFORMAT,
                       "%s: has %zu vectors of %zu numbers a picture, the model %u of %zu",
                       file->name, file->queries, file->width, model->config.qformer.queries,
                       (size_t)model->stage1.text.rows);
    return BLIP2_OK;
}

/* ---- opening ------------------------------------------------------------------------------ */

static blip2_status bad(const b2_index_file *file, const char *what) {
    return b2_fail(BLIP2_EFORMAT, "%s: %s", file->name, what);
}

/* One text of the metadata. */
static blip2_status read_text(const b2_index_file *file, const json_t *metadata, const char *key,
                              const char **out) {
    *out = json_string_value(json_object_get(metadata, key));
    return *out != NULL ? BLIP2_OK
                        : b2_fail(BLIP2_EFORMAT, "%s: is no index: no \"%s\" in its metadata",
                                  file->name, key);
}

static blip2_status read_metadata(b2_index_file *file) {
    const char *format, *version, *model;
    json_t *metadata;
    blip2_status status = b2_safetensors_metadata(&metadata, &file->map, file->name);

    if (status < 0)
        return status;
    if ((status = read_text(file, metadata, "format", &format)) < 0)
        goto out;
    if (strcmp(format, "blip2 index") != 0) {
        status =
            b2_fail(BLIP2_EFORMAT, "%s: is no index: its format is \"%.40s\"", file->name, format);
        goto out;
    }
    if ((status = read_text(file, metadata, "version", &version)) < 0 ||
        (status = read_text(file, metadata, "model", &model)) < 0)
        goto out;
    if (strcmp(version, "1") != 0)
        status = b2_fail(BLIP2_ENOTSUP, "%s: is an index of version %.20s, this program reads 1",
                         file->name, version);
    else if (strlen(model) >= sizeof file->model)
        status = bad(file, "the name of its model is too long");
    else
        memcpy(file->model, model, strlen(model) + 1);
out:
    json_decref(metadata);
    return status;
}

static const b2_tensor *find(const b2_tensor_list *list, const char *name) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->item[i].name, name) == 0)
            return &list->item[i];
    return NULL;
}

/* Type, rank and first dimension of all tensors. */
static blip2_status find_fields(const b2_index_file *file, const b2_tensor *out[FIELDS]) {
    for (size_t i = 0; i < FIELDS; i++) {
        const b2_tensor *t = find(&file->list, fields[i].name);

        if (t == NULL)
            return b2_fail(BLIP2_EFORMAT, "%s: is no index: no tensor \"%s\"", file->name,
                           fields[i].name);
        if (!t->usable || t->rank != fields[i].rank ||
            (t->type != fields[i].type && !(i == VECTORS && t->type == B2_F16)))
            return b2_fail(BLIP2_EFORMAT,
                           "%s: tensor \"%s\": expected %s of rank %u, got %s of rank %u",
                           file->name, t->name, b2_type_name(fields[i].type), fields[i].rank,
                           t->type_name, t->rank);
        if ((uintptr_t)t->data % b2_type_size(t->type) != 0)
            return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": is not aligned", file->name, t->name);
        if (i != PATHS && out[0] != NULL && t->dim[0] != out[0]->dim[0])
            return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": has %lld rows, expected %lld",
                           file->name, t->name, (long long)t->dim[0], (long long)out[0]->dim[0]);
        out[i] = t;
    }
    return BLIP2_OK;
}

/* Every path is a text of its own. */
static blip2_status check_paths(const b2_index_file *file, size_t bytes) {
    size_t at = 0;

    for (size_t i = 0; i < file->count; i++) {
        size_t end = (size_t)file->path_ends[i];

        if (file->path_ends[i] < 0 || end > bytes || end < at + 2 ||
            memchr(file->paths + at, '\0', end - at) != file->paths + end - 1)
            return b2_fail(BLIP2_EFORMAT, "%s: picture %zu: its path is broken", file->name, i);
        at = end;
    }
    return at == bytes ? BLIP2_OK : bad(file, "more paths than pictures");
}

static blip2_status take_fields(b2_index_file *file) {
    const b2_tensor *t[FIELDS] = {0};
    blip2_status status = find_fields(file, t);
    size_t rows;

    if (status < 0)
        return status;
    file->count = (size_t)t[VECTORS]->dim[0];
    file->queries = (size_t)t[VECTORS]->dim[1];
    file->width = (size_t)t[VECTORS]->dim[2];
    file->type = t[VECTORS]->type;
    file->vectors = t[VECTORS]->data;
    file->sizes = t[SIZES]->data;
    file->times = t[TIMES]->data;
    file->path_ends = t[PATH_ENDS]->data;
    file->pixels = t[PIXELS]->data;
    file->paths = t[PATHS]->data;
    if (file->count == 0 || file->queries == 0 || file->width == 0)
        return bad(file, "has no vectors");
    if (t[PIXELS]->dim[1] != DIGEST)
        return bad(file, "tensor \"pixels\": expected 32 bytes a picture");
    if (!b2_size_mul(file->count, file->queries, &rows) || rows > INT32_MAX)
        return bad(file, "has more vectors than this program can search");
    return check_paths(file, t[PATHS]->count);
}

blip2_status b2_index_file_open(b2_index_file *out, const char *path) {
    blip2_status status;

    *out = (b2_index_file){.name = b2_strdup(path)};
    if (out->name == NULL)
        return b2_fail_memory();
    if ((status = b2_file_map_open(&out->map, path)) < 0 ||
        (status = b2_safetensors_parse(&out->list, &out->map, out->name)) < 0 ||
        (status = read_metadata(out)) < 0 || (status = take_fields(out)) < 0)
        b2_index_file_close(out);
    return status;
}

void b2_index_file_close(b2_index_file *file) {
    b2_tensor_list_free(&file->list);
    b2_file_map_close(&file->map);
    b2_free(file->name);
    *file = (b2_index_file){0};
}

const char *b2_index_file_path(const b2_index_file *file, size_t picture) {
    return file->paths + (picture > 0 ? (size_t)file->path_ends[picture - 1] : 0);
}

blip2_status b2_index_file_broken(const b2_index_file *file, size_t picture) {
    return b2_fail(BLIP2_EFORMAT, "%s: picture %zu (%s): its vectors are no numbers", file->name,
                   picture, b2_index_file_path(file, picture));
}
