/* The calls of a tensor pickle. A tensor is written as
 *     torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)
 * where storage is the persistent id ("storage", torch.FloatStorage, key, device, elements). */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "load/pickle_internal.h"

#define STORAGE(class, type_name, bytes, usable, type)                                             \
    { "torch", class, B2_CALL_STORAGE, type_name, bytes, usable, type }

static const b2_pickle_name names[] = {
    {"collections", "OrderedDict", B2_CALL_ORDERED_DICT, NULL, 0, false, B2_U8},
    {"torch._utils", "_rebuild_tensor_v2", B2_CALL_REBUILD_TENSOR, NULL, 0, false, B2_U8},
    {"torch._utils", "_rebuild_parameter", B2_CALL_REBUILD_PARAMETER, NULL, 0, false, B2_U8},
    STORAGE("FloatStorage", "F32", 4, true, B2_F32),
    STORAGE("HalfStorage", "F16", 2, true, B2_F16),
    STORAGE("BFloat16Storage", "BF16", 2, true, B2_BF16),
    STORAGE("LongStorage", "I64", 8, true, B2_I64),
    STORAGE("IntStorage", "I32", 4, true, B2_I32),
    STORAGE("ByteStorage", "U8", 1, true, B2_U8),
    STORAGE("BoolStorage", "BOOL", 1, false, B2_U8),
    STORAGE("CharStorage", "I8", 1, false, B2_U8),
    STORAGE("ShortStorage", "I16", 2, false, B2_U8),
    STORAGE("DoubleStorage", "F64", 8, false, B2_U8),
    STORAGE("ComplexFloatStorage", "C64", 8, false, B2_U8),
};

static bool same(const char *text, const char *bytes, size_t length) {
    return strlen(text) == length && memcmp(text, bytes, length) == 0;
}

const b2_pickle_name *b2_pickle_find_name(const char *module, size_t module_length,
                                          const char *name, size_t name_length) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (same(names[i].module, module, module_length) && same(names[i].name, name, name_length))
            return names + i;
    return NULL;
}

/* Item i of a tuple if it has this kind, else NULL. */
static const b2_pickle_value *item(const b2_pickle_value *tuple, size_t i, b2_pickle_kind kind) {
    return i < tuple->list->count && tuple->list->item[i].kind == kind ? tuple->list->item + i
                                                                       : NULL;
}

/* A tuple of integers >= 0 into out; false for anything else. */
static bool read_dims(const b2_pickle_value *tuple, int64_t *out) {
    for (size_t i = 0; i < tuple->list->count; i++) {
        const b2_pickle_value *value = item(tuple, i, B2_PICKLE_INT);

        if (value == NULL || value->integer < 0)
            return false;
        out[i] = value->integer;
    }
    return true;
}

static blip2_status rebuild_tensor(b2_pickle_machine *m, const b2_pickle_value *arguments,
                                   b2_pickle_value *result) {
    const b2_pickle_value *storage = item(arguments, 0, B2_PICKLE_STORAGE);
    const b2_pickle_value *offset = item(arguments, 1, B2_PICKLE_INT);
    const b2_pickle_value *dim = item(arguments, 2, B2_PICKLE_TUPLE);
    const b2_pickle_value *stride = item(arguments, 3, B2_PICKLE_TUPLE);
    b2_pickle_tensor *tensor;

    if (storage == NULL || offset == NULL || offset->integer < 0 || dim == NULL || stride == NULL ||
        dim->list->count != stride->list->count)
        return b2_pickle_fail(m, "a tensor with arguments of the wrong kinds");
    if (dim->list->count > B2_MAX_RANK)
        return b2_pickle_fail(m, "a tensor with more than 8 dimensions");
    if ((tensor = b2_arena_alloc(m->arena, 1, sizeof *tensor)) == NULL)
        return b2_fail_memory();
    *tensor = (b2_pickle_tensor){.storage = storage->storage,
                                 .offset = (size_t)offset->integer,
                                 .rank = (uint32_t)dim->list->count};
    if (!read_dims(dim, tensor->dim) || !read_dims(stride, tensor->stride))
        return b2_pickle_fail(m, "a tensor with sizes or strides that are no integers >= 0");
    *result = (b2_pickle_value){.kind = B2_PICKLE_TENSOR, .tensor = tensor};
    return BLIP2_OK;
}

