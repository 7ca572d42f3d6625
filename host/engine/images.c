#include "engine/images.h"

#include <string.h>

#include "base/alloc.h"
#include "image/image.h"

static bool makes_soft(const blip2_model *model) {
    return model->config.language != B2_LANGUAGE_NONE && !model->config.instructed;
}

bool b2_images_keep_cross(const blip2_model *model) {
    return model->qformer.reads_text;
}

void b2_images_carve(b2_images *images, b2_carver *carver, const blip2_model *model,
                     uint32_t places) {
    int64_t count = places, queries = count * model->config.qformer.queries;
    b2_encode_places *where = &images->where;

    images->count = places;
    *where = (b2_encode_places){.slots = where->slots};
    if (b2_images_keep_cross(model)) {
        where->cross_kv =
            b2_carve_mat(carver, B2_F32, count * model->vit.tokens, model->qformer.cross_kv.rows);
    }
    if (b2_images_keep_cross(model) && !model->config.instructed)
        where->queries = b2_carve_mat(carver, B2_F32, queries, model->config.qformer.width);
    if (model->stage1.contrasts)
        where->contrast = b2_carve_mat(carver, B2_F32, queries, model->stage1.vision.rows);
    if (makes_soft(model))
        where->soft = b2_carve_mat(carver, B2_F32, queries, model->projection.rows);
}

size_t b2_images_place_bytes(const blip2_model *model) {
    b2_images unused = {0};
    b2_carver carver = {0};

    b2_images_carve(&unused, &carver, model, 1);
    return carver.overflow ? SIZE_MAX : carver.used;
}

blip2_status b2_images_init(b2_images *images, uint32_t encoded_together) {
    images->places = b2_calloc(images->count, sizeof *images->places);
    images->where.slots = b2_alloc_array(encoded_together, sizeof *images->where.slots);
    return images->places != NULL && images->where.slots != NULL ? BLIP2_OK : b2_fail_memory();
}

void b2_images_free(b2_images *images) {
    b2_free(images->places);
    b2_free(images->where.slots);
    *images = (b2_images){0};
}

/* The picture's place, else a free one, else the one that was not needed for longest. */
static b2_image_place *choose(b2_images *images, const uint8_t key[32]) {
    b2_image_place *best = NULL;

    for (uint32_t i = 0; i < images->count; i++) {
        b2_image_place *place = &images->places[i];

        if (place->taken && memcmp(place->key, key, sizeof place->key) == 0)
            return place;
        if (place->pins == 0 && (best == NULL || (best->taken && !place->taken) ||
                                 (best->taken && place->used < best->used)))
            best = place;
    }
    return best;
}

bool b2_images_acquire(b2_images *images, const blip2_image *image, uint32_t *place) {
    b2_image_place *chosen = choose(images, image->sha256);
    bool found;

    if (chosen == NULL)
        return false;
    found = chosen->taken && memcmp(chosen->key, image->sha256, sizeof chosen->key) == 0;
    if (!found) {
        chosen->taken = true;
        chosen->ready = false;
        memcpy(chosen->key, image->sha256, sizeof chosen->key);
    }
    images->hits += found;
    chosen->pins++;
    chosen->used = ++images->now;
    *place = (uint32_t)(chosen - images->places);
    return true;
}

void b2_images_release(b2_images *images, uint32_t place) {
    b2_image_place *p = &images->places[place];

    p->pins--;
    if (p->pins == 0 && !p->ready)
        p->taken = false;
}

bool b2_images_renew(b2_images *images, uint32_t place) {
    b2_image_place *p = &images->places[place];

    images->hits -= p->ready;
    if (p->ready && p->pins > 1) {
        b2_images_release(images, place);
        return false;
    }
    p->ready = false;
    return true;
}
