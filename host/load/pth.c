/* torch.save has two layouts:
 *   zip (since torch 1.6)  NAME/data.pkl, a pickle of the object, and NAME/data/KEY, the bytes of
 *                          the storage that the pickle mentions by KEY; all entries stored plainly
 *   legacy                 one after the other: pickles of a magic number, of the protocol number
 *                          and of facts on the machine, the pickle of the object, a pickle of the
 *                          list of keys, and for each key 8 bytes of element count and the data
 * Both give mentions of storages by key (pickle.h), which are resolved here, and then the tensors:
 * views of storages, each checked against the storage's bounds. */
#include "load/pth.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "load/pickle.h"
#include "load/zip.h"

static const uint8_t zip_start[] = {'P', 'K', 3, 4};
/* The pickles of 0x1950a86a20f9469cfc6c and of 1001. */
static const uint8_t legacy_start[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c,
                                       0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
                                       '.',  0x80, 2,    'M',  0xe9, 3,    '.'};

static bool starts_with(const b2_file_map *map, const uint8_t *start, size_t n) {
    return map->size >= n && memcmp(map->data, start, n) == 0;
}

bool b2_pth_is(const b2_file_map *map) {
    return starts_with(map, zip_start, sizeof zip_start) ||
           starts_with(map, legacy_start, 2); /* any pickle: its message will be the better one */
}

/* ---- storages ------------------------------------------------------------------------------- */

static blip2_status storage_size_fail(const b2_pickle_storage *s, const char *file, size_t got) {
    return b2_fail(BLIP2_EFORMAT, "%s: storage \"%.*s\": expected %zu bytes (%zu of %s), got %zu",
                   file, (int)s->key_length, s->key, s->bytes, s->count, s->type_name, got);
}

/* The one entry NAME/data.pkl. */
static blip2_status find_pickle(const b2_zip_entry **out, const b2_zip *zip, const char *file) {
    static const char suffix[] = "/data.pkl";
    size_t tail = sizeof suffix - 1;

    *out = NULL;
    for (size_t i = 0; i < zip->count; i++) {
        const b2_zip_entry *e = zip->entry + i;

        if (e->name_length <= tail || memcmp(e->name + e->name_length - tail, suffix, tail) != 0 ||
            memchr(e->name, '/', e->name_length - tail) != NULL)
            continue;
        if (*out != NULL)
            return b2_fail(BLIP2_EFORMAT, "%s: zip archive with two data.pkl", file);
        *out = e;
    }
    if (*out == NULL)
        return b2_fail(BLIP2_EFORMAT, "%s: zip archive without a data.pkl: not from torch.save",
                       file);
    return BLIP2_OK;
}

/* The entry NAME/middle+key, where `pickle` is NAME/data.pkl; NULL if there is none, or if NAME is
 * longer than a file's can be. */
static const b2_zip_entry *find_entry(const b2_zip *zip, const b2_zip_entry *pickle,
                                      const char *middle, const char *key, size_t key_length) {
    char name[512];
    size_t head = pickle->name_length - strlen("data.pkl"), body = strlen(middle);

    if (head > sizeof name - B2_PICKLE_MAX_KEY - body)
        return NULL;
    memcpy(name, pickle->name, head);
    memcpy(name + head, middle, body);
    memcpy(name + head + body, key, key_length);
    return b2_zip_find(zip, name, head + body + key_length);
}

static blip2_status resolve_zip(b2_pickle *pickle, const b2_zip *zip, const b2_zip_entry *entry,
                                const char *file) {
    for (size_t i = 0; i < pickle->storage_count; i++) {
        b2_pickle_storage *s = pickle->storage[i];
        const b2_zip_entry *data = find_entry(zip, entry, "data/", s->key, s->key_length);

        if (data == NULL)
            return b2_fail(BLIP2_EFORMAT, "%s: storage \"%.*s\" is not in the archive", file,
                           (int)s->key_length, s->key);
        if (data->size != s->bytes)
            return storage_size_fail(s, file, data->size);
        s->data = data->data;
    }
    return BLIP2_OK;
}

