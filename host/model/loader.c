#include "model/loader.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

enum { VECTOR_ALIGN = 64 };

blip2_status b2_loader_begin_make(b2_loader *loader) {
    blip2_status status = b2_weights_finish(loader->weights);
    void *vectors = NULL;

    if (status < 0)
        return status;
    loader->made = b2_calloc(loader->weight_count, sizeof *loader->made);
    if (loader->made == NULL)
        return b2_fail_memory();
    status = loader->device->ops->alloc(loader->device, &vectors, loader->vector_bytes);
    loader->vectors = vectors;
    loader->make = true;
    return status;
}

void b2_loader_free(b2_loader *loader) {
    for (size_t i = 0; i < loader->made_count; i++)
        loader->device->ops->weight_free(loader->device, loader->made[i]);
    b2_free(loader->made);
    if (loader->device != NULL)
        loader->device->ops->free(loader->device, loader->vectors);
    loader->made = NULL;
    loader->vectors = NULL;
    loader->made_count = 0;
}

static blip2_status progress(b2_loader *loader, const b2_tensor *tensor) {
    uint64_t bytes = (uint64_t)tensor->count * b2_type_size(tensor->type);

    if (!loader->make) {
        loader->total_bytes += bytes;
        return BLIP2_OK;
    }
    loader->done_bytes += bytes;
    if (loader->on_progress != NULL &&
        loader->on_progress(loader->done_bytes, loader->total_bytes, loader->progress_payload) != 0)
        return b2_fail(BLIP2_ESTOP, "loading was stopped");
    return BLIP2_OK;
}

/* Room for count floats among the vectors; in the first pass only counted, *out NULL. */
static blip2_status carve(b2_loader *loader, float **out, size_t count) {
    size_t bytes, end;

    *out = NULL;
    if (!b2_size_mul(count, sizeof(float), &bytes) || !b2_size_round(bytes, VECTOR_ALIGN, &bytes))
        return b2_fail_memory();
    if (!loader->make) {
        if (!b2_size_add(loader->vector_bytes, bytes, &loader->vector_bytes))
            return b2_fail_memory();
        return BLIP2_OK;
    }
    end = loader->vectors_used + bytes;
    if (end > loader->vector_bytes)
        return b2_fail(BLIP2_EINTERNAL, "loader: second pass asks for more than the first");
    *out = (float *)(void *)(loader->vectors + loader->vectors_used);
    loader->vectors_used = end;
    return BLIP2_OK;
}

/* Write a tensor as fp32 to device memory. */
static blip2_status put_tensor(b2_loader *loader, float *to, const b2_tensor *tensor) {
    float *host = b2_alloc_array(tensor->count, sizeof *host);
    blip2_status status;

    if (host == NULL)
        return b2_fail_memory();
    b2_to_f32(host, tensor->data, tensor->type, tensor->count);
    status = loader->device->ops->upload(loader->device, to, host, tensor->count * sizeof *host);
    b2_free(host);
    return status < 0 ? status : progress(loader, tensor);
}

blip2_status b2_load_floats(b2_loader *loader, const float **out, const float *data, size_t count) {
    float *to;
    blip2_status status = carve(loader, &to, count);

    *out = to;
    if (status < 0 || !loader->make)
        return status;
    return loader->device->ops->upload(loader->device, to, data, count * sizeof *data);
}

blip2_status b2_load_vector(b2_loader *loader, const float **out, b2_weight_id id, uint32_t layer,
                            uint32_t rank, const int64_t *dims) {
    b2_tensor tensor;
    float *to = NULL;
    blip2_status status = b2_weights_take(loader->weights, id, layer, rank, dims, &tensor);

    *out = NULL;
    if (status < 0 || tensor.data == NULL)
        return status;
    if ((status = carve(loader, &to, tensor.count)) < 0)
        return status;
    *out = to;
    return loader->make ? put_tensor(loader, to, &tensor) : progress(loader, &tensor);
}

/* Make, or in the first pass count, the weight of some tensors. */
static blip2_status make_weight(b2_loader *loader, b2_weight **out, const b2_tensor *tensors,
                                uint32_t count, int64_t cols, unsigned uses) {
    b2_weight_part parts[B2_MAX_JOINED];
    b2_weight_desc desc = {.parts = parts, .part_count = count, .cols = cols, .uses = uses};
    b2_device *device = loader->device;
    blip2_status status;

    for (uint32_t i = 0; i < count; i++) {
        int64_t rows = cols > 0 ? (int64_t)tensors[i].count / cols : 0;

        parts[i] = (b2_weight_part){tensors[i].data, rows, tensors[i].type};
    }
    desc.keep = loader->keep_as_stored ? tensors[0].type : loader->keep;
    if (device->compute != B2_F32 && !(loader->exact && desc.keep == B2_F32))
        desc.keep = device->compute;
    if (loader->many)
        desc.uses |= B2_USE_MANY;
    if (!loader->make) {
        loader->weight_count++;
        if (!b2_size_add(loader->weight_bytes, device->ops->weight_bytes(device, &desc),
                         &loader->weight_bytes))
            return b2_fail_memory();
    } else {
        if (loader->made_count == loader->weight_count)
            return b2_fail(BLIP2_EINTERNAL, "loader: second pass makes more than the first");
        if ((status = device->ops->weight_create(device, &desc, out)) < 0)
            return status;
        loader->made[loader->made_count++] = *out;
    }
    for (uint32_t i = 0; i < count; i++)
        if ((status = progress(loader, &tensors[i])) < 0)
            return status;
    return BLIP2_OK;
}

