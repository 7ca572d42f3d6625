#include "score_match.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"

enum { GALLERY = 100, RERANK = 16, WAYS = 2, DIRECTIONS = 2 };

typedef struct gallery {
    blip2_image *images[GALLERY];
    const char *captions[GALLERY];
    size_t count;
    size_t right[WAYS][DIRECTIONS], total; /* of all galleries so far; ways: contrast, matching */
} gallery;

static void clear(gallery *g) {
    for (size_t i = 0; i < g->count; i++)
        blip2_image_free(g->images[i]);
    g->count = 0;
}

static blip2_status add(gallery *g, const char *folder, const char *file, const char *name,
                        const json_t *entry) {
    const char *caption = json_string_value(json_object_get(entry, "caption"));
    char *path;
    blip2_status status;

    if (caption == NULL)
        return b2_fail(BLIP2_EFORMAT, "%s: \"%s\": expected {\"caption\": text, ...}", file, name);
    if ((path = b2_path_join(folder, name)) == NULL)
        return b2_fail_memory();
    if ((status = blip2_image_open(&g->images[g->count], path, NULL)) == BLIP2_OK)
        g->captions[g->count++] = caption;
    b2_free(path);
    return status;
}

/* The first of every row: twins, pictures with the same caption, are as right as the row's own. */
static blip2_status count_right(gallery *g, const blip2_similarity *s, int way) {
    for (int d = 0; d < DIRECTIONS; d++)
        for (size_t row = 0; row < g->count; row++) {
            size_t first;

            if (blip2_similarity_best(s, (blip2_direction)d, row, 1, &first) != 1)
                return b2_fail_memory();
            g->right[way][d] += strcmp(g->captions[first], g->captions[row]) == 0;
        }
    return BLIP2_OK;
}

static blip2_status run(blip2_engine *engine, gallery *g) {
    blip2_similarity_options options;
    blip2_status status = BLIP2_OK;

    blip2_similarity_options_init(&options, sizeof options);
    options.rerank = RERANK;
    for (int way = 0; way < WAYS && status == BLIP2_OK; way++) {
        blip2_similarity *s = NULL;

        options.no_itm = way == 0;
        status = blip2_similarity_compute(engine, (const blip2_image *const *)g->images, g->count,
                                          g->captions, g->count, &options, &s);
        if (status == BLIP2_OK)
            status = count_right(g, s, way);
        blip2_similarity_free(s);
    }
    g->total += g->count;
    clear(g);
    return status;
}

static void report(const gallery *g) {
    static const char *const ways[WAYS] = {"by contrast", "the 16 best matched"};
    static const char *const directions[DIRECTIONS] = {"text of a picture", "picture of a text"};

    for (int way = 0; way < WAYS; way++)
        for (int d = 0; d < DIRECTIONS; d++)
            printf("%s, %s: %zu of %zu right (%.1f %% among %zu)\n", directions[d], ways[way],
                   g->right[way][d], g->total, 100.0 * (double)g->right[way][d] / (double)g->total,
                   g->total < GALLERY ? g->total : (size_t)GALLERY);
}

blip2_status score_match(blip2_engine *engine, const char *folder, const char *file,
                         json_t *captions) {
    gallery g = {0};
    const char *name;
    json_t *entry;
    blip2_status status = BLIP2_OK;

    json_object_foreach(captions, name, entry) {
        if ((status = add(&g, folder, file, name, entry)) < 0 ||
            (g.count == GALLERY && (status = run(engine, &g)) < 0))
            goto out;
    }
    if (g.count > 0)
        status = run(engine, &g);
    if (status == BLIP2_OK && g.total > 0)
        report(&g);
out:
    clear(&g);
    return status;
}
