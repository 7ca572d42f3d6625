/* The convolution that cuDNN's stand-in computes, in fp32 loops over all of its factors. */
#include <stdlib.h>
#include <string.h>

#include "cudnn_parts.h"
#include "half.h"
#include "ptx_vm.h"
#include "util.h"

#define WHO "cudnnBackendExecute"

static float tf32(float value) {
    uint32_t bits = vm_bits(value);

    return vm_float((bits + 0xfff + (bits >> 13 & 1)) & ~UINT32_C(0x1fff));
}

static const char *address(const void *data, const tensor *t, const int64_t at[DIMS]) {
    int64_t offset = 0;
    int i;

    for (i = 0; i < DIMS; i++) {
        offset += at[i] * t->strides[i];
    }
    return (const char *)data + offset * (int64_t)vm_cudnn_element(t->type);
}

/* Moves to the next place but of channels; false: that was the last. */
static bool next(int64_t at[DIMS], const tensor *t) {
    static const int order[] = {4, 3, 2, 0};
    int i;

    for (i = 0; i < 4; i++) {
        if (++at[order[i]] < t->dims[order[i]]) {
            return true;
        }
        at[order[i]] = 0;
    }
    return false;
}

/* All of a tensor [image, depth, height, width, channel], each run of channels checked as a read.
 * NULL: a finding. */
static float *read_tensor(const void *data, const tensor *t, bool rounds) {
    size_t channels = (size_t)t->dims[1], i;
    size_t runs = (size_t)(t->dims[0] * t->dims[2] * t->dims[3] * t->dims[4]);
    float *out = vm_calloc(runs, channels * sizeof(*out)), *to = out;
    int64_t at[DIMS] = {0};

    do {
        const void *run =
            vm_device_read(address(data, t, at), channels * vm_cudnn_element(t->type), WHO);
        const uint16_t *halves = run;

        if (!run) {
            free(out);
            return NULL;
        }
        for (i = 0; i < channels; i++, to++) {
            if (vm_cudnn_is_half(t->type)) {
                *to = t->type == CUDNN_DATA_HALF ? vm_from_f16(halves[i]) : vm_from_bf16(halves[i]);
            } else {
                memcpy(to, (const float *)run + i, sizeof(*to));
                *to = rounds ? tf32(*to) : *to;
            }
        }
    } while (next(at, t));
    return out;
}

/* The sum of x under filter k of w at a place of y. */
static float sum_at(const problem *p, const float *x, const float *w, int64_t k,
                    const int64_t at[DIMS]) {
    const int64_t *xd = p->x.dims, *wd = p->w.dims;
    int64_t c, t, r, s;
    float sum = 0.0f;

    w += k * wd[2] * wd[3] * wd[4] * wd[1];
    for (t = 0; t < wd[2]; t++) {
        for (r = 0; r < wd[3]; r++) {
            for (s = 0; s < wd[4]; s++, w += wd[1]) {
                int64_t row =
                    (at[0] * xd[2] + at[2] * p->strides[0] + t) * xd[3] + at[3] * p->strides[1] + r;
                const float *run = x + (row * xd[4] + at[4] * p->strides[2] + s) * xd[1];

                for (c = 0; c < wd[1]; c++) {
                    sum += run[c] * w[c];
                }
            }
        }
    }
    return sum;
}

static bool write_all(const problem *p, const float *x, const float *w, const float *bias) {
    int64_t at[DIMS] = {0}, k;

    do {
        float *y = vm_device_write((void *)(uintptr_t)address(p->y_data, &p->y, at),
                                   (size_t)p->y.dims[1] * sizeof(*y), WHO);

        if (!y) {
            return false;
        }
        for (k = 0; k < p->y.dims[1]; k++) {
            float value = sum_at(p, x, w, k, at) + (bias ? bias[k] : 0.0f);

            memcpy(&y[k], &value, sizeof(value));
        }
    } while (next(at, &p->y));
    return true;
}

bool vm_cudnn_run(const void *argument) {
    const problem *p = argument;
    void *workspace = p->workspace_bytes > 0
                          ? vm_device_write(p->workspace, (size_t)p->workspace_bytes, WHO)
                          : NULL;
    /* Before anything is read: an operand that the caller keeps there is lost. */
    if (workspace) {
        memset(workspace, 0xff, (size_t)p->workspace_bytes);
    }
    float *x = read_tensor(p->x_data, &p->x, p->rounds);
    float *w = read_tensor(p->w_data, &p->w, p->rounds);
    float *bias = p->has_bias ? read_tensor(p->bias_data, &p->bias, false) : NULL;
    bool right = x && w && (bias || !p->has_bias) && (workspace || p->workspace_bytes == 0);

    right = right && write_all(p, x, w, bias);
    free(x);
    free(w);
    free(bias);
    return right;
}
