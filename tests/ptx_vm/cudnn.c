/* cuDNN for the software GPU: the functions that the CUDA device calls, no others. The device finds
 * them in the test program in place of the library's.
 *
 * It knows one graph: y = x * w (+ bias) in three dimensions, channels last. A descriptor keeps
 * what it was given, attribute by attribute, under the types that cuDNN's manual names; finalising
 * checks what the real library (9.19) was seen to check. Its engines are those that the real one
 * has for this graph, as far as they differ for the caller: by the list they stand in, by what they
 * round, by their workspace, and none for half types with an odd number of channels. Every element
 * of every tensor is checked as a kernel's access would be. */
#pragma GCC visibility push(default)
#include <cudnn_graph.h>
#pragma GCC visibility pop

#include "cudnn.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "ptx_vm.h"
#include "util.h"

enum { DIMS = 5, SPACE = 3, MOST = 8, ATTRIBUTES = 8 };

typedef struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t count;
    unsigned char bytes[MOST * 8];
} attribute;

typedef enum engine_id { NONE, TENSOR_CORES, LARGE, DIRECT, COMPILED } engine_id;

typedef struct descriptor {
    cudnnBackendDescriptorType_t kind;
    bool finished;
    engine_id engine; /* of an engine or its configuration */
    int count;
    attribute attributes[ATTRIBUTES];
} descriptor;

struct cudnnContext {
    cudaStream_t stream;
};

static const struct engine {
    cudnnBackendNumericalNote_t notes[1];
    int64_t note_count, workspace;
} engines[] = {[TENSOR_CORES] = {{CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, 1, 1 << 20},
               [LARGE] = {{0}, 0, INT64_C(1) << 40},
               [DIRECT] = {{CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, 1, 0},
               [COMPILED] = {{CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, 1, 4096}};

static uint64_t fail_at, live;

void vm_cudnn_fail(uint64_t nth) {
    fail_at = nth;
}

uint64_t vm_cudnn_live(void) {
    return live;
}

static void *make(size_t size) {
    if (fail_at > 0 && --fail_at == 0) {
        return NULL;
    }
    live++;
    return vm_calloc(1, size);
}

const char *cudnnGetErrorString(cudnnStatus_t status) {
    switch (CUDNN_STATUS_CATEGORY(status)) {
    case CUDNN_STATUS_SUCCESS:
        return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_BAD_PARAM:
        return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
        return "CUDNN_STATUS_NOT_SUPPORTED";
    default:
        return "CUDNN_STATUS_EXECUTION_FAILED";
    }
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *out) {
    *out = make(sizeof(**out));
    return *out ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    live--;
    free(handle);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    handle->stream = stream;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- attributes -------------------------------------------------------------------------------
 */

/* What may be set, and how many of it at most. */
static const struct known {
    cudnnBackendAttributeName_t name;
    cudnnBackendDescriptorType_t kind;
    cudnnBackendAttributeType_t type;
    int64_t most;
} table[] = {
#define KNOWN(kind, name, type, most)                                                              \
    {CUDNN_ATTR_##name, CUDNN_BACKEND_##kind##_DESCRIPTOR, CUDNN_TYPE_##type, most},
    KNOWN(TENSOR, TENSOR_UNIQUE_ID, INT64, 1) KNOWN(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1) KNOWN(
        TENSOR, TENSOR_DIMENSIONS, INT64, MOST) KNOWN(TENSOR, TENSOR_STRIDES, INT64, MOST)
        KNOWN(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1) KNOWN(TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, 1)
            KNOWN(CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE,
                  1) KNOWN(CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE,
                           1) KNOWN(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64,
                                    1) KNOWN(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, MOST)
                KNOWN(CONVOLUTION, CONVOLUTION_DILATIONS, INT64,
                      MOST) KNOWN(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64,
                                  MOST) KNOWN(CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, MOST)
                    KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                          BACKEND_DESCRIPTOR,
                          1) KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_X,
                                   BACKEND_DESCRIPTOR, 1) KNOWN(OPERATION_CONVOLUTION_FORWARD,
                                                                OPERATION_CONVOLUTION_FORWARD_W,
                                                                BACKEND_DESCRIPTOR, 1)
                        KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_Y,
                              BACKEND_DESCRIPTOR, 1) KNOWN(OPERATION_CONVOLUTION_FORWARD,
                                                           OPERATION_CONVOLUTION_FORWARD_ALPHA,
                                                           FLOAT, 1)
                            KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_BETA,
                                  FLOAT, 1) KNOWN(POINTWISE, POINTWISE_MODE, POINTWISE_MODE, 1)
                                KNOWN(POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, 1) KNOWN(
                                    OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR,
                                    BACKEND_DESCRIPTOR,
                                    1) KNOWN(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC,
                                             BACKEND_DESCRIPTOR, 1) KNOWN(OPERATION_POINTWISE,
                                                                          OPERATION_POINTWISE_BDESC,
                                                                          BACKEND_DESCRIPTOR, 1)
                                    KNOWN(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC,
                                          BACKEND_DESCRIPTOR,
                                          1) KNOWN(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE,
                                                   1) KNOWN(OPERATIONGRAPH, OPERATIONGRAPH_OPS,
                                                            BACKEND_DESCRIPTOR, MOST)
                                        KNOWN(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH,
                                              BACKEND_DESCRIPTOR,
                                              1) KNOWN(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1)
                                            KNOWN(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1)
                                                KNOWN(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG,
                                                      BACKEND_DESCRIPTOR,
                                                      1) KNOWN(VARIANT_PACK,
                                                               VARIANT_PACK_UNIQUE_IDS, INT64, MOST)
                                                    KNOWN(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS,
                                                          VOID_PTR, MOST)
                                                        KNOWN(VARIANT_PACK, VARIANT_PACK_WORKSPACE,
                                                              VOID_PTR, 1)
#undef KNOWN
};

static size_t size_of(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
        return sizeof(bool);
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    default:
        return 4; /* an enum, or a float */
    }
}

