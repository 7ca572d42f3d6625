/* Weights on a GPU are row-major, as cuBLASLt reads them, in one of two types: that of the device's
 * activations, or F32 where F32 activations meet F32 weights. A device that computes in F32 keeps
 * everything in F32, which widens half weights without loss. */
#include "base/alloc.h"
#include "base/size.h"
#include "gpu.h"

static bool is_float_type(b2_type type) {
    return type == B2_F32 || type == B2_F16 || type == B2_BF16;
}

static b2_type kept_type(const b2_cuda *cuda, b2_type keep) {
    return keep == B2_F32 ? B2_F32 : cuda->device.compute;
}

/* data_bytes: of the matrix, rounded up; *out: with the bias behind it. False on overflow. */
static bool count_bytes(const b2_weight_desc *desc, b2_type type, size_t *data_bytes, size_t *out) {
    size_t rows = 0, size = b2_type_size(type), bias = 0;

    for (uint32_t i = 0; i < desc->part_count; i++)
        if (!b2_size_add(rows, (size_t)desc->parts[i].rows, &rows))
            return false;
    if (!b2_size_mul(rows, (size_t)desc->cols, data_bytes) ||
        !b2_size_mul(*data_bytes, size, data_bytes) || !b2_size_round(*data_bytes, 256, data_bytes))
        return false;
    if (type != B2_F32 && (desc->uses & B2_USE_LINEAR) != 0 && !b2_size_mul(rows, size, &bias))
        return false;
    return b2_size_add(*data_bytes, bias, out);
}

size_t b2_cuda_weight_bytes(b2_device *device, const b2_weight_desc *desc) {
    size_t data_bytes, bytes;

    return count_bytes(desc, kept_type(b2_cuda_of(device), desc->keep), &data_bytes, &bytes)
               ? bytes
               : SIZE_MAX;
}

static blip2_status check_desc(const b2_cuda *cuda, const b2_weight_desc *desc) {
    if (desc->part_count == 0 || desc->cols <= 0 || desc->uses == 0 || !is_float_type(desc->keep))
        return b2_cuda_refuse(cuda, "no parts, columns or uses, or no float type");
    for (uint32_t i = 0; i < desc->part_count; i++)
        if (desc->parts[i].data == NULL || desc->parts[i].rows <= 0 ||
            !is_float_type(desc->parts[i].type))
            return b2_cuda_refuse(cuda, "a part without data, rows or a float type");
    return BLIP2_OK;
}

blip2_status b2_cuda_weight_create(b2_device *device, const b2_weight_desc *desc, b2_weight **out) {
    b2_cuda *cuda = b2_cuda_of(device);
    b2_weight *w = NULL;
    size_t data_bytes = 0, bytes;
    blip2_status status = b2_cuda_begin(cuda, "weight_create");

    *out = NULL;
    if (status < 0 || (status = check_desc(cuda, desc)) < 0)
        return status;
    if (!count_bytes(desc, kept_type(cuda, desc->keep), &data_bytes, &bytes) ||
        (w = b2_calloc(1, sizeof *w)) == NULL)
        return b2_fail_memory();
    w->cols = desc->cols;
    w->type = kept_type(cuda, desc->keep);
    w->uses = desc->uses;
    if ((status = b2_cuda_alloc(device, &w->data, bytes)) < 0)
        goto out;
    if (bytes > data_bytes)
        w->half_bias = (char *)w->data + data_bytes;
    for (uint32_t i = 0; i < desc->part_count; i++) {
        const b2_weight_part *part = &desc->parts[i];
        char *to = (char *)w->data + (size_t)(w->rows * w->cols) * b2_type_size(w->type);

        if ((status = b2_cuda_send_floats(cuda, to, w->type, desc->keep, part->data, part->type,
                                          (size_t)(part->rows * w->cols))) < 0)
            goto out;
        w->rows += part->rows;
    }
    *out = w;
    w = NULL;
out:
    b2_cuda_weight_free(device, w);
    return status;
}

void b2_cuda_weight_free(b2_device *device, b2_weight *weight) {
    if (weight == NULL)
        return;
    b2_cuda_free(device, weight->data);
    b2_free(weight);
}
