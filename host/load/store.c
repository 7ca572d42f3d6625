/* Opening: which files a folder consists of, and their tensors in one list. */
#include "load/store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "load/json.h"
#include "load/pth.h"
#include "load/safetensors.h"

/* What transformers looks for, in its order. */
static const char *const file_names[] = {"model.safetensors", "model.safetensors.index.json",
                                         "pytorch_model.bin", "pytorch_model.bin.index.json"};
static const char index_suffix[] = ".index.json";
enum { MAX_INDEX_BYTES = 100000000 };

static bool ends_with(const char *text, const char *suffix) {
    size_t length = strlen(text), tail = strlen(suffix);

    return length >= tail && strcmp(text + length - tail, suffix) == 0;
}

/* Map one file and append its tensors. */
static blip2_status add_file(b2_weights *w, const char *path) {
    const char *base = b2_file_name(path);
    const char *name = b2_arena_strndup(&w->list.arena, base, strlen(base));
    b2_file_map *maps = b2_realloc_array(w->maps, w->map_count + 1, sizeof *maps);
    blip2_status status;

    if (maps != NULL)
        w->maps = maps;
    if (maps == NULL || name == NULL)
        return b2_fail_memory();
    if ((status = b2_file_map_open(maps + w->map_count, path)) < 0)
        return status;
    /* Kept even if the file turns out to be bad: whoever opened the list closes its maps. */
    w->map_count++;
    if (b2_pth_is(maps + w->map_count - 1))
        return b2_pth_parse(&w->list, maps + w->map_count - 1, name);
    return b2_safetensors_parse(&w->list, maps + w->map_count - 1, name);
}

static int by_text(const void *left, const void *right) {
    const char *const *a = left, *const *b = right;

    return strcmp(*a, *b);
}

static int by_name(const void *left, const void *right) {
    b2_tensor *const *a = left, *const *b = right;

    return strcmp((*a)->name, (*b)->name);
}

/* Rebuild what is derived from the list; the same name twice is an error. */
static blip2_status index_names(b2_weights *w, size_t old_count) {
    size_t count = w->list.count;
    b2_tensor **sorted = b2_alloc_array(count, sizeof *sorted);
    b2_tensor_use *use = b2_calloc(count, sizeof *use);
    blip2_status status = BLIP2_OK;

    if (sorted == NULL || use == NULL) {
        status = b2_fail_memory();
        goto fail;
    }
    for (size_t i = 0; i < count; i++)
        sorted[i] = w->list.item + i;
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t i = 1; i < count; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) != 0)
            continue;
        status = b2_fail(BLIP2_EFORMAT, "tensor \"%s\" is in both %s and %s", sorted[i]->name,
                         sorted[i - 1]->file, sorted[i]->file);
        goto fail;
    }
    if (old_count > 0)
        memcpy(use, w->use, old_count * sizeof *use);
    b2_free(w->sorted);
    b2_free(w->use);
    w->sorted = sorted;
    w->use = use;
    for (size_t i = 0; i < count && !w->lavis; i++)
        w->lavis = strncmp(w->list.item[i].name, "Qformer.", 8) == 0 ||
                   strncmp(w->list.item[i].name, "visual_encoder.", 15) == 0;
    return BLIP2_OK;
fail:
    b2_free(sorted);
    b2_free(use);
    return status;
}

/* The shard of a tensor in the index: a plain file name, so that an index can't reach elsewhere. */
static blip2_status shard_name(const char **out, const json_t *value, const char *tensor,
                               const char *index) {
    const char *name = json_string_value(value);

    if (name == NULL || *name == '\0' || strchr(name, '/') != NULL || strcmp(name, ".") == 0 ||
        strcmp(name, "..") == 0)
        return b2_fail(BLIP2_EFORMAT, "%s: weight_map.%.200s: expected a plain file name", index,
                       tensor);
    *out = name;
    return BLIP2_OK;
}

/* The index and its shards must agree: each tensor where the index says. A tensor that the index
 * leaves out is only told of, as in transformers. map is emptied on the way. */
static blip2_status check_index(const b2_weights *w, size_t first, json_t *map, const char *index) {
    const char *name, *shard;

    for (size_t i = first; i < w->list.count; i++) {
        const b2_tensor *t = w->list.item + i;

        shard = json_string_value(json_object_get(map, t->name));
        if (shard == NULL) {
            b2_log_write(&w->log, BLIP2_LOG_WARNING, "%s: tensor \"%s\" of %s is not listed", index,
                         t->name, t->file);
            continue;
        }
        if (strcmp(shard, t->file) != 0)
            return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": expected in %s, found in %s", index,
                           t->name, shard, t->file);
        (void)json_object_del(map, t->name);
    }
    if (json_object_size(map) == 0)
        return BLIP2_OK;
    name = json_object_iter_key(json_object_iter(map));
    return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\" is not in %s", index, name,
                   json_string_value(json_object_get(map, name)));
}

