#include "model/vit.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "model/positions.h"

static void round_to(float *x, b2_type type, size_t count) {
    uint16_t half;

    for (size_t i = 0; i < count && type != B2_F32; i++) {
        b2_from_f32(&half, type, x + i, 1);
        b2_to_f32(x + i, &half, type, 1);
    }
}

/* The position table; one made for another picture size is interpolated here, at load. */
static blip2_status load_positions(b2_vit *vit, b2_loader *loader) {
    int64_t width = vit->config.width;
    int64_t dims[2] = {-1, width};
    size_t count = (size_t)vit->tokens * (size_t)width;
    uint32_t rows = b2_vit_rows(&vit->config), cols = b2_vit_cols(&vit->config);
    float *host = NULL, *resized = NULL;
    b2_tensor tensor;
    blip2_status status = b2_weights_take(loader->weights, B2_VIT_POS, 0, 2, dims, &tensor);

    if (status < 0 || tensor.data == NULL)
        return status;
    dims[0] = vit->tokens;
    if ((tensor.count == count && rows == cols) || !vit->config.resize_positions)
        return b2_load_vector(loader, &vit->position, B2_VIT_POS, 0, 2, dims);
    if (!loader->make)
        return b2_load_floats(loader, &vit->position, NULL, count);
    host = b2_alloc_array(tensor.count, sizeof *host);
    resized = b2_alloc_array(count, sizeof *resized);
    if (host == NULL || resized == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    b2_to_f32(host, tensor.data, tensor.type, tensor.count);
    status = b2_positions_resize(resized, rows, cols, host, tensor.count / (size_t)width,
                                 (size_t)width, vit->config.clip);
    if (status == BLIP2_OK && vit->config.clip) /* LAVIS does this one in the file's type */
        round_to(resized, tensor.type, count);
    if (status == BLIP2_OK)
        status = b2_load_floats(loader, &vit->position, resized, count);
out:
    b2_free(host);
    b2_free(resized);
    return status;
}

static blip2_status load_layer(b2_vit_layer *layer, b2_loader *loader, const b2_vit_config *config,
                               uint32_t i) {
    int64_t c = config->width, f = config->ffn;
    float eps = config->block_eps;
    blip2_status status;

    if ((status = b2_load_norm(loader, &layer->norm1, B2_VIT_LN1_W, B2_VIT_LN1_B, i, c, eps)) < 0 ||
        (status = b2_load_dense(loader, &layer->qkv, B2_VIT_QKV_W, B2_VIT_QKV_B, i, 3 * c, c)) <
            0 ||
        (status = b2_load_dense(loader, &layer->proj, B2_VIT_PROJ_W, B2_VIT_PROJ_B, i, c, c)) < 0 ||
        (status = b2_load_norm(loader, &layer->norm2, B2_VIT_LN2_W, B2_VIT_LN2_B, i, c, eps)) < 0 ||
        (status = b2_load_dense(loader, &layer->fc1, B2_VIT_FC1_W, B2_VIT_FC1_B, i, f, c)) < 0)
        return status;
    return b2_load_dense(loader, &layer->fc2, B2_VIT_FC2_W, B2_VIT_FC2_B, i, c, f);
}

/* The original tower's file has a block more than BLIP-2 uses. */
static void skip_layers(b2_loader *loader, uint32_t first) {
    for (uint32_t i = first; b2_weights_has(loader->weights, B2_VIT_LN1_W, i); i++)
        for (int id = B2_VIT_LN1_W; id <= B2_VIT_FC2_B; id++)
            b2_weights_skip(loader->weights, (b2_weight_id)id, i);
}

static blip2_status load_tower(b2_vit *vit, b2_loader *loader, const b2_vit_config *config) {
    int64_t c = config->width, p = config->patch;
    int64_t patch_dims[4] = {c, 3, p, p};
    blip2_status status;

    vit->config = *config;
    vit->compute = loader->device->compute;
    vit->tokens = 1 + b2_vit_rows(config) * b2_vit_cols(config);
    if (vit->layers == NULL)
        vit->layers = b2_calloc(config->layers, sizeof *vit->layers);
    if (vit->layers == NULL)
        return b2_fail_memory();
    if ((status = b2_load_vector(loader, &vit->cls, B2_VIT_CLS, 0, 1, &c)) < 0 ||
        (status = load_positions(vit, loader)) < 0 ||
        (status = b2_load_table(loader, &vit->patch, B2_VIT_PATCH_W, 4, patch_dims,
                                B2_USE_LINEAR)) < 0 ||
        (status = config->clip
                      ? b2_load_norm(loader, &vit->pre, B2_VIT_PRE_LN_W, B2_VIT_PRE_LN_B, 0, c,
                                     config->block_eps)
                      : b2_load_vector(loader, &vit->patch_bias, B2_VIT_PATCH_B, 0, 1, &c)) < 0)
        return status;
    for (uint32_t i = 0; i < config->layers; i++)
        if ((status = load_layer(&vit->layers[i], loader, config, i)) < 0)
            return status;
    skip_layers(loader, config->layers);
    return b2_load_norm(loader, &vit->post, B2_VIT_POST_LN_W, B2_VIT_POST_LN_B, 0, c,
                        config->post_eps);
}

blip2_status b2_vit_load(b2_vit *vit, b2_loader *loader, const b2_vit_config *config) {
    blip2_status status;

    loader->many = true;
    status = load_tower(vit, loader, config);
    loader->many = false;
    return status;
}

void b2_vit_free(b2_vit *vit) {
    b2_free(vit->layers);
    vit->layers = NULL;
}

void b2_vit_carve(b2_vit_space *out, b2_carver *carver, const b2_vit *vit, uint32_t images) {
    const b2_vit_config *config = &vit->config;
    int64_t rows = (int64_t)images * vit->tokens;
    int64_t patches = (int64_t)images * (vit->tokens - 1);
    int64_t c = config->width, p = config->patch;
    b2_type type = vit->compute;

    out->patches = b2_carve_mat(carver, type, patches, 3 * p * p);
    out->x = b2_carve_mat(carver, B2_F32, rows, c);
    out->y = b2_carve_mat(carver, type, rows, c);
    out->features = type == B2_F32 ? out->y : b2_carve_mat(carver, B2_F32, rows, c);
    out->qkv = b2_carve_mat(carver, type, rows, 3 * c);
    out->ffn = b2_carve_mat(carver, type, rows, config->ffn);
    b2_carve_segments(carver, &out->segments, images, vit->tokens, vit->tokens);
}

static blip2_status attend(const b2_vit *vit, const b2_run *run, const b2_vit_space *space,
                           b2_mat qkv, b2_mat y, uint32_t images) {
    uint32_t head_size = vit->config.width / vit->config.heads;
    int64_t c = vit->config.width;

    return run->device->ops->attention(run->device,
                                       &(b2_attention){.q = b2_mat_cols(qkv, 0, c),
                                                       .k = b2_mat_cols(qkv, c, c),
                                                       .v = b2_mat_cols(qkv, 2 * c, c),
                                                       .y = y,
                                                       .q_start = space->segments.q_start,
                                                       .k_first = space->segments.k_first,
                                                       .k_count = space->segments.k_count,
                                                       .segments = images,
                                                       .heads = vit->config.heads,
                                                       .head_size = head_size,
                                                       .max_q = vit->tokens,
                                                       .max_k = vit->tokens,
                                                       .scale = 1.0f / sqrtf((float)head_size),
                                                       .rule = B2_MASK_ALL});
}

static blip2_status run_layer(const b2_vit *vit, const b2_run *run, const b2_vit_space *space,
                              uint32_t i, uint32_t images) {
    const b2_vit_layer *layer = &vit->layers[i];
    int64_t rows = (int64_t)images * vit->tokens;
    b2_mat x = b2_mat_rows(space->x, 0, rows), y = b2_mat_rows(space->y, 0, rows);
    b2_mat qkv = b2_mat_rows(space->qkv, 0, rows), ffn = b2_mat_rows(space->ffn, 0, rows);
    blip2_status status;

    if ((status = b2_norm_run(run, y, x, &layer->norm1)) < 0 ||
        (status = b2_dense_run(run, qkv, y, &layer->qkv, B2_ACT_NONE)) < 0 ||
        (status = attend(vit, run, space, qkv, y, images)) < 0 ||
        (status = b2_dense_add(run, x, y, &layer->proj)) < 0 ||
        (status = b2_norm_run(run, y, x, &layer->norm2)) < 0 ||
        (status = b2_dense_run(run, ffn, y, &layer->fc1, vit->config.act)) < 0 ||
        (status = b2_dense_add(run, x, ffn, &layer->fc2)) < 0)
        return status;
    b2_trace_mat(run, "vit.hidden", i + 1, x);
    return BLIP2_OK;
}

blip2_status b2_vit_run(const b2_vit *vit, const b2_run *run, const b2_vit_space *space,
                        const float *pixels, uint32_t images, b2_mat *features) {
    const b2_vit_config *config = &vit->config;
    int64_t rows = (int64_t)images * vit->tokens;
    b2_mat x = b2_mat_rows(space->x, 0, rows);
    blip2_status status;

    *features = b2_mat_rows(space->features, 0, rows);
    status = run->device->ops->patch_embed(
        run->device, &(b2_patch_embed){.pixels = pixels,
                                       .images = images,
                                       .height = b2_vit_height(config),
                                       .width = b2_vit_width(config),
                                       .patch = config->patch,
                                       .w = vit->patch,
                                       .bias = vit->patch_bias,
                                       .cls = vit->cls,
                                       .position = vit->position,
                                       .scratch = b2_mat_rows(space->patches, 0,
                                                              (int64_t)images * (vit->tokens - 1)),
                                       .y = x});
    if (status < 0 || (vit->pre.gamma != NULL && (status = b2_norm_run(run, x, x, &vit->pre)) < 0))
        return status;
    b2_trace_mat(run, "vit.hidden", 0, x);
    for (uint32_t i = 0; i < config->layers; i++)
        if ((status = run_layer(vit, run, space, i, images)) < 0)
            return status;
    if ((status = b2_norm_run(run, *features, x, &vit->post)) < 0)
        return status;
    b2_trace_mat(run, "vit.features", 0, *features);
    return BLIP2_OK;
}
