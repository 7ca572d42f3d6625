#include "model/encode.h"

#include <string.h>

#include "base/alloc.h"
#include "image/image.h"

void b2_encode_carve(b2_encode_space *out, b2_carver *carver, const blip2_model *model,
                     uint32_t images, bool keeps_cross) {
    const b2_vit_config *vit = &model->config.vit;
    size_t pixels = (size_t)b2_vit_height(vit) * b2_vit_width(vit);
    uint32_t queries = model->config.qformer.queries;

    *out = (b2_encode_space){.images = images};
    out->pixels = b2_carve(carver, (size_t)images * 3, pixels * sizeof(float));
    b2_vit_carve(&out->vit, carver, &model->vit, images);
    if (!keeps_cross)
        out->cross_kv = b2_carve_mat(carver, B2_F32, (int64_t)images * model->vit.tokens,
                                     model->qformer.cross_kv.rows);
    if (model->config.instructed)
        return;
    b2_qformer_carve(&out->qformer, carver, &model->qformer, images * queries, 0);
    b2_qformer_pack_carve(&out->pack, carver, queries, images, images * queries);
    if (model->projection.rows > 0)
        out->soft = b2_carve_mat(carver, B2_F32, (int64_t)images * queries, model->projection.rows);
    if (model->stage1.contrasts)
        out->contrast =
            b2_carve_mat(carver, B2_F32, (int64_t)images * queries, model->stage1.vision.rows);
}

blip2_status b2_encode_prepare(const blip2_model *model, b2_encode_space *space) {
    blip2_status status = BLIP2_OK;

    if (!model->config.instructed)
        status = b2_qformer_pack_init(&space->pack);
    if (status < 0)
        return status;
    space->query_slots = b2_alloc_array(model->config.qformer.queries, sizeof *space->query_slots);
    if (space->query_slots == NULL)
        return b2_fail_memory();
    return b2_fill_segments(model->device, &space->vit.segments, space->images);
}

void b2_encode_free(b2_encode_space *space) {
    b2_qformer_pack_free(&space->pack);
    b2_free(space->query_slots);
    space->query_slots = NULL;
}

blip2_status b2_encode_pixels(const blip2_model *model, const b2_encode_space *space,
                              uint32_t index, const blip2_image *image) {
    uint32_t height = b2_vit_height(&model->config.vit), width = b2_vit_width(&model->config.vit);
    b2_resize_normalise op = {.rgb = image->rgb,
                              .in_width = image->width,
                              .in_height = image->height,
                              .width = width,
                              .height = height,
                              .pixels = space->pixels + (size_t)index * 3 * height * width};

    memcpy(op.mean, model->config.image.mean, sizeof op.mean);
    memcpy(op.std, model->config.image.std, sizeof op.std);
    return model->device->ops->resize_normalise(model->device, &op);
}

/* Rows of one picture of a matrix that has `each` rows a picture. */
static b2_mat rows_of(b2_mat m, uint32_t picture, uint32_t each) {
    return b2_mat_rows(m, (int64_t)picture * each, each);
}

/* Keys and values of the pictures, where they are kept or in the workspace. *cross_kv: the matrix
 * that the batch's segments point into. */
static blip2_status read_images(const blip2_model *model, const b2_run *run, b2_encode_space *space,
                                uint32_t images, const b2_encode_places *places, b2_mat features,
                                b2_mat *cross_kv) {
    uint32_t n = model->vit.tokens;
    blip2_status status = BLIP2_OK;

    space->cross_runs += images;
    *cross_kv = places->cross_kv;
    if (places->cross_kv.data == NULL) {
        *cross_kv = b2_mat_rows(space->cross_kv, 0, features.rows);
        return b2_qformer_read_images(&model->qformer, run, features, *cross_kv);
    }
    for (uint32_t i = 0; i < images && status == BLIP2_OK; i++)
        status = b2_qformer_read_images(&model->qformer, run, rows_of(features, i, n),
                                        rows_of(*cross_kv, places->slots[i], n));
    return status;
}

/* Slots of the picture's queries in its pages; NULL where they are not kept. */
static const int32_t *query_slots(const b2_encode_space *space, const b2_encode_places *places,
                                  uint32_t place, uint32_t queries) {
    int32_t tokens = (int32_t)places->query_kv.layout.page_tokens;

    if (places->query_kv.pages == NULL)
        return NULL;
    for (uint32_t q = 0; q < queries; q++)
        space->query_slots[q] = b2_encode_query_page(places, place) * tokens + (int32_t)q;
    return space->query_slots;
}

