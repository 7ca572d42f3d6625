/* Making an index. Pictures that an earlier build knows are taken from there. What is new is
 * embedded in groups, and written as a part, itself a small index, whenever CHUNK pictures are
 * together: a build that was stopped finds its parts as it finds an old index. So memory does not
 * grow with the gallery, and the last step copies from mapped files. */
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "blip2.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "image/image.h"
#include "index/known.h"
#include "index/named.h"

enum { DEFAULT_GROUP = 32, MOST_GROUP = 1024, CHUNK = 256, DIGEST = 32 };

/* A picture that waits for its group. */
typedef struct waiting {
    blip2_image *image;
    size_t number; /* of the caller's paths */
} waiting;

typedef struct build {
    blip2_engine *engine;
    const char *file;
    const char *const *paths; /* [count] */
    size_t count;
    blip2_index_build_options options;
    b2_index_shape shape;
    size_t stride; /* bytes of a picture's vectors */
    b2_known known;
    b2_index_row *rows; /* [count] path NULL: not in the index */
    waiting *group;     /* [options.group] */
    size_t waiting;

    /* the part that is being filled */
    uint8_t *vectors, *pixels; /* [CHUNK, stride], [CHUNK, DIGEST] */
    size_t *numbers;           /* [CHUNK] */
    size_t filled;
    b2_index_file *parts; /* [part_count] that this build has written, mapped */
    size_t part_count, part_capacity;
    blip2_index_counts counts;
} build;

/* ---- parts -------------------------------------------------------------------------------- */

/* Map the part that was written; its rows are read from there from now on. */
static blip2_status map_part(build *b, const char *path) {
    b2_index_file *part;
    blip2_status status;

    if (b->part_count == b->part_capacity) {
        size_t capacity = b2_size_max(2 * b->part_capacity, 16);
        b2_index_file *parts = b2_realloc_array(b->parts, capacity, sizeof *parts);

        if (parts == NULL)
            return b2_fail_memory();
        b->parts = parts;
        b->part_capacity = capacity;
    }
    part = &b->parts[b->part_count];
    if ((status = b2_index_file_open(part, path)) < 0)
        return status;
    b->part_count++;
    for (size_t i = 0; i < b->filled; i++) {
        b2_index_row *row = &b->rows[b->numbers[i]];

        row->vectors = part->vectors + i * b->stride;
        row->pixels = part->pixels + i * DIGEST;
    }
    b->filled = 0;
    return BLIP2_OK;
}

static blip2_status write_part(build *b) {
    b2_index_row *rows = b2_alloc_array(b->filled, sizeof *rows);
    char *path = b2_known_part_path(b->file, b->known.parts + b->part_count + 1);
    blip2_status status = BLIP2_OK;

    if (rows == NULL || path == NULL)
        status = b2_fail_memory();
    for (size_t i = 0; i < b->filled && status == BLIP2_OK; i++)
        rows[i] = b->rows[b->numbers[i]];
    if (status == BLIP2_OK &&
        (status = b2_index_file_write(path, &b->shape, rows, b->filled)) == BLIP2_OK)
        status = map_part(b, path);
    b2_free(rows);
    b2_free(path);
    return status;
}

/* ---- pictures ----------------------------------------------------------------------------- */

/* The picture's vectors [Q, W] into the part, with its row. */
static blip2_status keep(build *b, const waiting *w, const float *vectors) {
    size_t numbers = b->shape.queries * b->shape.width;
    uint8_t *to = b->vectors + b->filled * b->stride, *pixels = b->pixels + b->filled * DIGEST;

    for (size_t i = 0; i < numbers; i++)
        if (!isfinite(vectors[i]))
            return b2_fail(BLIP2_EFORMAT, "%s: the model gives no numbers for it",
                           b->paths[w->number]);
    b2_from_f32(to, b->shape.type, vectors, numbers);
    memcpy(pixels, w->image->sha256, DIGEST);
    b->rows[w->number].vectors = to;
    b->rows[w->number].pixels = pixels;
    b->numbers[b->filled++] = w->number;
    b->counts.embedded++;
    return b->filled == CHUNK ? write_part(b) : BLIP2_OK;
}

static void drop_group(build *b) {
    for (size_t i = 0; i < b->waiting; i++)
        blip2_image_free(b->group[i].image);
    b->waiting = 0;
}

