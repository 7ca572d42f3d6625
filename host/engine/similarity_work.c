/* What a job keeps in its work folder:
 *
 *   texts-N     vectors [texts, W]
 *   images-N    rows [B, Q, W], features [B, n, Cv], sums [B, 32] of a group of pictures
 *   match-N     cells [k], scores [k]: the best texts of that group's pictures
 *   rest-N      the same of pairs that only the texts wanted, of a longer run of pictures
 *
 * A picture goes on from its features (1.4 MB of ViT-g's), from which keys and values are made
 * anew: those would be 9.6 MB. Groups stay the same from run to run, so what is computed of them
 * has the same bits whatever was there already. */
#include "engine/scheduler.h"
#include "engine/similarity_job.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

/* ---- whose folder it is ------------------------------------------------------------------- */

static void add_text(b2_sha256 *sha, const char *text) {
    b2_sha256_update(sha, text, strlen(text) + 1);
}

static void add_number(b2_sha256 *sha, uint64_t number) {
    b2_sha256_update(sha, &number, sizeof number);
}

/* All that changes numbers, to the last bit: the device too. */
static void digest_options(const b2_similarity_job *j, char *hex) {
    const blip2_similarity_options *o = j->options;
    const blip2_model *model = j->engine->model;
    b2_sha256 sha;

    b2_sha256_init(&sha);
    add_text(&sha, "similarity 1");
    add_text(&sha, model->device->name);
    add_number(&sha, model->device->compute);
    add_number(&sha, model->loader.keep_as_stored ? UINT64_MAX : (uint64_t)model->loader.keep);
    add_number(&sha, j->together);
    add_number(&sha, j->engine->plan.limits.max_requests);
    add_number(&sha, o->rerank);
    add_number(&sha, o->no_itm != 0);
    add_number(&sha, o->only_texts_of_image != 0);
    add_number(&sha, o->only_images_of_text != 0);
    add_number(&sha, o->max_text_tokens);
    b2_sha256_final_hex(&sha, hex);
}

static void digest_inputs(const b2_similarity_job *j, char *hex) {
    b2_sha256 sha;

    b2_sha256_init(&sha);
    add_number(&sha, j->s->images);
    for (size_t i = 0; i < j->s->images && j->images != NULL; i++)
        b2_sha256_update(&sha, j->images[i]->sha256, sizeof j->images[i]->sha256);
    if (j->images == NULL)
        add_text(&sha, j->options->work_inputs);
    for (size_t t = 0; t < j->s->texts; t++)
        add_text(&sha, j->texts[t]);
    b2_sha256_final_hex(&sha, hex);
}

/* ---- pictures ----------------------------------------------------------------------------- */

blip2_status b2_similarity_open_image(b2_similarity_job *j, size_t index, blip2_image **out) {
    blip2_status status;

    *out = NULL;
    status = j->options->open_image(index, out, j->options->payload);
    if (status < 0)
        return status;
    if (*out == NULL)
        return b2_fail(BLIP2_EINVAL, "open_image: no picture %zu", index);
    if (!b2_scheduler_close_wanted(j->engine))
        return BLIP2_OK;
    blip2_image_free(*out);
    *out = NULL;
    return b2_fail(BLIP2_ESTOP, "the engine is closed");
}

/* A picture that the cache has lost, as b2_image_source has it. */
static blip2_status open_again(void *payload, size_t index, blip2_image **out) {
    b2_similarity_job *j = payload;
    blip2_status status = b2_similarity_open_image(j, index, out);

    if (status < 0 || memcmp((*out)->sha256, j->known[index].sha256, sizeof(*out)->sha256) == 0)
        return status;
    blip2_image_free(*out);
    *out = NULL;
    return b2_fail(BLIP2_EINVAL, "picture %zu is another one than when it was read first", index);
}

static void image_shapes(const b2_similarity_job *j, size_t count, b2_tensor_shape shapes[3]) {
    int64_t b = (int64_t)count;

    shapes[0] = (b2_tensor_shape){"rows", B2_F32, 3, {b, (int64_t)j->queries, (int64_t)j->width}};
    shapes[1] = (b2_tensor_shape){
        "features", B2_F32, 3, {b, (int64_t)j->feature_rows, (int64_t)j->feature_cols}};
    shapes[2] = (b2_tensor_shape){"sums", B2_U8, 2, {b, 32}};
}

/* The same, of what the folder has. */
static blip2_status find_features(void *payload, size_t index, const float **out) {
    b2_similarity_job *j = payload;
    size_t number = index / j->together, first = number * j->together;
    size_t each = j->feature_rows * j->feature_cols;
    b2_tensor_shape shapes[3];
    bool found;
    blip2_status status;

    if (j->group.map.data == NULL || j->group_number != number) {
        b2_part_close(&j->group);
        image_shapes(j, b2_size_min(j->together, j->s->images - first), shapes);
        if ((status = b2_work_read(&j->work, "images", number, shapes, 3, &j->group, &found)) < 0)
            return status;
        if (!found)
            return b2_fail(BLIP2_EIO, "%s: images-%08zu.safetensors is gone", j->work.directory,
                           number);
        j->group_number = number;
    }
    /* Copied: data in a file need not be aligned. */
    memcpy(j->features,
           (const uint8_t *)j->group.tensors[1].data + (index - first) * each * sizeof(float),
           each * sizeof(float));
    *out = j->features;
    return BLIP2_OK;
}

static void know(b2_similarity_job *j, size_t index, const uint8_t sha256[32]) {
    j->known[index] = (blip2_image){.source = &j->source, .index = index};
    memcpy(j->known[index].sha256, sha256, sizeof j->known[index].sha256);
}