static const attribute *find(const descriptor *d, cudnnBackendAttributeName_t name) {
    int i;

    for (i = 0; d && i < d->count; i++) {
        if (d->attributes[i].name == name) {
            return &d->attributes[i];
        }
    }
    return NULL;
}

/* The whole value, or zeros. */
static void take(void *out, const descriptor *d, cudnnBackendAttributeName_t name, size_t bytes) {
    const attribute *a = find(d, name);

    memset(out, 0, bytes);
    if (a) {
        memcpy(out, a->bytes, bytes);
    }
}

static int64_t integer(const descriptor *d, cudnnBackendAttributeName_t name) {
    int64_t value;

    take(&value, d, name, sizeof(value));
    return value;
}

/* -1: not given */
static int choice(const descriptor *d, cudnnBackendAttributeName_t name) {
    int value;

    take(&value, d, name, sizeof(value));
    return find(d, name) ? value : -1;
}

static const descriptor *part(const descriptor *d, cudnnBackendAttributeName_t name, int index) {
    descriptor *parts[MOST];

    take(parts, d, name, sizeof(parts));
    return parts[index];
}

static int64_t count_of(const descriptor *d, cudnnBackendAttributeName_t name) {
    const attribute *a = find(d, name);

    return a ? a->count : 0;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t kind,
                                           cudnnBackendDescriptor_t *out) {
    descriptor *new = make(sizeof(*new));

    *out = new;
    if (!new) {
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    }
    new->kind = kind;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) {
    live--;
    free(d);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t to,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void *values) {
    descriptor *d = to;
    descriptor *parts[MOST];
    const struct known *k = table, *end = table + sizeof(table) / sizeof(*table);
    attribute *a;
    int64_t i;

    for (; k < end && (k->name != name || !d || k->kind != d->kind); k++) {
    }
    if (k == end || type != k->type || count < 1 || count > k->most || !values || d->finished ||
        find(d, name) || d->count == ATTRIBUTES) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    a = &d->attributes[d->count++];
    a->name = name;
    a->count = count;
    memcpy(a->bytes, values, (size_t)count * size_of(type));
    memcpy(parts, a->bytes, sizeof(parts));
    for (i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++) {
        if (!parts[i] || !parts[i]->finished) {
            return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

/* ---- what must hold ---------------------------------------------------------------------------
 */

typedef struct tensor {
    int64_t id, alignment, dims[DIMS], strides[DIMS]; /* image, channel, depth, height, width */
    int type;                                         /* cudnnDataType_t */
    bool inside;                                      /* has no memory */
} tensor;

static tensor tensor_of(const descriptor *d) {
    tensor t;

    memset(&t, 0, sizeof(t));
    t.id = integer(d, CUDNN_ATTR_TENSOR_UNIQUE_ID);
    t.alignment = integer(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    t.type = choice(d, CUDNN_ATTR_TENSOR_DATA_TYPE);
    take(t.dims, d, CUDNN_ATTR_TENSOR_DIMENSIONS, sizeof(t.dims));
    take(t.strides, d, CUDNN_ATTR_TENSOR_STRIDES, sizeof(t.strides));
    take(&t.inside, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, sizeof(t.inside));
    return t;
}

static size_t element(int type) {
    return type == CUDNN_DATA_FLOAT ? 4 : 2;
}

static bool is_half(int type) {
    return type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16;
}

static bool is_tensor(const descriptor *d) {
    tensor t = tensor_of(d);
    int i;

    if (!find(d, CUDNN_ATTR_TENSOR_UNIQUE_ID) ||
        count_of(d, CUDNN_ATTR_TENSOR_DIMENSIONS) != DIMS ||
        count_of(d, CUDNN_ATTR_TENSOR_STRIDES) != DIMS || t.alignment <= 0 ||
        (t.alignment & (t.alignment - 1)) != 0 || (size_t)t.alignment % element(t.type) != 0) {
        return false;
    }
    for (i = 0; i < DIMS && t.dims[i] > 0 && t.strides[i] > 0; i++) {
    }
    return i == DIMS && t.strides[1] == 1 && (t.type == CUDNN_DATA_FLOAT || is_half(t.type));
}

static bool is_convolution(const descriptor *d) {
    int64_t dilations[SPACE], before[SPACE], after[SPACE];
    int i;

    take(dilations, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, sizeof(dilations));
    take(before, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, sizeof(before));
    take(after, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, sizeof(after));
    for (i = 0; i < SPACE && dilations[i] == 1 && before[i] == 0 && after[i] == 0; i++) {
    }
    return i == SPACE && integer(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) == SPACE &&
           choice(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT &&
           choice(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION &&
           count_of(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES) == SPACE &&
           count_of(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS) == SPACE &&
           count_of(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS) == SPACE;
}

/* One graph with its memory. */
typedef struct problem {
    tensor x, w, y, bias;
    int64_t strides[SPACE];
    bool has_bias, rounds; /* rounds: fp32 factors to TF32 */
    const void *x_data, *w_data, *bias_data;
    void *y_data, *workspace;
    int64_t workspace_bytes;
} problem;

static bool is_forward(const descriptor *d, problem *p) {
    float alpha, beta;
    int i;

    p->x = tensor_of(part(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 0));
    p->w = tensor_of(part(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 0));
    p->y = tensor_of(part(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 0));
    take(p->strides, part(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 0),
         CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, sizeof(p->strides));
    take(&alpha, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, sizeof(alpha));
    take(&beta, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, sizeof(beta));
    for (i = 0; i < SPACE; i++) {
        int64_t room = p->x.dims[2 + i] - p->w.dims[2 + i];

        if (p->strides[i] <= 0 || room < 0 || p->y.dims[2 + i] != room / p->strides[i] + 1) {
            return false;
        }
    }
    return p->x.dims[0] == p->y.dims[0] && p->x.dims[1] == p->w.dims[1] &&
           p->w.dims[0] == p->y.dims[1] && p->x.type == p->w.type && alpha == 1.0f && beta == 0.0f;
}

/* The addition's x is what the convolution makes, and stays inside. */
static bool is_graph(const descriptor *d, problem *p) {
    const descriptor *first = part(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, 0), *sums;
    const descriptor *second = part(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, 1);

    memset(p, 0, sizeof(*p));
    if (!find(d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE) || !first || !is_forward(first, p)) {
        return false;
    }
    if (!second) {
        return !p->y.inside;
    }
    sums = part(first, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 0);
    if (!p->y.inside || part(second, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0) != sums ||
        count_of(d, CUDNN_ATTR_OPERATIONGRAPH_OPS) != 2) {
        return false;
    }
    p->has_bias = true;
    p->y = tensor_of(part(second, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 0));
    p->bias = tensor_of(part(second, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 0));
    return !p->y.inside && p->bias.dims[1] == p->y.dims[1] &&
           p->bias.dims[0] * p->bias.dims[2] * p->bias.dims[3] * p->bias.dims[4] == 1;
}

static bool may_finish(const descriptor *d) {
    problem p;

    switch (d->kind) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        return is_tensor(d);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
        return is_convolution(d);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        return is_forward(d, &p);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
        return choice(d, CUDNN_ATTR_POINTWISE_MODE) == CUDNN_POINTWISE_ADD &&
               choice(d, CUDNN_ATTR_POINTWISE_MATH_PREC) == CUDNN_DATA_FLOAT;
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return d->count == 4;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        return is_graph(d, &p);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        return d->count == 2;
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        return count_of(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS) ==
               count_of(d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    default:
        return false;
    }
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor_) {
    descriptor *d = descriptor_;

    if (d->finished || !may_finish(d)) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    d->finished = true;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- engines ----------------------------------------------------------------------------------
 */

/* out [2]: the engines of a list. */
static int64_t list_engines(engine_id *out, const descriptor *heuristics) {
    int mode = choice(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE);
    problem p;

    (void)is_graph(part(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0), &p);
    if (is_half(p.x.type)) {
        out[0] = COMPILED;
        return mode == CUDNN_HEUR_MODE_FALLBACK && p.x.dims[1] % 2 == 0 ? 1 : 0;
    }
    out[0] = mode == CUDNN_HEUR_MODE_FALLBACK ? DIRECT : TENSOR_CORES;
    out[1] = LARGE;
    return mode == CUDNN_HEUR_MODE_FALLBACK ? 1 : 2;
}

/* The first of what a caller made are filled in; a configuration keeps the graph that it is for. */
static cudnnStatus_t get_configurations(const descriptor *heuristics, int64_t most, int64_t *count,
                                        descriptor **configs) {
    engine_id found[2];
    int64_t i;

    *count = list_engines(found, heuristics);
    for (i = 0; i < *count && i < most; i++) {
        if (!configs[i] || configs[i]->kind != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) {
            return CUDNN_STATUS_BAD_PARAM;
        }
        configs[i]->finished = true;
        configs[i]->engine = found[i];
        configs[i]->count = 1;
        configs[i]->attributes[0] = *find(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t from,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t most,
                                       int64_t *count, void *values) {
    const descriptor *d = from;
    descriptor **parts = values;

    *count = 1;
    if (!d || !d->finished || most < 1) {
        return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    }
    if (d->kind == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR && name == CUDNN_ATTR_ENGINEHEUR_RESULTS &&
        type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        return get_configurations(d, most, count, parts);
    }
    if (d->kind == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR && name == CUDNN_ATTR_ENGINECFG_ENGINE &&
        type == CUDNN_TYPE_BACKEND_DESCRIPTOR && parts[0] &&
        parts[0]->kind == CUDNN_BACKEND_ENGINE_DESCRIPTOR) {
        parts[0]->finished = true;
        parts[0]->engine = d->engine;
        return CUDNN_STATUS_SUCCESS;
    }
    if (d->kind == CUDNN_BACKEND_ENGINE_DESCRIPTOR && name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE &&
        type == CUDNN_TYPE_NUMERICAL_NOTE) {
        *count = engines[d->engine].note_count;
        memcpy(values, engines[d->engine].notes, (size_t)*count * sizeof(engines->notes[0]));
        return CUDNN_STATUS_SUCCESS;
    }
    if (d->kind == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
        name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
        d = part(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
        memcpy(values, &engines[d->engine].workspace, sizeof(int64_t));
        return CUDNN_STATUS_SUCCESS;
    }
    return CUDNN_STATUS_BAD_PARAM;
}

/* ---- execution --------------------------------------------------------------------------------
 */

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
    return (const char *)data + offset * (int64_t)element(t->type);
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
        const void *run = vm_device_read(address(data, t, at), channels * element(t->type), WHO);
        const uint16_t *halves = run;

        if (!run) {
            free(out);
            return NULL;
        }
        for (i = 0; i < channels; i++, to++) {
            if (is_half(t->type)) {
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

static bool run(const void *arguments) {
    const problem *p = arguments;
    void *workspace = p->workspace_bytes > 0
                          ? vm_device_write(p->workspace, (size_t)p->workspace_bytes, WHO)
                          : NULL;
    float *x = read_tensor(p->x_data, &p->x, p->rounds);
    float *w = read_tensor(p->w_data, &p->w, p->rounds);
    float *bias = p->has_bias ? read_tensor(p->bias_data, &p->bias, false) : NULL;
    bool right = x && w && (bias || !p->has_bias) && (workspace || p->workspace_bytes == 0);

    if (workspace) {
        memset(workspace, 0xff, (size_t)p->workspace_bytes);
    }
    right = right && write_all(p, x, w, bias);
    free(x);
    free(w);
    free(bias);
    return right;
}

/* The pointer bound to a tensor; NULL: none, or not aligned as was promised. */
static void *bound(const descriptor *pack, const tensor *t) {
    int64_t ids[MOST], i, count = count_of(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    void *pointers[MOST];

    take(ids, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, sizeof(ids));
    take(pointers, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, sizeof(pointers));
    for (i = 0; i < count && ids[i] != t->id; i++) {
    }
    return i < count && (uintptr_t)pointers[i] % (uintptr_t)t->alignment == 0 ? pointers[i] : NULL;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack_) {
    const descriptor *pack = pack_;
    const descriptor *config = part(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
    problem p;

    if (!handle || !config || !config->finished || !((const descriptor *)plan)->finished ||
        !pack->finished) {
        return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    }
    (void)is_graph(part(config, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0), &p);
    p.rounds = config->engine == TENSOR_CORES;
    p.workspace_bytes = engines[config->engine].workspace;
    take(&p.workspace, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, sizeof(p.workspace));
    p.x_data = bound(pack, &p.x);
    p.w_data = bound(pack, &p.w);
    p.y_data = bound(pack, &p.y);
    p.bias_data = p.has_bias ? bound(pack, &p.bias) : NULL;
    if (!p.x_data || !p.w_data || !p.y_data || (p.has_bias && !p.bias_data) ||
        (!p.workspace && p.workspace_bytes > 0)) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    return vm_enqueue_call(handle->stream, WHO, run, &p, sizeof(p)) == 0
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}