/* The Q-Former's image mode: *queries [images * Q, C]. */
static blip2_status run_queries(const blip2_model *model, const b2_run *run, b2_encode_space *space,
                                uint32_t images, const b2_encode_places *places, b2_mat cross_kv,
                                b2_mat *queries) {
    bool kept = places->cross_kv.data != NULL;
    uint32_t n = model->vit.tokens, each = model->config.qformer.queries;
    blip2_status status;

    space->query_runs += images;
    b2_qformer_pack_begin(&space->pack, B2_MASK_ALL);
    for (uint32_t i = 0; i < images; i++)
        (void)b2_qformer_pack_add(
            &space->pack,
            &(b2_qformer_segment){.has_queries = true,
                                  .image_first = (kept ? places->slots[i] : i) * n,
                                  .image_rows = n,
                                  .slots = query_slots(space, places, places->slots[i], each)});
    if ((status = b2_qformer_pack_send(&space->pack, model->device)) < 0)
        return status;
    space->pack.batch.kv = places->query_kv;
    return b2_qformer_run(&model->qformer, run, &space->qformer, &space->pack.batch, cross_kv,
                          queries);
}

/* Each picture's rows of x to its place. */
static blip2_status keep(const blip2_model *model, b2_mat to, b2_mat x, uint32_t images,
                         const b2_encode_places *places) {
    uint32_t queries = model->config.qformer.queries;
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0; i < images && status == BLIP2_OK; i++)
        status = model->device->ops->copy_rows(
            model->device, &(b2_copy_rows){.x = rows_of(x, i, queries),
                                           .y = rows_of(to, places->slots[i], queries),
                                           .count = queries});
    return status;
}

blip2_status b2_encode_get_features(const blip2_model *model, const b2_encode_space *space,
                                    uint32_t index, float *features) {
    b2_mat rows = rows_of(space->vit.features, index, model->vit.tokens);

    return model->device->ops->download(model->device, features, rows.data,
                                        (size_t)(rows.rows * rows.cols) * sizeof *features);
}

blip2_status b2_encode_put_features(const blip2_model *model, const b2_encode_space *space,
                                    uint32_t index, const float *features) {
    b2_mat rows = rows_of(space->vit.features, index, model->vit.tokens);

    return model->device->ops->upload(model->device, rows.data, features,
                                      (size_t)(rows.rows * rows.cols) * sizeof *features);
}

blip2_status b2_encode_run(const blip2_model *model, const b2_run *run, b2_encode_space *space,
                           uint32_t images, const b2_encode_places *places) {
    b2_mat features; /* those of space->vit */
    blip2_status status =
        b2_vit_run(&model->vit, run, &space->vit, space->pixels, images, &features);

    return status < 0 ? status : b2_encode_run_features(model, run, space, images, places);
}

blip2_status b2_encode_run_features(const blip2_model *model, const b2_run *run,
                                    b2_encode_space *space, uint32_t images,
                                    const b2_encode_places *places) {
    int64_t rows = (int64_t)images * model->config.qformer.queries;
    b2_mat features = b2_mat_rows(space->vit.features, 0, (int64_t)images * model->vit.tokens);
    b2_mat cross_kv, queries, soft = b2_mat_rows(space->soft, 0, rows);
    b2_mat contrast = b2_mat_rows(space->contrast, 0, rows);
    blip2_status status;

    if ((status = read_images(model, run, space, images, places, features, &cross_kv)) < 0 ||
        model->config.instructed ||
        (status = run_queries(model, run, space, images, places, cross_kv, &queries)) < 0)
        return status;
    b2_trace_mat(run, "qformer.out", 0, queries);
    if (places->queries.data != NULL &&
        (status = keep(model, places->queries, queries, images, places)) < 0)
        return status;
    if (places->contrast.data != NULL &&
        ((status = b2_stage1_project(run, &model->stage1.vision, contrast, queries)) < 0 ||
         (status = keep(model, places->contrast, contrast, images, places)) < 0))
        return status;
    if (places->soft.data == NULL)
        return BLIP2_OK;
    if ((status = b2_dense_run(run, soft, queries, &model->projection, B2_ACT_NONE)) < 0)
        return status;
    b2_trace_mat(run, "soft_prompt", 0, soft);
    return keep(model, places->soft, soft, images, places);
}
