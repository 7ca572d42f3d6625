#include "watch.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

blip2_status bench_download(b2_device *device, const b2_mat *mat, float **out) {
    size_t size = b2_type_size(mat->type), row = (size_t)mat->cols * size, count;
    unsigned char *raw;
    blip2_status status;

    *out = NULL;
    if (!b2_size_mul((size_t)mat->rows, (size_t)mat->cols, &count) ||
        (raw = b2_alloc_array(count, size)) == NULL)
        return b2_fail_memory();
    status = device->ops->sync(device);
    for (int64_t i = 0; i < mat->rows && status == BLIP2_OK; i++)
        status =
            device->ops->download(device, raw + (size_t)i * row, b2_mat_rows(*mat, i, 1).data, row);
    if (status == BLIP2_OK && (*out = b2_alloc_array(count, sizeof **out)) == NULL)
        status = b2_fail_memory();
    if (status == BLIP2_OK)
        b2_to_f32(*out, raw, mat->type, count);
    b2_free(raw);
    return status;
}

static void see(void *payload, const char *name, uint32_t index, const b2_mat *mat) {
    watch *w = payload;
    char tensor[64];
    float *got;

    for (size_t i = 0; i < w->count && w->status == BLIP2_OK; i++) {
        if (strcmp(w->names[i].trace, name) != 0)
            continue;
        if (w->names[i].numbered)
            (void)snprintf(tensor, sizeof tensor, "%s%u", w->names[i].tensor, index);
        else
            (void)snprintf(tensor, sizeof tensor, "%s", w->names[i].tensor);
        if (!verdict_expects(w->v, tensor))
            continue;
        w->status = bench_download(w->device, mat, &got);
        if (w->status == BLIP2_OK)
            w->status = verdict_tensor(w->v, tensor, got, mat->rows, mat->cols, w->row_of);
        b2_free(got);
    }
}

void watch_init(watch *out, b2_device *device, verdict *v, const watch_name *names, size_t count) {
    *out = (watch){.trace = {see, out}, .device = device, .v = v, .names = names, .count = count};
}
