/* Weights stay where the file map has them when one tensor of the wanted type makes up the weight;
 * everything else (joined tensors, another type) is copied once, row by row. */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "cpu/cpu.h"

static bool is_float_type(b2_type type) {
    return type == B2_F32 || type == B2_F16 || type == B2_BF16;
}

/* Bytes to own: 0 when the map itself serves. False on overflow. */
static bool owned_bytes(const b2_weight_desc *desc, size_t *out) {
    size_t elements, size = b2_type_size(desc->keep);
    int64_t rows = 0;

    if (desc->part_count == 1 && desc->parts[0].type == desc->keep &&
        (uintptr_t)desc->parts[0].data % size == 0) {
        *out = 0;
        return true;
    }
    for (uint32_t i = 0; i < desc->part_count; i++)
        if (__builtin_add_overflow(rows, desc->parts[i].rows, &rows))
            return false;
    return b2_size_mul((size_t)rows, (size_t)desc->cols, &elements) &&
           b2_size_mul(elements, size, out);
}

size_t b2_cpu_weight_bytes(b2_device *device, const b2_weight_desc *desc) {
    size_t bytes;

    (void)device;
    return owned_bytes(desc, &bytes) ? bytes : SIZE_MAX;
}

/* to [rows, cols] of type keep = part, through a buffer of cols floats when neither is F32. */
static void convert_part(const b2_cpu *cpu, char *to, b2_type keep, const b2_weight_part *part,
                         int64_t cols) {
    const char *from = part->data;
    size_t to_row = (size_t)cols * b2_type_size(keep);
    size_t from_row = (size_t)cols * b2_type_size(part->type);

    if (part->type == keep) {
        memcpy(to, from, (size_t)part->rows * to_row);
        return;
    }
#pragma omp parallel for num_threads(cpu->threads)
    for (int64_t i = 0; i < part->rows; i++) {
        float row[256];

        for (int64_t j = 0; j < cols; j += 256) {
            size_t n = (size_t)(cols - j < 256 ? cols - j : 256);

            b2_to_f32(row, from + (size_t)i * from_row + (size_t)j * b2_type_size(part->type),
                      part->type, n);
            b2_from_f32(to + (size_t)i * to_row + (size_t)j * b2_type_size(keep), keep, row, n);
        }
    }
}

static blip2_status check_desc(const b2_weight_desc *desc) {
    if (desc->part_count == 0 || desc->cols <= 0 || desc->uses == 0 || !is_float_type(desc->keep))
        return b2_cpu_refuse("weight_create", "no parts, columns or uses, or no float type");
    for (uint32_t i = 0; i < desc->part_count; i++)
        if (desc->parts[i].data == NULL || desc->parts[i].rows <= 0 ||
            !is_float_type(desc->parts[i].type))
            return b2_cpu_refuse("weight_create", "a part without data, rows or a float type");
    return BLIP2_OK;
}

blip2_status b2_cpu_weight_create(b2_device *device, const b2_weight_desc *desc, b2_weight **out) {
    b2_cpu *cpu = b2_cpu_of(device);
    b2_weight *w = NULL;
    size_t bytes;
    char *to;
    blip2_status status;

    *out = NULL;
    if ((status = check_desc(desc)) != BLIP2_OK)
        return status;
    if (!owned_bytes(desc, &bytes) || (w = b2_calloc(1, sizeof *w)) == NULL)
        return b2_fail_memory();
    w->cols = desc->cols;
    w->type = desc->keep;
    w->uses = desc->uses;
    for (uint32_t i = 0; i < desc->part_count; i++)
        w->rows += desc->parts[i].rows;
    if ((status = b2_cpu_reserve(cpu, b2_cpu_linear_scratch(w->cols))) != BLIP2_OK)
        goto out;
    w->data = desc->parts[0].data;
    if (bytes > 0) {
        if ((w->owned = b2_alloc_aligned(256, bytes)) == NULL) {
            status = b2_fail_memory();
            goto out;
        }
        w->data = to = w->owned;
        for (uint32_t i = 0; i < desc->part_count; i++) {
            convert_part(cpu, to, desc->keep, &desc->parts[i], desc->cols);
            to += (size_t)desc->parts[i].rows * (size_t)desc->cols * b2_type_size(desc->keep);
        }
    }
    *out = w;
    w = NULL;
out:
    b2_cpu_weight_free(device, w);
    return status;
}

void b2_cpu_weight_free(b2_device *device, b2_weight *weight) {
    (void)device;
    if (weight == NULL)
        return;
    b2_free(weight->owned);
    b2_free(weight);
}
