#include "engine/instruct.h"

#include "base/alloc.h"

void b2_instruct_carve(b2_instruct *instruct, b2_carver *carver, const blip2_model *model,
                       uint32_t max_requests, uint32_t max_frames, uint32_t max_rows) {
    uint32_t queries = model->config.qformer.queries;
    int64_t rows = (int64_t)max_requests * queries;

    if (!model->config.instructed)
        return;
    instruct->image_rows = model->vit.tokens;
    instruct->max_frames = max_frames;
    b2_qformer_carve(&instruct->qformer, carver, &model->qformer, max_rows, 0);
    b2_qformer_pack_carve(&instruct->pack, carver, queries, max_requests, max_rows);
    instruct->projected = b2_carve_mat(carver, B2_F32, rows, model->projection.rows);
    instruct->soft = b2_carve_mat(carver, B2_F32, rows * max_frames, model->projection.rows);
}

blip2_status b2_instruct_init(b2_instruct *instruct) {
    if (instruct->pack.max_segments == 0)
        return BLIP2_OK;
    instruct->rows = b2_alloc_array(instruct->pack.max_segments, sizeof *instruct->rows);
    return instruct->rows != NULL ? b2_qformer_pack_init(&instruct->pack) : b2_fail_memory();
}

void b2_instruct_free(b2_instruct *instruct) {
    b2_qformer_pack_free(&instruct->pack);
    b2_free(instruct->rows);
    *instruct = (b2_instruct){0};
}

void b2_instruct_begin(b2_instruct *instruct) {
    b2_qformer_pack_begin(&instruct->pack, B2_MASK_ALL);
}

bool b2_instruct_add(b2_instruct *instruct, uint32_t row, uint32_t image_place, const int32_t *ids,
                     uint32_t count) {
    uint32_t g = instruct->pack.batch.query_segments;

    if (!b2_qformer_pack_add(&instruct->pack, &(b2_qformer_segment){
                                                  .has_queries = true,
                                                  .image_first = image_place * instruct->image_rows,
                                                  .image_rows = instruct->image_rows,
                                                  .ids = ids,
                                                  .text_count = count}))
        return false;
    instruct->rows[g] = row;
    return true;
}

/* The queries' rows of the result stand before all text; they alone go on. */
blip2_status b2_instruct_run(b2_instruct *instruct, const blip2_model *model, const b2_run *run,
                             const b2_images *images) {
    const b2_qformer_batch *batch = &instruct->pack.batch;
    b2_mat projected = b2_mat_rows(instruct->projected, 0, batch->query_rows);
    uint32_t queries = instruct->pack.queries;
    b2_device *device = run->device;
    b2_mat x;
    blip2_status status;

    if ((status = b2_qformer_pack_send(&instruct->pack, device)) < 0 ||
        (status = b2_qformer_run(&model->qformer, run, &instruct->qformer, batch,
                                 images->where.cross_kv, &x)) < 0)
        return status;
    x = b2_mat_rows(x, 0, batch->query_rows);
    b2_trace_mat(run, "qformer.out", 0, x);
    if ((status = b2_dense_run(run, projected, x, &model->projection, B2_ACT_NONE)) < 0)
        return status;
    b2_trace_mat(run, "soft_prompt", 0, projected);
    for (uint32_t g = 0; g < batch->query_segments && status == BLIP2_OK; g++) {
        b2_copy_rows copy = {.x = b2_mat_rows(projected, g * queries, queries),
                             .y = b2_mat_rows(instruct->soft, instruct->rows[g], queries),
                             .count = queries};

        status = device->ops->copy_rows(device, &copy);
    }
    return status;
}