static int64_t part_rows(const b2_dense_source *source, uint32_t part) {
    return source->part_rows != NULL ? source->part_rows[part] : source->rows;
}

/* The biases of a joined weight, one after the other in one vector. */
static blip2_status load_biases(b2_loader *loader, b2_dense *out, const b2_dense_source *source) {
    b2_tensor tensor;
    float *to;
    int64_t rows, first = 0;
    blip2_status status = carve(loader, &to, (size_t)out->rows);

    out->bias = to;
    for (uint32_t i = 0; status == BLIP2_OK && i < source->parts; i++, first += rows) {
        rows = part_rows(source, i);
        status = b2_weights_take(loader->weights, source->bias_ids[i], source->layers[i], 1, &rows,
                                 &tensor);
        if (status == BLIP2_OK && tensor.data != NULL)
            status =
                loader->make ? put_tensor(loader, to + first, &tensor) : progress(loader, &tensor);
    }
    return status;
}

blip2_status b2_load_joined(b2_loader *loader, b2_dense *out, const b2_dense_source *source) {
    b2_tensor tensors[B2_MAX_JOINED];
    bool all = true;
    blip2_status status;

    *out = (b2_dense){.cols = source->cols};
    if (source->parts > B2_MAX_JOINED)
        return b2_fail(BLIP2_ENOTSUP, "%u tensors in one weight, the limit is %d", source->parts,
                       B2_MAX_JOINED);
    for (uint32_t i = 0; i < source->parts; i++) {
        int64_t dims[2] = {part_rows(source, i), source->cols};

        status = b2_weights_take(loader->weights, source->weight_ids[i], source->layers[i], 2, dims,
                                 &tensors[i]);
        if (status < 0)
            return status;
        out->rows += dims[0];
        all = all && tensors[i].data != NULL;
    }
    if (all && (status = make_weight(loader, &out->w, tensors, source->parts, source->cols,
                                     B2_USE_LINEAR)) < 0)
        return status;
    return source->bias_ids != NULL ? load_biases(loader, out, source) : BLIP2_OK;
}

blip2_status b2_load_dense(b2_loader *loader, b2_dense *out, b2_weight_id weight_id,
                           b2_weight_id bias_id, uint32_t layer, int64_t rows, int64_t cols) {
    return b2_load_joined(loader, out,
                          &(b2_dense_source){.weight_ids = &weight_id,
                                             .bias_ids = &bias_id,
                                             .layers = &layer,
                                             .parts = 1,
                                             .rows = rows,
                                             .cols = cols});
}

blip2_status b2_load_matrix(b2_loader *loader, b2_dense *out, b2_weight_id id, uint32_t layer,
                            int64_t rows, int64_t cols) {
    return b2_load_joined(loader, out, &(b2_dense_source){&id, NULL, &layer, 1, rows, cols, NULL});
}

blip2_status b2_load_norm(b2_loader *loader, b2_norm_weights *out, b2_weight_id gamma_id,
                          b2_weight_id beta_id, uint32_t layer, int64_t width, float eps) {
    blip2_status status = b2_load_vector(loader, &out->gamma, gamma_id, layer, 1, &width);

    out->eps = eps;
    if (status < 0)
        return status;
    return b2_load_vector(loader, &out->beta, beta_id, layer, 1, &width);
}

blip2_status b2_load_rms(b2_loader *loader, b2_norm_weights *out, b2_weight_id gamma_id,
                         uint32_t layer, int64_t width, float eps) {
    *out = (b2_norm_weights){.eps = eps, .rms = true};
    return b2_load_vector(loader, &out->gamma, gamma_id, layer, 1, &width);
}

blip2_status b2_load_table(b2_loader *loader, b2_weight **out, b2_weight_id id, uint32_t rank,
                           const int64_t *dims, unsigned uses) {
    b2_tensor tensor;
    blip2_status status = b2_weights_take(loader->weights, id, 0, rank, dims, &tensor);
    int64_t cols = 1;

    *out = NULL;
    if (status < 0 || tensor.data == NULL)
        return status;
    for (uint32_t i = 1; i < rank; i++)
        cols *= dims[i];
    return make_weight(loader, out, &tensor, 1, cols, uses);
}

blip2_status b2_load_padded_table(b2_loader *loader, b2_weight **out, b2_weight_id id, int64_t rows,
                                  int64_t cols, int64_t zeros, unsigned uses) {
    const int64_t dims[2] = {rows - zeros, cols};
    b2_tensor tensors[2] = {{0}, {.type = B2_F32, .count = (size_t)(zeros * cols)}};
    void *data = NULL;
    blip2_status status;

    if (zeros == 0)
        return b2_load_table(loader, out, id, 2, dims, uses);
    *out = NULL;
    status = b2_weights_take(loader->weights, id, 0, 2, dims, &tensors[0]);
    if (status < 0 || tensors[0].data == NULL)
        return status;
    if (loader->make && (data = b2_calloc(tensors[1].count, sizeof(float))) == NULL)
        return b2_fail_memory();
    tensors[1].data = data;
    status = make_weight(loader, out, tensors, 2, cols, uses);
    b2_free(data);
    return status;
}
