#include "score_look.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"
#include "image/heat.h"

typedef struct tally {
    blip2_engine *engine;
    const char *text; /* NULL: all things */
    blip2_map map;
    size_t right, total;
} tally;

typedef struct box {
    double x0, y0, x1, y1;
} box;

static blip2_status look(tally *t, const blip2_image *image, const char *text, const box *place) {
    const blip2_input input = {image, text};
    blip2_explain_options options;
    blip2_explanation *explanation;
    blip2_status status;
    const float *map;
    size_t rows, cols;
    b2_peak peak;

    blip2_explain_options_init(&options, sizeof options);
    options.map = t->map;
    if ((status = blip2_explain(t->engine, &input, &options, &explanation)) < 0)
        return status;
    map = blip2_explanation_map(explanation, &rows, &cols);
    peak = b2_heat_peak(map, rows, cols, blip2_image_width(image), blip2_image_height(image));
    t->total++;
    t->right +=
        peak.x >= place->x0 && peak.x <= place->x1 && peak.y >= place->y0 && peak.y <= place->y1
            ? 1
            : 0;
    blip2_explanation_free(explanation);
    return BLIP2_OK;
}

static blip2_status look_at_things(tally *t, const blip2_image *image, const char *file,
                                   const char *name, json_t *things) {
    blip2_status status = BLIP2_OK;
    json_t *thing;
    size_t i;

    json_array_foreach(things, i, thing) {
        const char *text;
        json_error_t error;
        box b;

        if (json_unpack_ex(thing, &error, 0, "{s: s, s: [F, F, F, F]}", "text", &text, "box", &b.x0,
                           &b.y0, &b.x1, &b.y1) != 0)
            return b2_fail(BLIP2_EFORMAT, "%s: \"%s\": things: %s", file, name, error.text);
        if ((t->text == NULL || strcmp(t->text, text) == 0) &&
            (status = look(t, image, text, &b)) < 0)
            return status;
    }
    return status;
}

static blip2_status look_at_picture(tally *t, const char *folder, const char *file,
                                    const char *name, json_t *things) {
    char *path = b2_path_join(folder, name);
    blip2_image *image = NULL;
    blip2_status status;

    if (path == NULL)
        return b2_fail_memory();
    if ((status = blip2_image_open(&image, path, NULL)) == BLIP2_OK)
        status = look_at_things(t, image, file, name, things);
    blip2_image_free(image);
    b2_free(path);
    return status;
}

blip2_status score_look(blip2_engine *engine, const blip2_model *model, const char *folder,
                        const char *file, json_t *captions, const char *text) {
    static const struct {
        const char *name;
        blip2_map map;
    } maps[] = {{"contrast", BLIP2_MAP_CONTRAST}, {"mean", BLIP2_MAP_MEAN}};
    const char *name;
    json_t *entry;
    blip2_status status = BLIP2_OK;

    for (size_t i = blip2_model_can(model, "itc") ? 0 : 1; i < 2; i++) {
        tally t = {.engine = engine, .text = text, .map = maps[i].map};

        json_object_foreach(captions, name, entry) {
            json_t *things = json_object_get(entry, "things");

            if (things != NULL && (status = look_at_picture(&t, folder, file, name, things)) < 0)
                return status;
        }
        if (t.total > 0)
            printf("peak on the shape, %s map, \"%s\": %zu of %zu (%.1f %%)\n", maps[i].name,
                   text != NULL ? text : "<colour> <shape>", t.right, t.total,
                   100.0 * (double)t.right / (double)t.total);
    }
    return status;
}
