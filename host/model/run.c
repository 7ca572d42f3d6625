#include "model/run.h"

#include "base/alloc.h"
#include "base/size.h"

void b2_trace_mat(const b2_run *run, const char *name, uint32_t index, b2_mat mat) {
    if (run->trace != NULL)
        run->trace->fn(run->trace->payload, name, index, &mat);
}

void *b2_carve(b2_carver *carver, size_t count, size_t size) {
    size_t bytes, end;
    char *piece;

    if (!b2_size_mul(count, size, &bytes) || !b2_size_round(bytes, 256, &bytes) ||
        !b2_size_add(carver->used, bytes, &end)) {
        carver->overflow = true;
        return NULL;
    }
    piece = carver->base != NULL ? carver->base + carver->used : NULL;
    carver->used = end;
    return piece;
}

b2_mat b2_carve_mat(b2_carver *carver, b2_type type, int64_t rows, int64_t cols) {
    size_t count = 0;

    if (!b2_size_mul((size_t)rows, (size_t)cols, &count))
        carver->overflow = true;
    return b2_mat_of(b2_carve(carver, count, b2_type_size(type)), type, rows, cols);
}

void b2_carve_segments(b2_carver *carver, b2_even_segments *out, uint32_t images, uint32_t q_rows,
                       uint32_t k_rows) {
    out->q_start = b2_carve(carver, (size_t)images + 1, sizeof(int32_t));
    out->k_first = b2_carve(carver, images, sizeof(int32_t));
    out->k_count = b2_carve(carver, images, sizeof(int32_t));
    out->q_rows = q_rows;
    out->k_rows = k_rows;
}

blip2_status b2_fill_segments(b2_device *device, const b2_even_segments *segments,
                              uint32_t images) {
    size_t count = (size_t)images + 1;
    int32_t *host = b2_alloc_array(3 * count, sizeof *host);
    blip2_status status;

    if (host == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++) {
        host[i] = (int32_t)(i * segments->q_rows);
        host[count + i] = (int32_t)(i * segments->k_rows);
        host[2 * count + i] = (int32_t)segments->k_rows;
    }
    status = device->ops->upload(device, segments->q_start, host, count * sizeof *host);
    if (status == BLIP2_OK)
        status =
            device->ops->upload(device, segments->k_first, host + count, images * sizeof *host);
    if (status == BLIP2_OK)
        status =
            device->ops->upload(device, segments->k_count, host + 2 * count, images * sizeof *host);
    b2_free(host);
    return status;
}

blip2_status b2_dense_run(const b2_run *run, b2_mat y, b2_mat x, const b2_dense *dense,
                          b2_activation act) {
    return run->device->ops->linear(
        run->device, &(b2_linear){.x = x, .w = dense->w, .bias = dense->bias, .act = act, .y = y});
}

blip2_status b2_dense_gated(const b2_run *run, b2_mat y, b2_mat x, const b2_dense *dense,
                            b2_activation act) {
    return run->device->ops->linear(
        run->device,
        &(b2_linear){
            .x = x, .w = dense->w, .bias = dense->bias, .act = act, .gated = true, .y = y});
}

blip2_status b2_dense_add(const b2_run *run, b2_mat y, b2_mat x, const b2_dense *dense) {
    return run->device->ops->linear(
        run->device,
        &(b2_linear){.x = x, .w = dense->w, .bias = dense->bias, .residual = y, .y = y});
}

blip2_status b2_norm_run(const b2_run *run, b2_mat y, b2_mat x, const b2_norm_weights *norm) {
    return b2_norm_add(run, y, x, (b2_mat){0}, norm);
}

blip2_status b2_norm_add(const b2_run *run, b2_mat y, b2_mat x, b2_mat add,
                         const b2_norm_weights *norm) {
    return run->device->ops->norm(run->device, &(b2_norm){.x = x,
                                                          .add = add,
                                                          .gamma = norm->gamma,
                                                          .beta = norm->beta,
                                                          .eps = norm->eps,
                                                          .rms = norm->rms,
                                                          .y = y});
}
