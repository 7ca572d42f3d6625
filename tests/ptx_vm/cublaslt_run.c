/* The product, as the real library computes it: fp32 sums, inputs of TF32 rounded. */
#include <stdlib.h>
#include <string.h>

#include "cublaslt_parts.h"
#include "half.h"
#include "ptx_vm.h"
#include "util.h"

enum { TILE_M = 16, TILE_N = 4, SPOILED = 64 << 10 /* bytes */ };

static float tf32(float value) {
    uint32_t bits = vm_bits(value);

    return vm_float((bits + 0xfff + (bits >> 13 & 1)) & ~UINT32_C(0x1fff));
}

/* to [count] = a run of a matrix, checked as a read. */
static bool read_run(float *to, const void *device, cudaDataType type, size_t count) {
    const void *memory = vm_device_read(device, count * vm_cublaslt_element(type), VM_CUBLASLT_WHO);
    const uint16_t *halves = memory;
    size_t i;

    if (!memory) {
        return false;
    }
    if (type == CUDA_R_32F) {
        memcpy(to, memory, count * sizeof(*to));
    } else if (type == CUDA_R_16F) {
        for (i = 0; i < count; i++) {
            to[i] = vm_from_f16(halves[i]);
        }
    } else {
        for (i = 0; i < count; i++) {
            to[i] = vm_from_bf16(halves[i]);
        }
    }
    return true;
}

static bool write_run(void *device, cudaDataType type, const float *from, size_t count) {
    void *memory = vm_device_write(device, count * vm_cublaslt_element(type), VM_CUBLASLT_WHO);
    uint16_t *halves = memory;
    size_t i;

    if (!memory) {
        return false;
    }
    for (i = 0; i < count; i++) {
        if (type == CUDA_R_32F) {
            memcpy((float *)memory + i, &from[i], sizeof(*from));
        } else {
            halves[i] = type == CUDA_R_16F ? vm_to_f16(from[i]) : vm_to_bf16(from[i]);
        }
    }
    return true;
}

static const void *column(const void *data, const layout *l, uint64_t index) {
    return (const char *)data + (size_t)index * (size_t)l->stride * vm_cublaslt_element(l->type);
}

/* Column `index` of A or B as floats, rounded as the compute type says. */
static bool read_column(float *to, const product *p, const void *data, const layout *l,
                        uint64_t index) {
    uint64_t i;

    if (!read_run(to, column(data, l, index), l->type, (size_t)l->rows)) {
        return false;
    }
    for (i = 0; p->op.compute == CUBLAS_COMPUTE_32F_FAST_TF32 && i < l->rows; i++) {
        to[i] = tf32(to[i]);
    }
    return true;
}

/* parts += TILE_N columns of B [.., k] by a tile of A [k, TILE_M], elements from .. to - 1 of k. */
static void multiply_part(float parts[TILE_N][TILE_M], const float *a, const float *b, size_t k,
                          size_t from, size_t to) {
    size_t i, j, c;

    for (c = from; c < to; c++) {
        for (j = 0; j < TILE_N; j++) {
            for (i = 0; i < TILE_M; i++) {
                parts[j][i] += a[c * TILE_M + i] * b[j * k + c];
            }
        }
    }
}

/* sums [TILE_N][TILE_M], in the algorithm's order. */
static void multiply(float sums[TILE_N][TILE_M], const float *a, const float *b, size_t k,
                     size_t chunk) {
    size_t i, j, from;

    memset(sums, 0, sizeof(float) * TILE_N * TILE_M);
    for (from = 0; from < k; from += chunk) {
        float parts[TILE_N][TILE_M] = {0};

        multiply_part(parts, a, b, k, from, k - from < chunk ? k : from + chunk);
        for (j = 0; j < TILE_N; j++) {
            for (i = 0; i < TILE_M; i++) {
                sums[j][i] += parts[j][i];
            }
        }
    }
}

/* Rows m0 .. of column n of D. bias: of these rows. */
static bool finish(const product *p, const float *sums, const float *bias, uint64_t m0, size_t rows,
                   uint64_t n) {
    float values[TILE_M], c[TILE_M];
    size_t i;

    if (p->beta != 0.0f &&
        !read_run(c,
                  (const char *)column(p->c_data, &p->c, n) + m0 * vm_cublaslt_element(p->c.type),
                  p->c.type, rows)) {
        return false;
    }
    for (i = 0; i < rows; i++) {
        values[i] = p->alpha * sums[i];
        values[i] += p->beta != 0.0f ? p->beta * c[i] : 0.0f;
        values[i] += bias[i];
        values[i] = vm_cublaslt_has_relu(&p->op) && values[i] < 0.0f ? 0.0f : values[i];
    }
    return write_run((char *)(uintptr_t)column(p->d_data, &p->d, n) +
                         m0 * vm_cublaslt_element(p->d.type),
                     p->d.type, values, rows);
}

/* Rows m0 .. of D. a: scratch [k, TILE_M]; b: all of B [n rounded up to TILE_N, k]. */
static bool run_tile(const product *p, float *a, float *row, const float *b, uint64_t m0) {
    size_t k = (size_t)p->a.rows, i, c;
    size_t rows = p->a.cols - m0 < TILE_M ? (size_t)(p->a.cols - m0) : TILE_M;
    float bias[TILE_M] = {0}, sums[TILE_N][TILE_M];
    uint64_t n, j;

    for (i = 0; i < rows; i++) {
        if (!read_column(row, p, p->a_data, &p->a, m0 + i)) {
            return false;
        }
        for (c = 0; c < k; c++) {
            a[c * TILE_M + i] = row[c];
        }
    }
    if (vm_cublaslt_has_bias(&p->op) &&
        !read_run(bias, (const char *)p->op.bias + m0 * vm_cublaslt_element(p->d.type), p->d.type,
                  rows)) {
        return false;
    }
    for (n = 0; n < p->b.cols; n += TILE_N) {
        multiply(sums, a, b + n * k, k, p->chunk);
        for (j = 0; j < TILE_N && n + j < p->b.cols; j++) {
            if (!finish(p, sums[j], bias, m0, rows, n + j)) {
                return false;
            }
        }
    }
    return true;
}

/* Both ends of the workspace, which is the library's while a product runs: whoever keeps an operand
 * there loses it. All of it at each product would take longer than the products. */
static bool spoil_workspace(const product *p) {
    size_t head = p->workspace_bytes < SPOILED ? p->workspace_bytes : SPOILED;
    char *workspace;

    if (p->workspace_bytes == 0) {
        return true;
    }
    workspace = vm_device_write(p->workspace, p->workspace_bytes, VM_CUBLASLT_WHO);
    if (!workspace) {
        return false;
    }
    memset(workspace, 0xff, head);
    memset(workspace + p->workspace_bytes - head, 0xff, head);
    return true;
}

bool vm_cublaslt_run(const void *argument) {
    const product *p = argument;
    size_t k = (size_t)p->a.rows, n = (size_t)p->b.cols;
    float *a = vm_calloc(k, TILE_M * sizeof(*a)), *row = vm_calloc(k, sizeof(*row));
    float *b = vm_calloc((n + TILE_N - 1) / TILE_N * TILE_N, k * sizeof(*b));
    bool right = spoil_workspace(p);
    uint64_t i;

    for (i = 0; right && i < n; i++) {
        right = read_column(b + i * k, p, p->b_data, &p->b, i);
    }
    for (i = 0; right && i < p->a.cols; i += TILE_M) {
        right = run_tile(p, a, row, b, i);
    }
    free(a);
    free(row);
    free(b);
    return right;
}
