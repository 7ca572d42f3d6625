/* Weights of a half type stay where the file map has them when one tensor makes up the weight, and
 * are converted while they are used: decoding reads every weight once a token, so that bytes are
 * time. F32 weights are laid out as panels once, since then nothing is left to do in the GEMM; only
 * tables that are looked up in stay row-major.
 *
 * A further kind of weight (int8, int4 with scales) is a further form here and a further case of
 * the kernels that name a type (kernels.h); nothing else would know. */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "cpu/cpu.h"

static bool is_float_type(b2_type type) {
    return type == B2_F32 || type == B2_F16 || type == B2_BF16;
}

static bool as_panels(const b2_weight_desc *desc) {
    return desc->keep == B2_F32 && (desc->uses & B2_USE_ROWS) == 0;
}

/* Bytes to own: 0 when the map itself serves. False on overflow. */
static bool owned_bytes(const b2_weight_desc *desc, size_t *out) {
    size_t rows = 0, elements, size = b2_type_size(desc->keep);

    if (!as_panels(desc) && desc->part_count == 1 && desc->parts[0].type == desc->keep &&
        (uintptr_t)desc->parts[0].data % size == 0) {
        *out = 0;
        return true;
    }
    for (uint32_t i = 0; i < desc->part_count; i++)
        if (!b2_size_add(rows, (size_t)desc->parts[i].rows, &rows))
            return false;
    return (!as_panels(desc) || b2_size_round(rows, B2_PANEL, &rows)) &&
           b2_size_mul(rows, (size_t)desc->cols, &elements) && b2_size_mul(elements, size, out);
}

size_t b2_cpu_weight_bytes(b2_device *device, const b2_weight_desc *desc) {
    size_t bytes;

    (void)device;
    return owned_bytes(desc, &bytes) ? bytes : SIZE_MAX;
}

void b2_cpu_weight_rows(const void **rows, const b2_weight *weight, int64_t first, int64_t count) {
    const char *row = (const char *)weight->data;
    size_t row_bytes = (size_t)weight->cols * b2_type_size(weight->type);

    for (int64_t i = 0; i < count; i++)
        rows[i] = row + (size_t)(first + i) * row_bytes;
}

/* Row `row` of the weight and its type, in whichever part it stands. */
static const void *part_row(const b2_weight_desc *desc, int64_t row, b2_type *type) {
    const b2_weight_part *part = desc->parts;

    while (row >= part->rows)
        row -= part++->rows;
    *type = part->type;
    return (const char *)part->data + (size_t)(row * desc->cols) * b2_type_size(part->type);
}

/* to [cols] of type keep = from, in pieces that pass through float. */
static void convert_row(char *to, b2_type keep, const char *from, b2_type type, int64_t cols) {
    float piece[256];
    size_t count = sizeof piece / sizeof *piece;

    for (size_t done = 0, all = (size_t)cols; done < all; done += count) {
        count = b2_size_min(count, all - done);
        b2_to_f32(piece, from + done * b2_type_size(type), type, count);
        b2_from_f32(to + done * b2_type_size(keep), keep, piece, count);
    }
}

static void copy_rows(const b2_cpu *cpu, b2_weight *w, const b2_weight_desc *desc) {
    size_t row_bytes = (size_t)w->cols * b2_type_size(w->type);

#pragma omp parallel for num_threads(cpu->threads)
    for (int64_t i = 0; i < w->rows; i++) {
        b2_type type;
        const char *from = part_row(desc, i, &type);
        char *to = (char *)w->owned + (size_t)i * row_bytes;

        if (type == w->type)
            memcpy(to, from, row_bytes);
        else
            convert_row(to, w->type, from, type, w->cols);
    }
    w->data = w->owned;
}

/* Pointers to rows first .. first+count-1 as the file has them, if a kernel can read them so: of
 * one type, aligned. */
static bool rows_in_file(const void **rows, b2_type *type, const b2_weight_desc *desc,
                         int64_t first, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        b2_type own;

        rows[i] = part_row(desc, first + i, &own);
        if ((i > 0 && own != *type) || (uintptr_t)rows[i] % b2_type_size(own) != 0)
            return false;
        *type = own;
    }
    return true;
}

/* Each column of a panel is a row of some part. */
static void make_panels(const b2_cpu *cpu, b2_weight *w, const b2_weight_desc *desc) {
#pragma omp parallel for num_threads(cpu->threads)
    for (int64_t m0 = 0; m0 < w->rows; m0 += B2_PANEL) {
        int64_t count = w->rows - m0 < B2_PANEL ? w->rows - m0 : B2_PANEL;
        float *row = b2_cpu_scratch(cpu);
        const void *rows[B2_PANEL];
        b2_type type = B2_F32;

        if (!rows_in_file(rows, &type, desc, m0, count)) {
            for (int64_t i = 0; i < count; i++, row += w->cols) {
                const void *from = part_row(desc, m0 + i, &type);

                b2_to_f32(row, from, type, (size_t)w->cols);
                rows[i] = row;
            }
            type = B2_F32;
        }
        cpu->kernels->unpack_panel((float *)w->owned + m0 * w->cols, rows, type, count, w->cols);
    }
    w->panels = w->owned;
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
    if (bytes > 0 && (w->owned = b2_alloc_aligned(256, bytes)) == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    if (bytes == 0)
        w->data = desc->parts[0].data;
    else if (as_panels(desc))
        make_panels(cpu, w, desc);
    else
        copy_rows(cpu, w, desc);
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
