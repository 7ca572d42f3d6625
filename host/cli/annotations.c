#include "annotations.h"

#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"

enum { MOST_BYTES = 1 << 30 }; /* COCO's is 144 MB */

typedef struct reader {
    b2_annotations *out;
    const char *file; /* as messages name it */
    char *folder;     /* of the pictures */
    const char *split;
    size_t entry; /* number of the one being read */
} reader;

static blip2_status bad(const reader *r, const char *expected) {
    return b2_fail(BLIP2_EFORMAT, "%s: picture %zu: expected %s", r->file, r->entry, expected);
}

/* "folder/path/name"; path NULL or "": "folder/name". */
static char *join(const char *folder, const char *path, const char *name) {
    char *middle, *out;

    if (path == NULL || *path == '\0')
        return b2_path_join(folder, name);
    if ((middle = b2_path_join(folder, path)) == NULL)
        return NULL;
    out = b2_path_join(middle, name);
    b2_free(middle);
    return out;
}

static blip2_status add_caption(b2_annotation *entry, const json_t *text) {
    if ((entry->captions[entry->count] = b2_strdup(json_string_value(text))) == NULL)
        return b2_fail_memory();
    entry->count++;
    return BLIP2_OK;
}

/* captions: a list of texts or of {"raw": text}, or one text. */
static blip2_status add(reader *r, const char *path, const char *name, const json_t *captions) {
    b2_inputs *pictures = &r->out->pictures;
    b2_annotation *entry = &r->out->entries[pictures->count];
    size_t count = json_is_string(captions) ? 1 : json_array_size(captions);
    blip2_status status = BLIP2_OK;

    if (count == 0)
        return bad(r, "captions");
    entry->captions = b2_calloc(count, sizeof *entry->captions);
    pictures->names[pictures->count].path = join(r->folder, path, name);
    pictures->count++; /* freed with the others, whatever is missing */
    if (entry->captions == NULL || pictures->names[pictures->count - 1].path == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        const json_t *item = json_is_string(captions) ? captions : json_array_get(captions, i);
        const json_t *text = json_is_object(item) ? json_object_get(item, "raw") : item;

        status = json_is_string(text) ? add_caption(entry, text)
                                      : bad(r, "captions that are texts or {\"raw\": text}");
    }
    return status;
}

static blip2_status add_karpathy(reader *r, const json_t *item) {
    const char *name = json_string_value(json_object_get(item, "filename"));
    const char *split = json_string_value(json_object_get(item, "split"));

    if (name == NULL || split == NULL)
        return bad(r, "\"filename\" and \"split\"");
    if (strcmp(split, r->split) != 0)
        return BLIP2_OK;
    return add(r, json_string_value(json_object_get(item, "filepath")), name,
               json_object_get(item, "sentences"));
}

static blip2_status add_lavis(reader *r, const json_t *item) {
    const char *name = json_string_value(json_object_get(item, "image"));

    return name != NULL ? add(r, NULL, name, json_object_get(item, "caption"))
                        : bad(r, "\"image\"");
}

static blip2_status read_items(reader *r, const json_t *root) {
    bool karpathy = json_is_object(root);
    const json_t *items = karpathy ? json_object_get(root, "images") : root;
    size_t count = json_array_size(items);
    b2_inputs *pictures = &r->out->pictures;
    blip2_status status = BLIP2_OK;

    if (!json_is_array(items))
        return b2_fail(BLIP2_EFORMAT, "%s: expected {\"images\": [...]} or a list", r->file);
    pictures->many = true;
    pictures->names = b2_calloc(count, sizeof *pictures->names);
    r->out->entries = b2_calloc(count, sizeof *r->out->entries);
    if (pictures->names == NULL || r->out->entries == NULL)
        return b2_fail_memory();
    for (r->entry = 0; r->entry < count && status == BLIP2_OK; r->entry++)
        status = (karpathy ? add_karpathy : add_lavis)(r, json_array_get(items, r->entry));
    if (status == BLIP2_OK && pictures->count == 0)
        return karpathy ? b2_fail(BLIP2_EINVAL, "%s: no picture of the split '%s' in it", r->file,
                                  r->split)
                        : b2_fail(BLIP2_EINVAL, "%s: no picture in it", r->file);
    return status;
}

/* The folder that a file is in. */
static char *folder_of(const char *file) {
    const char *slash = strrchr(file, '/');

    if (slash == NULL)
        return b2_strdup(".");
    return b2_strndup(file, slash == file ? 1 : (size_t)(slash - file));
}

blip2_status b2_annotations_open(b2_annotations *out, const char *file, const char *folder,
                                 const char *split) {
    reader r = {.out = out, .file = b2_file_name(file), .split = split};
    json_error_t error;
    uint8_t *text = NULL;
    json_t *root = NULL;
    size_t size;
    blip2_status status;

    *out = (b2_annotations){0};
    r.folder = folder != NULL ? b2_strdup(folder) : folder_of(file);
    if (r.folder == NULL)
        return b2_fail_memory();
    if ((status = b2_file_read(&text, &size, file, MOST_BYTES)) == BLIP2_OK) {
        if ((root = json_loadb((const char *)text, size, 0, &error)) != NULL)
            status = read_items(&r, root);
        else
            status = b2_fail(BLIP2_EFORMAT, "%s: line %d: %s", r.file, error.line, error.text);
        b2_free(text);
    }
    json_decref(root);
    b2_free(r.folder);
    if (status < 0)
        b2_annotations_free(out);
    return status;
}

void b2_annotations_free(b2_annotations *annotations) {
    for (size_t i = 0; annotations->entries != NULL && i < annotations->pictures.count; i++) {
        b2_annotation *entry = &annotations->entries[i];

        for (size_t k = 0; k < entry->count; k++)
            b2_free(entry->captions[k]);
        b2_free(entry->captions);
    }
    b2_free(annotations->entries);
    annotations->entries = NULL;
    b2_inputs_free(&annotations->pictures);
}