static blip2_status embed_group(build *b) {
    blip2_input *inputs = b2_calloc(b->waiting, sizeof *inputs);
    blip2_features *features = NULL;
    blip2_status status;

    if (inputs == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < b->waiting; i++)
        inputs[i].image = b->group[i].image;
    status = blip2_features_extract(b->engine, inputs, b->waiting, NULL, &features);
    for (size_t i = 0; i < b->waiting && status == BLIP2_OK; i++)
        status = keep(b, &b->group[i], blip2_features_projected(features, i, NULL, NULL));
    blip2_features_free(features);
    b2_free(inputs);
    drop_group(b);
    return status;
}

static void leave_out(build *b, size_t number) {
    b->rows[number].path = NULL;
    b->counts.unreadable++;
    if (b->options.on_unreadable != NULL)
        b->options.on_unreadable(number, blip2_error_message(), b->options.payload);
}

static int64_t nanoseconds(struct timespec time) {
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Its row: from what is known, or once its group is embedded. */
static blip2_status take(build *b, size_t number) {
    b2_index_row *row = &b->rows[number];
    blip2_image *image = NULL;
    struct stat info = {0};
    b2_known_row known = {0};
    blip2_status status;

    *row = (b2_index_row){.path = b->paths[number]};
    if (stat(row->path, &info) == 0) {
        row->size = (int64_t)info.st_size;
        row->time = nanoseconds(info.st_mtim);
        known = b2_known_path(&b->known, row->path, row->size, row->time);
    }
    if (known.file == NULL) {
        if ((status = blip2_image_open(&image, row->path, NULL)) == BLIP2_ENOMEM)
            return status;
        if (status < 0) {
            leave_out(b, number);
            return BLIP2_OK;
        }
        known = b2_known_pixels(&b->known, image->sha256);
    }
    if (known.file != NULL) {
        row->vectors = b2_known_index_row(known).vectors;
        row->pixels = b2_known_index_row(known).pixels;
        b->counts.kept++;
        blip2_image_free(image);
        return BLIP2_OK;
    }
    b->group[b->waiting++] = (waiting){image, number};
    return b->waiting == b->options.group ? embed_group(b) : BLIP2_OK;
}

static blip2_status tell(const build *b, size_t done) {
    if (b->options.on_progress != NULL &&
        b->options.on_progress(done, b->count, b->options.payload) != 0)
        return b2_fail(BLIP2_ESTOP, "the caller's on_progress asked to stop");
    return BLIP2_OK;
}

/* skip [count]: paths that came before. */
static blip2_status take_all(build *b, const bool *skip) {
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < b->count && status == BLIP2_OK; i++) {
        if (!skip[i])
            status = take(b, i);
        if (status == BLIP2_OK)
            status = tell(b, i + 1 - b->waiting);
    }
    if (status == BLIP2_OK && b->waiting > 0)
        status = embed_group(b);
    if (status == BLIP2_OK)
        return tell(b, b->count);
    if (status == BLIP2_ESTOP && b->filled > 0 && write_part(b) < 0)
        return BLIP2_EIO; /* nothing but the part of a stopped build is lost */
    return status;
}

/* ---- the file ----------------------------------------------------------------------------- */

static void count_removed(build *b, const b2_named *named) {
    for (size_t i = 0; b->known.has_index && i < b->known.files[0].count; i++) {
        size_t number = b2_named_find(named, b->count, b2_index_file_path(&b->known.files[0], i));

        if (number == SIZE_MAX || b->rows[number].path == NULL)
            b->counts.removed++;
    }
}

/* Are rows [count] those of the file that is there? */
static bool is_unchanged(const build *b, const b2_index_row *rows, size_t count) {
    const b2_index_file *old = b->known.files;

    if (!b->known.has_index || old->count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (rows[i].vectors != old->vectors + i * b->stride || rows[i].size != old->sizes[i] ||
            rows[i].time != old->times[i] || strcmp(rows[i].path, b2_index_file_path(old, i)) != 0)
            return false;
    return true;
}

static blip2_status write_index(build *b) {
    size_t kept = 0;
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < b->count; i++)
        if (b->rows[i].path != NULL)
            b->rows[kept++] = b->rows[i];
    b->counts.pictures = kept;
    if (kept == 0)
        return b2_fail(BLIP2_EINVAL, "%s: no picture could be read: nothing is written", b->file);
    if (!is_unchanged(b, b->rows, kept))
        status = b2_index_file_write(b->file, &b->shape, b->rows, kept);
    if (status == BLIP2_OK)
        b2_known_remove_parts(b->file, b->known.parts + b->part_count);
    return status;
}

