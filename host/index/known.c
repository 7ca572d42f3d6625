#include "index/known.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text_buffer.h"

enum { DIGEST = 32 };

char *b2_known_part_path(const char *path, size_t number) {
    b2_text_buffer text = {0};

    b2_text_appendf(&text, "%s.part%zu", path, number);
    return b2_text_take(&text);
}

static bool exists(const char *path) {
    struct stat info;

    return stat(path, &info) == 0 || errno != ENOENT;
}

static blip2_status count_parts(b2_known *known, const char *path) {
    bool found = true;

    while (found) {
        char *part = b2_known_part_path(path, known->parts + 1);

        if (part == NULL)
            return b2_fail_memory();
        if ((found = exists(part)))
            known->parts++;
        b2_free(part);
    }
    return BLIP2_OK;
}

void b2_known_remove_parts(const char *path, size_t count) {
    for (size_t i = count; i > 0; i--) { /* the last first: what is left is found again */
        char *part = b2_known_part_path(path, i);

        if (part != NULL)
            (void)unlink(part);
        b2_free(part);
    }
}

static blip2_status open_file(b2_known *known, const char *path, const blip2_model *model,
                              b2_type type) {
    b2_index_file *file = &known->files[known->count];
    blip2_status status = b2_index_file_open(file, path);

    if (status < 0)
        return status;
    known->count++;
    known->rows += file->count;
    if ((status = b2_index_file_check(file, model)) < 0)
        return status;
    if (file->type != type)
        return b2_fail(BLIP2_EINVAL, "%s: has vectors of type %s, %s are asked for", path,
                       b2_type_name(file->type), b2_type_name(type));
    return BLIP2_OK;
}

static const uint8_t *pixels_of(const b2_known_row *row) {
    return row->file->pixels + row->picture * DIGEST;
}

static int compare_paths(const void *a, const void *b) {
    const b2_known_row *x = a, *y = b;

    return strcmp(b2_index_file_path(x->file, x->picture), b2_index_file_path(y->file, y->picture));
}

static int compare_pixels(const void *a, const void *b) {
    return memcmp(pixels_of(a), pixels_of(b), DIGEST);
}

static blip2_status sort_rows(b2_known *known) {
    size_t at = 0;

    known->by_path = b2_alloc_array(known->rows, sizeof *known->by_path);
    known->by_pixels = b2_alloc_array(known->rows, sizeof *known->by_pixels);
    if (known->by_path == NULL || known->by_pixels == NULL)
        return b2_fail_memory();
    for (size_t f = 0; f < known->count; f++)
        for (size_t i = 0; i < known->files[f].count; i++, at++)
            known->by_path[at] = known->by_pixels[at] = (b2_known_row){&known->files[f], i};
    qsort(known->by_path, known->rows, sizeof *known->by_path, compare_paths);
    qsort(known->by_pixels, known->rows, sizeof *known->by_pixels, compare_pixels);
    return BLIP2_OK;
}

static blip2_status open_all(b2_known *known, const char *path, const blip2_model *model,
                             b2_type type) {
    blip2_status status = count_parts(known, path);

    if (status < 0)
        return status;
    if ((known->files = b2_calloc(known->parts + 1, sizeof *known->files)) == NULL)
        return b2_fail_memory();
    known->has_index = exists(path);
    if (known->has_index && (status = open_file(known, path, model, type)) < 0)
        return status;
    for (size_t i = 1; i <= known->parts; i++) {
        char *part = b2_known_part_path(path, i);

        status = part != NULL ? open_file(known, part, model, type) : b2_fail_memory();
        b2_free(part);
        if (status < 0)
            return status;
    }
    return sort_rows(known);
}

blip2_status b2_known_open(b2_known *out, const char *path, const blip2_model *model,
                           b2_type type) {
    blip2_status status;

    *out = (b2_known){0};
    if ((status = open_all(out, path, model, type)) < 0)
        b2_known_close(out);
    return status;
}

void b2_known_close(b2_known *known) {
    for (size_t i = 0; i < known->count; i++)
        b2_index_file_close(&known->files[i]);
    b2_free(known->files);
    b2_free(known->by_path);
    b2_free(known->by_pixels);
    *known = (b2_known){0};
}

b2_known_row b2_known_path(const b2_known *known, const char *path, int64_t size, int64_t time) {
    size_t low = 0, high = known->rows;

    while (low < high) { /* the first row whose path is not less */
        const b2_known_row *row = &known->by_path[low + (high - low) / 2];

        if (strcmp(b2_index_file_path(row->file, row->picture), path) < 0)
            low = (size_t)(row - known->by_path) + 1;
        else
            high = (size_t)(row - known->by_path);
    }
    for (; low < known->rows; low++) {
        b2_known_row row = known->by_path[low];

        if (strcmp(b2_index_file_path(row.file, row.picture), path) != 0)
            break;
        if (row.file->sizes[row.picture] == size && row.file->times[row.picture] == time)
            return row;
    }
    return (b2_known_row){0};
}

b2_known_row b2_known_pixels(const b2_known *known, const uint8_t pixels[32]) {
    size_t low = 0, high = known->rows;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(pixels_of(&known->by_pixels[middle]), pixels, DIGEST);

        if (order == 0)
            return known->by_pixels[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return (b2_known_row){0};
}

b2_index_row b2_known_index_row(b2_known_row row) {
    const b2_index_file *file = row.file;

    return (b2_index_row){.path = b2_index_file_path(file, row.picture),
                          .size = file->sizes[row.picture],
                          .time = file->times[row.picture],
                          .vectors = file->vectors + row.picture * b2_index_file_stride(file),
                          .pixels = file->pixels + row.picture * DIGEST};
}