static blip2_status open_zip(b2_pickle *pickle, b2_arena *arena, const b2_file_map *map,
                             const char *file) {
    const b2_zip_entry *entry, *order;
    b2_zip zip;
    blip2_status status;

    if ((status = b2_zip_read(&zip, arena, map, file)) < 0 ||
        (status = find_pickle(&entry, &zip, file)) < 0)
        return status;
    order = find_entry(&zip, entry, "byteorder", "", 0);
    if (order != NULL && (order->size != 6 || memcmp(order->data, "little", 6) != 0))
        return b2_fail(BLIP2_EFORMAT, "%s: byteorder: expected \"little\"", file);
    status = b2_pickle_run(pickle, arena, entry->data, entry->size,
                           (size_t)(entry->data - map->data), file);
    return status < 0 ? status : resolve_zip(pickle, &zip, entry, file);
}

static int compare_keys(const b2_pickle_storage *a, const b2_pickle_storage *b) {
    int order = memcmp(a->key, b->key, b2_size_min(a->key_length, b->key_length));

    if (order != 0 || a->key_length == b->key_length)
        return order;
    return a->key_length < b->key_length ? -1 : 1;
}

static int by_key(const void *left, const void *right) {
    b2_pickle_storage *const *a = left, *const *b = right;

    return compare_keys(*a, *b);
}

/* The data of one key at *at, for all its mentions; *at moves behind them. */
static blip2_status place_storage(b2_pickle *pickle, const b2_pickle_value *key,
                                  const b2_file_map *map, size_t *at, const char *file) {
    b2_pickle_storage probe = {.key = key->text, .key_length = key->length}, *wanted = &probe;
    b2_pickle_storage **mention, **first = pickle->storage, **end = first + pickle->storage_count;
    size_t left = map->size - *at;
    uint64_t count;

    mention = first != NULL ? bsearch(&wanted, first, pickle->storage_count, sizeof *first, by_key)
                            : NULL;
    if (mention == NULL)
        return b2_fail(BLIP2_EFORMAT, "%s: storage \"%.*s\" belongs to no tensor", file,
                       (int)b2_size_min(key->length, 100), key->text);
    while (mention > first && compare_keys(mention[-1], wanted) == 0)
        mention--;
    if (left < sizeof count)
        return b2_fail(BLIP2_EFORMAT, "%s: file is cut short", file);
    memcpy(&count, map->data + *at, sizeof count);
    left -= sizeof count;
    wanted = *mention;
    if (count != wanted->count || wanted->bytes > left)
        return b2_fail(BLIP2_EFORMAT,
                       "%s: storage \"%.*s\": expected %zu of %s, got %llu and %zu bytes of file",
                       file, (int)wanted->key_length, wanted->key, wanted->count, wanted->type_name,
                       (unsigned long long)count, left);
    for (; mention < end && compare_keys(*mention, wanted) == 0; mention++) {
        if ((*mention)->data != NULL)
            return b2_fail(BLIP2_EFORMAT, "%s: storage \"%.*s\" is listed twice", file,
                           (int)wanted->key_length, wanted->key);
        if ((*mention)->bytes != wanted->bytes || (*mention)->element != wanted->element)
            return storage_size_fail(*mention, file, wanted->bytes);
        (*mention)->data = map->data + *at + sizeof count;
    }
    *at += sizeof count + wanted->bytes;
    return BLIP2_OK;
}