blip2_status b2_pickle_reduce(b2_pickle_machine *m, const b2_pickle_value *function,
                              const b2_pickle_value *arguments, b2_pickle_value *result) {
    if (function->kind != B2_PICKLE_GLOBAL || arguments->kind != B2_PICKLE_TUPLE)
        return b2_pickle_fail(m, "a call of something that is no function");
    switch (function->name->call) {
    case B2_CALL_ORDERED_DICT:
        if (arguments->list->count != 0)
            return b2_pickle_fail(m, "an OrderedDict with arguments");
        return b2_pickle_new_list(m, B2_PICKLE_DICT, result);
    case B2_CALL_REBUILD_TENSOR:
        return rebuild_tensor(m, arguments, result);
    case B2_CALL_REBUILD_PARAMETER: /* (tensor, requires_grad, hooks) */
        if (item(arguments, 0, B2_PICKLE_TENSOR) == NULL)
            return b2_pickle_fail(m, "a parameter that is no tensor");
        *result = arguments->list->item[0];
        return BLIP2_OK;
    case B2_CALL_STORAGE:
        break;
    }
    return b2_pickle_fail(m, "a storage class called as a function");
}

static blip2_status keep_mention(b2_pickle *out, b2_pickle_storage *storage) {
    if (out->storage_count == out->storage_capacity) {
        size_t capacity = out->storage_capacity > 0 ? out->storage_capacity * 2 : 256;
        b2_pickle_storage **grown = b2_realloc_array(out->storage, capacity, sizeof *grown);

        if (grown == NULL)
            return b2_fail_memory();
        out->storage = grown;
        out->storage_capacity = capacity;
    }
    out->storage[out->storage_count++] = storage;
    return BLIP2_OK;
}

blip2_status b2_pickle_persistent(b2_pickle_machine *m, const b2_pickle_value *id,
                                  b2_pickle_value *result) {
    const b2_pickle_value *class, *key, *count;
    b2_pickle_storage *storage;

    if (id->kind != B2_PICKLE_TUPLE || id->list->count < 5 ||
        !b2_pickle_is_text(id->list->item, "storage") ||
        (class = item(id, 1, B2_PICKLE_GLOBAL)) == NULL || class->name->call != B2_CALL_STORAGE ||
        (key = item(id, 2, B2_PICKLE_TEXT)) == NULL ||
        (count = item(id, 4, B2_PICKLE_INT)) == NULL || count->integer < 0)
        return b2_pickle_fail(m, "a persistent id that is no storage");
    if (key->length > B2_PICKLE_MAX_KEY)
        return b2_pickle_fail(m, "a storage key of %u bytes, expected at most %d", key->length,
                              B2_PICKLE_MAX_KEY);
    /* Before torch 0.4 a sixth element could describe a view of a storage. */
    if (id->list->count > 6 || (id->list->count == 6 && item(id, 5, B2_PICKLE_NONE) == NULL))
        return b2_pickle_fail(m, "a storage that is a view");
    if ((storage = b2_arena_alloc(m->arena, 1, sizeof *storage)) == NULL)
        return b2_fail_memory();
    *storage = (b2_pickle_storage){.key = key->text,
                                   .key_length = key->length,
                                   .type_name = class->name->type_name,
                                   .type = class->name->type,
                                   .usable = class->name->usable,
                                   .element = class->name->element,
                                   .count = (size_t)count->integer};
    if (!b2_size_mul(storage->count, storage->element, &storage->bytes))
        return b2_pickle_fail(m, "a storage whose size overflows");
    *result = (b2_pickle_value){.kind = B2_PICKLE_STORAGE, .storage = storage};
    return keep_mention(m->out, storage);
}