blip2_status b2_similarity_open_work(b2_similarity_job *j) {
    b2_part_key key;
    blip2_status status;

    j->source = (b2_image_source){.open = open_again, .payload = j};
    if (j->options->work == NULL)
        return BLIP2_OK;
    if (j->images == NULL && j->options->work_inputs == NULL)
        return b2_fail(BLIP2_EINVAL, "work: open_image needs work_inputs beside it");
    if ((status = blip2_model_digest(j->engine->model, key.model)) < 0)
        return status;
    digest_options(j, key.options);
    digest_inputs(j, key.inputs);
    j->source = (b2_image_source){.features = find_features, .payload = j};
    j->feature_rows = j->engine->model->vit.tokens;
    j->feature_cols = j->engine->model->config.vit.width;
    j->features = b2_alloc_array(j->together * j->feature_rows, j->feature_cols * sizeof(float));
    return j->features != NULL ? b2_work_open(&j->work, j->options->work, &key) : b2_fail_memory();
}

void b2_similarity_close_work(b2_similarity_job *j) {
    b2_part_close(&j->group);
    b2_work_close(&j->work);
    b2_free(j->features);
}

/* ---- parts -------------------------------------------------------------------------------- */

static b2_tensor_shape text_shape(const b2_similarity_job *j, size_t count) {
    return (b2_tensor_shape){"vectors", B2_F32, 2, {(int64_t)count, (int64_t)j->width}};
}

blip2_status b2_similarity_read_texts(b2_similarity_job *j, size_t first, size_t count,
                                      bool *found) {
    const b2_tensor_shape shape = text_shape(j, count);
    b2_part part;
    blip2_status status =
        b2_work_read(&j->work, "texts", first / B2_SIMILARITY_GROUP, &shape, 1, &part, found);

    if (status == BLIP2_OK && *found)
        memcpy(j->vectors + first * j->width, part.tensors[0].data, part.tensors[0].bytes);
    b2_part_close(&part);
    return status;
}

blip2_status b2_similarity_keep_texts(b2_similarity_job *j, size_t first, size_t count) {
    const b2_tensor_shape shape = text_shape(j, count);
    const void *const data[] = {j->vectors + first * j->width};

    return b2_work_write(&j->work, "texts", first / B2_SIMILARITY_GROUP, &shape, 1, data);
}

blip2_status b2_similarity_read_images(b2_similarity_job *j, size_t first, size_t count,
                                       bool *found) {
    b2_tensor_shape shapes[3];
    b2_part part;
    blip2_status status;

    image_shapes(j, count, shapes);
    status = b2_work_read(&j->work, "images", first / j->together, shapes, 3, &part, found);
    if (status == BLIP2_OK && *found) {
        memcpy(j->rows, part.tensors[0].data, part.tensors[0].bytes);
        for (size_t i = 0; i < count; i++)
            know(j, first + i, (const uint8_t *)part.tensors[2].data + i * 32);
    }
    b2_part_close(&part);
    return status;
}

blip2_status b2_similarity_keep_images(b2_similarity_job *j, size_t first, size_t count) {
    uint8_t *sums = b2_alloc_array(count, 32);
    b2_tensor_shape shapes[3];
    blip2_status status;

    if (sums == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++) {
        memcpy(sums + i * 32, j->requests[i]->image->sha256, 32);
        know(j, first + i, sums + i * 32);
    }
    image_shapes(j, count, shapes);
    status = b2_work_write(&j->work, "images", first / j->together, shapes, 3,
                           (const void *const[]){j->rows, j->features, sums});
    b2_free(sums);
    return status;
}

static void match_shapes(size_t count, b2_tensor_shape shapes[2]) {
    shapes[0] = (b2_tensor_shape){"cells", B2_I64, 1, {(int64_t)count}};
    shapes[1] = (b2_tensor_shape){"scores", B2_F32, 1, {(int64_t)count}};
}

blip2_status b2_similarity_read_matches(b2_similarity_job *j, const char *kind, size_t number,
                                        const int64_t *cells, size_t count, bool *found) {
    b2_tensor_shape shapes[2];
    b2_part part;
    blip2_status status;

    match_shapes(count, shapes);
    status = b2_work_read(&j->work, kind, number, shapes, 2, &part, found);
    if (status == BLIP2_OK && *found && memcmp(part.tensors[0].data, cells, part.tensors[0].bytes))
        status = b2_fail(BLIP2_EINVAL,
                         "%s/%s-%08zu.safetensors: matches of other pairs; was the work begun on "
                         "another machine?",
                         j->work.directory, kind, number);
    for (size_t i = 0; i < count && *found && status == BLIP2_OK; i++)
        memcpy(&j->s->itm[cells[i]], (const uint8_t *)part.tensors[1].data + i * sizeof(float),
               sizeof(float));
    b2_part_close(&part);
    return status;
}

blip2_status b2_similarity_keep_matches(b2_similarity_job *j, const char *kind, size_t number,
                                        const int64_t *cells, size_t count) {
    float *scores;
    b2_tensor_shape shapes[2];
    blip2_status status;

    if (j->work.directory == NULL)
        return BLIP2_OK;
    if ((scores = b2_alloc_array(count, sizeof *scores)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++)
        scores[i] = j->s->itm[cells[i]];
    match_shapes(count, shapes);
    status = b2_work_write(&j->work, kind, number, shapes, 2, (const void *const[]){cells, scores});
    b2_free(scores);
    return status;
}