/* ---- the call ----------------------------------------------------------------------------- */

static blip2_status make_room(build *b) {
    size_t bytes;

    if (!b2_size_mul(b->shape.queries, b->shape.width, &b->stride) ||
        !b2_size_mul(b->stride, b2_type_size(b->shape.type), &b->stride) ||
        !b2_size_mul(b->stride, CHUNK, &bytes))
        return b2_fail_memory();
    b->rows = b2_calloc(b->count, sizeof *b->rows);
    b->group = b2_calloc(b->options.group, sizeof *b->group);
    b->vectors = b2_alloc(bytes);
    b->pixels = b2_alloc_array(CHUNK, DIGEST);
    b->numbers = b2_alloc_array(CHUNK, sizeof *b->numbers);
    return b->rows != NULL && b->group != NULL && b->vectors != NULL && b->pixels != NULL &&
                   b->numbers != NULL
               ? BLIP2_OK
               : b2_fail_memory();
}

static blip2_status run(build *b) {
    b2_named *named = NULL;
    bool *skip = b2_calloc(b->count, sizeof *skip);
    blip2_status status;

    if (skip == NULL || (named = b2_named_sort(b->paths, b->count)) == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    for (size_t i = 1; i < b->count; i++)
        skip[named[i].number] = strcmp(named[i].path, named[i - 1].path) == 0;
    if ((status = make_room(b)) < 0 ||
        (status = b2_known_open(&b->known, b->file, b->engine->model, b->shape.type)) < 0 ||
        (status = take_all(b, skip)) < 0)
        goto out;
    count_removed(b, named);
    status = write_index(b);
out:
    b2_free(skip);
    b2_free(named);
    return status;
}

static void close_all(build *b) {
    drop_group(b);
    for (size_t i = 0; i < b->part_count; i++)
        b2_index_file_close(&b->parts[i]);
    b2_free(b->parts);
    b2_known_close(&b->known);
    b2_free(b->rows);
    b2_free(b->group);
    b2_free(b->vectors);
    b2_free(b->pixels);
    b2_free(b->numbers);
}

static blip2_status check(const build *b) {
    blip2_status status = b2_call_check(b->engine, "blip2_index_build");

    if (status < 0)
        return status;
    if (b->file == NULL || (b->paths == NULL && b->count > 0))
        return b2_fail(BLIP2_EINVAL, "blip2_index_build: %s is NULL",
                       b->file == NULL ? "file" : "paths");
    for (size_t i = 0; i < b->count; i++)
        if (b->paths[i] == NULL || *b->paths[i] == '\0')
            return b2_fail(BLIP2_EINVAL, "path %zu is NULL or empty", i);
    if (!b->engine->model->stage1.contrasts)
        return b2_fail(BLIP2_ENOTSUP, "this checkpoint (%s) has no contrast heads",
                       b2_model_name(b->engine->model));
    return BLIP2_OK;
}

blip2_status blip2_index_build(blip2_engine *engine, const char *file, const char *const *paths,
                               size_t count, const blip2_index_build_options *options,
                               blip2_index_counts *counts) {
    build b = {.engine = engine, .file = file, .paths = paths, .count = count};
    blip2_status status = check(&b);

    if (counts != NULL)
        *counts = (blip2_index_counts){0};
    if (status < 0 || (status = b2_options_copy(&b.options, sizeof b.options, options,
                                                "blip2_index_build_options")) < 0)
        return status;
    if (b.options.group == 0)
        b.options.group = DEFAULT_GROUP;
    if (b.options.group > MOST_GROUP)
        return b2_fail(BLIP2_EINVAL, "group: %u is above %d", b.options.group, MOST_GROUP);
    b.shape.type = b.options.half != 0 ? B2_F16 : B2_F32;
    b.shape.queries = engine->model->config.qformer.queries;
    b.shape.width = (size_t)engine->model->stage1.text.rows;
    b2_scheduler_enter(engine); /* a callback may close it */
    if ((status = b2_index_model(b.shape.model, engine->model)) == BLIP2_OK)
        status = run(&b);
    close_all(&b);
    if (counts != NULL)
        *counts = b.counts;
    b2_scheduler_leave(engine);
    return status;
}
