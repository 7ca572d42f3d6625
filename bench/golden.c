#include "golden.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "load/json.h"

enum { MAX_CASE_BYTES = 64 << 20 };

blip2_status golden_bad(const golden_case *golden, const char *key, const char *expected,
                        const json_t *value) {
    b2_fields fields = golden_fields(golden, "");

    b2_field_fail(&fields, key, expected, value);
    return golden_check(&fields);
}

b2_fields golden_fields(const golden_case *golden, const char *section) {
    return (b2_fields){.file = golden->file, .section = section};
}

blip2_status golden_check(const b2_fields *fields) {
    return fields->status == BLIP2_EFORMAT ? BLIP2_EINVAL : fields->status;
}

char *golden_path(const golden_case *golden, const char *relative) {
    return b2_path_join(golden->directory, relative);
}

bool golden_is_case(const char *directory) {
    char *file = b2_path_join(directory, "case.json");
    struct stat info;
    bool is = file != NULL && stat(file, &info) == 0;

    b2_free(file);
    return is;
}

/* case.json, as jansson reads it and not as b2_json_parse: test texts have a NUL in them. */
static blip2_status read_json(golden_case *out) {
    json_error_t error;
    uint8_t *text;
    size_t size;
    blip2_status status = b2_file_read(&text, &size, out->file, MAX_CASE_BYTES);

    if (status < 0)
        return status == BLIP2_EFORMAT ? BLIP2_EINVAL : status;
    out->json =
        json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    b2_free(text);
    if (out->json == NULL)
        return b2_fail(BLIP2_EINVAL, "%s: line %d, column %d: not valid JSON: %s", out->file,
                       error.line, error.column, error.text);
    return BLIP2_OK;
}

static blip2_status read_parts(golden_case *out) {
    const json_t *name = json_object_get(out->json, "name");
    const json_t *tolerance = json_object_get(out->json, "tolerance");

    out->model = json_object_get(out->json, "model");
    out->inputs = json_object_get(out->json, "inputs");
    out->expect = json_object_get(out->json, "expect");
    out->tolerance = tolerance;
    if (!json_is_string(name))
        return golden_bad(out, "name", "a string", name);
    out->name = json_string_value(name);
    if (out->model != NULL && !json_is_string(out->model) && !json_is_object(out->model))
        return golden_bad(out, "model", "a string or an object", out->model);
    if (!json_is_object(out->inputs))
        return golden_bad(out, "inputs", "an object", out->inputs);
    if (!json_is_object(out->expect) || json_object_size(out->expect) == 0)
        return golden_bad(out, "expect", "an object with something in it", out->expect);
    if (!json_is_object(tolerance) &&
        (!json_is_string(tolerance) || strcmp(json_string_value(tolerance), "exact") != 0))
        return golden_bad(out, "tolerance", "an object or \"exact\"", tolerance);
    return BLIP2_OK;
}

static blip2_status open_tensors(const golden_case *golden, const char *relative,
                                 b2_weights **out) {
    char *path = golden_path(golden, relative);
    blip2_status status;

    if (path == NULL)
        return b2_fail_memory();
    status = b2_weights_open(out, path, NULL);
    b2_free(path);
    return status == BLIP2_EFORMAT ? BLIP2_EINVAL : status;
}

/* `names` gives each tensor a shape; the file must agree. */
static blip2_status check_tensors(const golden_case *golden, const json_t *names,
                                  const b2_weights *file) {
    const char *name;
    json_t *entry;

    json_object_foreach((json_t *)(uintptr_t)names, name, entry) {
        const json_t *shape = json_object_get(entry, "shape");
        const b2_tensor *tensor = b2_weights_find(file, name);
        bool fits = tensor != NULL && tensor->usable && json_is_array(shape) &&
                    json_array_size(shape) == tensor->rank && tensor->rank > 0;

        for (size_t i = 0; fits && i < tensor->rank; i++)
            fits = json_integer_value(json_array_get(shape, i)) == tensor->dim[i];
        if (!fits)
            return b2_fail(BLIP2_EINVAL,
                           "%s: tensor \"%s\" is not in the file, or not of the shape "
                           "that case.json gives it",
                           golden->file, name);
    }
    return BLIP2_OK;
}

static blip2_status read_given(golden_case *out) {
    const json_t *tensors = json_object_get(out->inputs, "tensors");
    const json_t *file = json_object_get(tensors, "file");
    const json_t *names = json_object_get(tensors, "names");
    blip2_status status;

    if (tensors == NULL)
        return BLIP2_OK;
    if (!json_is_string(file))
        return golden_bad(out, "inputs.tensors.file", "a string", file);
    if (!json_is_object(names))
        return golden_bad(out, "inputs.tensors.names", "an object", names);
    status = open_tensors(out, json_string_value(file), &out->given_tensors);
    return status < 0 ? status : check_tensors(out, names, out->given_tensors);
}

static blip2_status read_expected(golden_case *out) {
    const json_t *file = json_object_get(out->expect, "tensors");
    const char *name;
    json_t *entry;
    golden_tolerance unused;
    blip2_status status;

    out->tensor_names = json_object_get(out->expect, "tensor_names");
    if (file == NULL && out->tensor_names == NULL)
        return BLIP2_OK;
    if (!json_is_string(file))
        return golden_bad(out, "expect.tensors", "a string", file);
    if (!json_is_object(out->tensor_names))
        return golden_bad(out, "expect.tensor_names", "an object", out->tensor_names);
    if ((status = open_tensors(out, json_string_value(file), &out->expect_tensors)) < 0 ||
        (status = check_tensors(out, out->tensor_names, out->expect_tensors)) < 0)
        return status;
    if (json_object_size(out->tensor_names) != b2_weights_count(out->expect_tensors))
        return b2_fail(BLIP2_EINVAL, "%s: expect.tensor_names names %zu tensors, the file has %zu",
                       out->file, json_object_size(out->tensor_names),
                       b2_weights_count(out->expect_tensors));
    json_object_foreach((json_t *)(uintptr_t)out->tensor_names, name, entry) {
        if ((status = golden_tolerance_of(out, name, &unused)) < 0)
            return status;
    }
    return BLIP2_OK;
}