/* Open every shard that the weight_map names, once each. */
static blip2_status add_shards(b2_weights *w, json_t *map, const char *directory,
                               const char *index) {
    size_t count = 0, first = w->list.count;
    const char **shards = b2_alloc_array(json_object_size(map), sizeof *shards);
    blip2_status status = BLIP2_OK;
    const char *key;
    json_t *value;

    if (shards == NULL)
        return b2_fail_memory();
    json_object_foreach(map, key, value) {
        if ((status = shard_name(shards + count, value, key, index)) < 0)
            goto out;
        count++;
    }
    qsort(shards, count, sizeof *shards, by_text);
    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        char *path;

        if (i > 0 && strcmp(shards[i - 1], shards[i]) == 0)
            continue;
        path = b2_path_join(directory, shards[i]);
        status = path != NULL ? add_file(w, path) : b2_fail_memory();
        b2_free(path);
    }
    if (status == BLIP2_OK)
        status = check_index(w, first, map, index);
out:
    b2_free(shards);
    return status;
}

static blip2_status add_index(b2_weights *w, const char *path) {
    const char *index = b2_file_name(path);
    uint8_t *text = NULL;
    char *directory = NULL;
    json_t *top = NULL, *map;
    size_t size;
    blip2_status status;

    if ((status = b2_file_read(&text, &size, path, MAX_INDEX_BYTES)) < 0 ||
        (status = b2_json_parse(&top, (const char *)text, size, index)) < 0)
        goto out;
    map = json_object_get(top, "weight_map");
    if (!json_is_object(map)) {
        status = b2_fail(BLIP2_EFORMAT, "%s: expected an object \"weight_map\"", index);
        goto out;
    }
    directory = index > path ? b2_strndup(path, (size_t)(index - path)) : b2_strdup(".");
    status = directory != NULL ? add_shards(w, map, directory, index) : b2_fail_memory();
out:
    json_decref(top);
    b2_free(directory);
    b2_free(text);
    return status;
}

/* A folder's own choice of file: *out is yours to b2_free. */
static blip2_status choose_file(char **out, const char *directory) {
    for (size_t i = 0; i < sizeof file_names / sizeof *file_names; i++) {
        if ((*out = b2_path_join(directory, file_names[i])) == NULL)
            return b2_fail_memory();
        if (access(*out, F_OK) == 0)
            return BLIP2_OK;
        b2_free(*out);
        *out = NULL;
    }
    return b2_fail(BLIP2_EIO, "%s: no weights here: expected %s or %s", directory, file_names[0],
                   file_names[1]);
}

static blip2_status add_path(b2_weights *w, const char *path) {
    struct stat info;
    char *chosen = NULL;
    blip2_status status;

    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        if ((status = choose_file(&chosen, path)) < 0)
            return status;
        path = chosen;
    }
    status = ends_with(path, index_suffix) ? add_index(w, path) : add_file(w, path);
    b2_free(chosen);
    return status;
}

static blip2_status add_prefix(b2_weights *w, size_t first, const char *prefix) {
    size_t head = strlen(prefix);

    for (size_t i = first; i < w->list.count && head > 0; i++) {
        b2_tensor *t = w->list.item + i;
        size_t tail = strlen(t->name);
        char *name = b2_arena_alloc(&w->list.arena, head + tail + 1, 1);

        if (name == NULL)
            return b2_fail_memory();
        memcpy(name, prefix, head);
        memcpy(name + head, t->name, tail + 1);
        t->name = name;
    }
    return BLIP2_OK;
}

blip2_status b2_weights_join(b2_weights *weights, const char *path, const char *prefix) {
    size_t tensors = weights->list.count, maps = weights->map_count;
    blip2_status status;

    if ((status = add_path(weights, path)) == BLIP2_OK &&
        (status = add_prefix(weights, tensors, prefix)) == BLIP2_OK &&
        (status = index_names(weights, tensors)) == BLIP2_OK)
        return BLIP2_OK;
    weights->list.count = tensors;
    while (weights->map_count > maps)
        b2_file_map_close(weights->maps + --weights->map_count);
    return status;
}

blip2_status b2_weights_open(b2_weights **out, const char *path, const b2_log *log) {
    b2_weights *w = b2_calloc(1, sizeof *w);
    const char *name = b2_file_name(path);
    blip2_status status;

    *out = NULL;
    if (w == NULL)
        return b2_fail_memory();
    w->missing_tail = &w->missing;
    if (log != NULL)
        w->log = *log;
    w->name = b2_arena_strndup(&w->list.arena, name, strlen(name));
    status = w->name != NULL ? b2_weights_join(w, path, "") : b2_fail_memory();
    if (status < 0)
        b2_weights_close(w);
    else
        *out = w;
    return status;
}

void b2_weights_close(b2_weights *weights) {
    if (weights == NULL)
        return;
    while (weights->map_count > 0)
        b2_file_map_close(weights->maps + --weights->map_count);
    b2_free(weights->maps);
    b2_free(weights->sorted);
    b2_free(weights->use);
    b2_tensor_list_free(&weights->list);
    b2_free(weights);
}