/* The list of keys at *at and the data that follow it. */
static blip2_status resolve_legacy(b2_pickle *pickle, b2_arena *arena, const b2_file_map *map,
                                   size_t at, const char *file) {
    b2_pickle keys;
    const b2_pickle_list *list;
    blip2_status status;

    status = b2_pickle_run(&keys, arena, map->data + at, map->size - at, at, file);
    if (status < 0)
        goto out;
    at += keys.used;
    if (keys.result.kind != B2_PICKLE_LIST) {
        status = b2_fail(BLIP2_EFORMAT, "%s: expected a list of storage keys", file);
        goto out;
    }
    list = keys.result.list;
    if (pickle->storage_count > 0)
        qsort(pickle->storage, pickle->storage_count, sizeof *pickle->storage, by_key);
    for (size_t i = 0; i < list->count && status == BLIP2_OK; i++)
        status = list->item[i].kind == B2_PICKLE_TEXT
                     ? place_storage(pickle, list->item + i, map, &at, file)
                     : b2_fail(BLIP2_EFORMAT, "%s: a storage key is no text", file);
    for (size_t i = 0; i < pickle->storage_count && status == BLIP2_OK; i++)
        if (pickle->storage[i]->data == NULL)
            status = b2_fail(BLIP2_EFORMAT, "%s: storage \"%.*s\" is not in the file", file,
                             (int)pickle->storage[i]->key_length, pickle->storage[i]->key);
    if (status == BLIP2_OK && at != map->size)
        status =
            b2_fail(BLIP2_EFORMAT, "%s: %zu bytes follow the last storage", file, map->size - at);
out:
    b2_pickle_free(&keys);
    return status;
}

static blip2_status open_legacy(b2_pickle *pickle, b2_arena *arena, const b2_file_map *map,
                                const char *file) {
    size_t at = sizeof legacy_start;
    const b2_pickle_value *little;
    b2_pickle facts;
    blip2_status status;

    if (!starts_with(map, legacy_start, sizeof legacy_start))
        return b2_fail(BLIP2_EFORMAT, "%s: a pickle, but not one of torch.save", file);
    status = b2_pickle_run(&facts, arena, map->data + at, map->size - at, at, file);
    if (status == BLIP2_OK) {
        at += facts.used;
        little = b2_pickle_get(&facts.result, "little_endian");
        if (little == NULL || little->kind != B2_PICKLE_BOOL || little->integer == 0)
            status = b2_fail(BLIP2_EFORMAT, "%s: little_endian: expected true", file);
    }
    b2_pickle_free(&facts);
    if (status < 0 ||
        (status = b2_pickle_run(pickle, arena, map->data + at, map->size - at, at, file)) < 0)
        return status;
    return resolve_legacy(pickle, arena, map, at + pickle->used, file);
}

/* ---- tensors -------------------------------------------------------------------------------- */

/* Elements of the tensor; also whether it is contiguous and inside its storage. */
static blip2_status measure(const b2_pickle_tensor *from, b2_tensor *t, bool *contiguous) {
    const b2_pickle_storage *s = from->storage;
    size_t last = 0, reach; /* offset of the last element from the first; 1 + of the last */
    size_t expected = 1;

    t->count = 1;
    *contiguous = true;
    for (uint32_t i = 0; i < from->rank; i++)
        if (!b2_size_mul(t->count, (size_t)from->dim[i], &t->count))
            goto overflow;
    for (uint32_t i = from->rank; i-- > 0 && t->count > 0;) {
        size_t step;

        /* No overflow of expected: it divides the count. */
        if (from->dim[i] != 1 && (size_t)from->stride[i] != expected)
            *contiguous = false;
        expected *= (size_t)from->dim[i];
        if (!b2_size_mul((size_t)from->dim[i] - 1, (size_t)from->stride[i], &step) ||
            !b2_size_add(last, step, &last))
            goto overflow;
    }
    if (!b2_size_mul(t->count, s->element, &t->bytes))
        goto overflow;
    if (!b2_size_add(from->offset, last, &reach) ||
        !b2_size_add(reach, t->count > 0 ? 1 : 0, &reach) || reach > s->count)
        return b2_fail(BLIP2_EFORMAT,
                       "%s: tensor \"%s\": reaches beyond its storage of %zu elements", t->file,
                       t->name, s->count);
    return BLIP2_OK;
overflow:
    return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": its size overflows", t->file, t->name);
}