blip2_status golden_open(golden_case *out, const char *directory) {
    blip2_status status;

    *out = (golden_case){.directory = b2_strdup(directory),
                         .file = b2_path_join(directory, "case.json")};
    if (out->directory == NULL || out->file == NULL)
        status = b2_fail_memory();
    else if ((status = read_json(out)) == BLIP2_OK && (status = read_parts(out)) == BLIP2_OK &&
             (status = read_given(out)) == BLIP2_OK)
        status = read_expected(out);
    if (status < 0)
        golden_close(out);
    return status;
}

void golden_close(golden_case *golden) {
    b2_weights_close(golden->given_tensors);
    b2_weights_close(golden->expect_tensors);
    json_decref(golden->json);
    b2_free(golden->file);
    b2_free(golden->directory);
    *golden = (golden_case){0};
}

blip2_status golden_only(const json_t *object, const char *section, const char *const *known) {
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        bool is_known = false;

        for (size_t i = 0; known[i] != NULL && !is_known; i++)
            is_known = strcmp(known[i], key) == 0;
        if (!is_known)
            return b2_fail(BLIP2_ENOTSUP, "%s%s", section, key);
    }
    return BLIP2_OK;
}

blip2_status golden_strings(const golden_case *golden, const char *key, const json_t **out) {
    char where[64];

    *out = json_object_get(golden->inputs, key);
    (void)snprintf(where, sizeof where, "inputs.%s", key);
    if (!json_is_array(*out))
        return golden_bad(golden, where, "an array of strings", *out);
    for (size_t i = 0; i < json_array_size(*out); i++)
        if (!json_is_string(json_array_get(*out, i)))
            return golden_bad(golden, where, "strings in the array", json_array_get(*out, i));
    return BLIP2_OK;
}

static bool number(const json_t *object, const char *key, double *out) {
    const json_t *value = json_object_get(object, key);

    if (!json_is_number(value) || !(json_number_value(value) >= 0))
        return false;
    *out = json_number_value(value);
    return true;
}

blip2_status golden_tolerance_of(const golden_case *golden, const char *tensor,
                                 golden_tolerance *out) {
    const json_t *entry = json_object_get(json_object_get(golden->tolerance, "tensors"), tensor);
    size_t keys = json_object_size(entry);
    char where[128];

    *out = (golden_tolerance){.mean_abs = INFINITY};
    if (json_is_string(entry) && strcmp(json_string_value(entry), "exact") == 0)
        return BLIP2_OK;
    if (number(entry, "atol", &out->atol) && number(entry, "rtol", &out->rtol) &&
        (keys == 2 || (keys == 3 && number(entry, "mean_abs", &out->mean_abs))))
        return BLIP2_OK;
    (void)snprintf(where, sizeof where, "tolerance.tensors.%s", tensor);
    return golden_bad(golden, where, "\"exact\" or {atol, rtol[, mean_abs]}", entry);
}

blip2_status golden_given(const golden_case *golden, const char *name, uint32_t rank, float **out,
                          int64_t *dims) {
    const b2_tensor *tensor =
        golden->given_tensors != NULL ? b2_weights_find(golden->given_tensors, name) : NULL;

    *out = NULL;
    if (tensor == NULL || !tensor->usable || tensor->type != B2_F32 || tensor->rank != rank)
        return b2_fail(BLIP2_EINVAL, "%s: inputs.tensors: expected \"%s\", F32 of %u dimensions",
                       golden->file, name, rank);
    if ((*out = b2_alloc_array(tensor->count, sizeof **out)) == NULL)
        return b2_fail_memory();
    memcpy(dims, tensor->dim, rank * sizeof *dims);
    b2_to_f32(*out, tensor->data, tensor->type, tensor->count);
    return BLIP2_OK;
}

blip2_status golden_given_ids(const golden_case *golden, const char *name, uint32_t rank,
                              int32_t **out, int64_t *dims) {
    const b2_tensor *tensor =
        golden->given_tensors != NULL ? b2_weights_find(golden->given_tensors, name) : NULL;
    size_t size;

    *out = NULL;
    if (tensor == NULL || !tensor->usable || tensor->rank != rank ||
        (tensor->type != B2_I64 && tensor->type != B2_I32))
        return b2_fail(BLIP2_EINVAL, "%s: inputs.tensors: expected \"%s\", I64 of %u dimensions",
                       golden->file, name, rank);
    if ((*out = b2_alloc_array(tensor->count, sizeof **out)) == NULL)
        return b2_fail_memory();
    memcpy(dims, tensor->dim, rank * sizeof *dims);
    size = b2_type_size(tensor->type);
    for (size_t i = 0; i < tensor->count; i++) {
        int64_t wide = 0;

        if (tensor->type == B2_I64)
            memcpy(&wide, (const char *)tensor->data + i * size, size);
        else
            memcpy(*out + i, (const char *)tensor->data + i * size, size);
        if (wide < INT32_MIN || wide > INT32_MAX) {
            b2_free(*out);
            *out = NULL;
            return b2_fail(BLIP2_EINVAL, "%s: inputs.tensors: \"%s\" has %lld", golden->file, name,
                           (long long)wide);
        }
        if (tensor->type == B2_I64)
            (*out)[i] = (int32_t)wide;
    }
    return BLIP2_OK;
}