/* A dense copy of a view with gaps or in another order. */
static blip2_status copy_view(b2_tensor_list *list, const b2_pickle_tensor *from, b2_tensor *t,
                              size_t *budget) {
    size_t element = from->storage->element;
    int64_t index[B2_MAX_RANK] = {0};
    unsigned char *to;

    /* Views that repeat elements could ask for any amount of memory. */
    if (t->count > from->storage->count || t->bytes > *budget)
        return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": a view that repeats its storage", t->file,
                       t->name);
    *budget -= t->bytes;
    if ((to = b2_arena_alloc(&list->arena, t->count, element)) == NULL)
        return b2_fail_memory();
    t->data = to;
    for (size_t i = 0; i < t->count; i++, to += element) {
        size_t at = from->offset;

        for (uint32_t d = 0; d < from->rank; d++)
            at += (size_t)(index[d] * from->stride[d]);
        memcpy(to, from->storage->data + at * element, element);
        for (uint32_t d = from->rank; d-- > 0 && ++index[d] == from->dim[d];)
            index[d] = 0;
    }
    return BLIP2_OK;
}

static blip2_status add_tensor(b2_tensor_list *list, const b2_pickle_value *key,
                               const b2_pickle_tensor *from, const char *file, size_t *budget) {
    const b2_pickle_storage *s = from->storage;
    b2_tensor t = {.file = file,
                   .type = s->type,
                   .type_name = s->type_name,
                   .usable = s->usable,
                   .rank = from->rank};
    bool contiguous;
    blip2_status status;

    for (size_t i = 0; i < key->length; i++)
        if (key->text[i] < 0x20 || key->text[i] > 0x7e)
            return b2_fail(BLIP2_EFORMAT, "%s: a tensor's name is not plain ASCII text", file);
    if ((t.name = b2_arena_strndup(&list->arena, key->text, key->length)) == NULL)
        return b2_fail_memory();
    memcpy(t.dim, from->dim, sizeof t.dim);
    if ((status = measure(from, &t, &contiguous)) < 0)
        return status;
    if (contiguous)
        t.data = s->data + from->offset * s->element;
    else if ((status = copy_view(list, from, &t, budget)) < 0)
        return status;
    return b2_tensor_list_add(list, &t);
}

/* The state dict is the file's object, or what stands under "model" beside the optimizer's state
 * and other things of a training run. */
static blip2_status add_tensors(b2_tensor_list *list, const b2_pickle *pickle, size_t budget,
                                const char *file) {
    const b2_pickle_value *dict = &pickle->result, *model = b2_pickle_get(dict, "model");
    size_t before = list->count;

    if (model != NULL && model->kind == B2_PICKLE_DICT)
        dict = model;
    if (dict->kind != B2_PICKLE_DICT)
        return b2_fail(BLIP2_EFORMAT, "%s: expected a dict of tensors", file);
    for (size_t i = 0; i + 1 < dict->list->count; i += 2) {
        const b2_pickle_value *key = dict->list->item + i, *value = key + 1;
        blip2_status status;

        if (key->kind != B2_PICKLE_TEXT || value->kind != B2_PICKLE_TENSOR)
            continue;
        status = add_tensor(list, key, value->tensor, file, &budget);
        if (status < 0)
            return status;
    }
    if (list->count == before)
        return b2_fail(BLIP2_EFORMAT, "%s: no tensors in it", file);
    return BLIP2_OK;
}

blip2_status b2_pth_parse(b2_tensor_list *list, const b2_file_map *map, const char *file) {
    b2_arena arena = {0}; /* of the pickle's values: gone at the end */
    b2_pickle pickle = {0};
    blip2_status status;

    status = starts_with(map, zip_start, sizeof zip_start)
                 ? open_zip(&pickle, &arena, map, file)
                 : open_legacy(&pickle, &arena, map, file);
    /* Copies of views may take as much as the file. */
    if (status == BLIP2_OK)
        status = add_tensors(list, &pickle, map->size, file);
    b2_pickle_free(&pickle);
    b2_arena_free(&arena);
    return status;
}
