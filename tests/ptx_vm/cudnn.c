/* cuDNN for the software GPU: the functions that the CUDA device calls, no others. The device finds
 * them in the test program in place of the library's.
 *
 * It knows one graph: y = x * w (+ bias) in three dimensions, channels last. A descriptor keeps
 * what it was given, attribute by attribute, under the types that cuDNN's manual names; finalising
 * checks what the real library (9.19) was seen to check. Its engines are those that the real one
 * has for this graph, as far as they differ for the caller: by the list they stand in, by what they
 * round, by their workspace, and none for half types with an odd number of channels. Every element
 * of every tensor is checked as a kernel's access would be. */
#include <stdlib.h>
#include <string.h>

#include "cudnn_parts.h"
#include "ptx_vm.h"
#include "util.h"
#include "vm_cudnn.h"

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
    { CUDNN_ATTR_##name, CUDNN_BACKEND_##kind##_DESCRIPTOR, CUDNN_TYPE_##type, most }
    KNOWN(TENSOR, TENSOR_UNIQUE_ID, INT64, 1),
    KNOWN(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1),
    KNOWN(TENSOR, TENSOR_DIMENSIONS, INT64, MOST),
    KNOWN(TENSOR, TENSOR_STRIDES, INT64, MOST),
    KNOWN(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1),
    KNOWN(TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, 1),
    KNOWN(CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1),
    KNOWN(CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1),
    KNOWN(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, 1),
    KNOWN(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, MOST),
    KNOWN(CONVOLUTION, CONVOLUTION_DILATIONS, INT64, MOST),
    KNOWN(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, MOST),
    KNOWN(CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, MOST),
    KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          BACKEND_DESCRIPTOR, 1),
    KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_X, BACKEND_DESCRIPTOR, 1),
    KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_W, BACKEND_DESCRIPTOR, 1),
    KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_Y, BACKEND_DESCRIPTOR, 1),
    KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_ALPHA, FLOAT, 1),
    KNOWN(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD_BETA, FLOAT, 1),
    KNOWN(POINTWISE, POINTWISE_MODE, POINTWISE_MODE, 1),
    KNOWN(POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, 1),
    KNOWN(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1),
    KNOWN(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1),
    KNOWN(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1),
    KNOWN(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1),
    KNOWN(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, 1),
    KNOWN(OPERATIONGRAPH, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, MOST),
    KNOWN(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1),
    KNOWN(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1),
    KNOWN(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1),
    KNOWN(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1),
    KNOWN(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, MOST),
    KNOWN(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, MOST),
    KNOWN(VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, 1),
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
void vm_cudnn_take(void *out, const descriptor *d, cudnnBackendAttributeName_t name, size_t bytes) {
    const attribute *a = find(d, name);

    memset(out, 0, bytes);
    if (a) {
        memcpy(out, a->bytes, bytes);
    }
}

int64_t vm_cudnn_integer(const descriptor *d, cudnnBackendAttributeName_t name) {
    int64_t value;

    vm_cudnn_take(&value, d, name, sizeof(value));
    return value;
}

/* -1: not given */
int vm_cudnn_choice(const descriptor *d, cudnnBackendAttributeName_t name) {
    int value;

    vm_cudnn_take(&value, d, name, sizeof(value));
    return find(d, name) ? value : -1;
}

const descriptor *vm_cudnn_part(const descriptor *d, cudnnBackendAttributeName_t name, int index) {
    descriptor *parts[MOST];

    vm_cudnn_take(parts, d, name, sizeof(parts));
    return parts[index];
}

int64_t vm_cudnn_count(const descriptor *d, cudnnBackendAttributeName_t name) {
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

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor_) {
    descriptor *d = descriptor_;

    if (d->finished || !vm_cudnn_holds(d)) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    d->finished = true;
    return CUDNN_STATUS_SUCCESS;
}

/* ---- engines ----------------------------------------------------------------------------------
 */

/* out [2]: the engines of a list. */
static int64_t list_engines(engine_id *out, const descriptor *heuristics) {
    int mode = vm_cudnn_choice(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE);
    problem p;

    (void)vm_cudnn_read_graph(vm_cudnn_part(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0),
                              &p);
    if (vm_cudnn_is_half(p.x.type)) {
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
        d = vm_cudnn_part(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
        memcpy(values, &engines[d->engine].workspace, sizeof(int64_t));
        return CUDNN_STATUS_SUCCESS;
    }
    return CUDNN_STATUS_BAD_PARAM;
}

/* ---- execution --------------------------------------------------------------------------------
 */

/* The pointer bound to a tensor; NULL: none, or not aligned as was promised. */
static void *bound(const descriptor *pack, const tensor *t) {
    int64_t ids[MOST], i, count = vm_cudnn_count(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    void *pointers[MOST];

    vm_cudnn_take(ids, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, sizeof(ids));
    vm_cudnn_take(pointers, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, sizeof(pointers));
    for (i = 0; i < count && ids[i] != t->id; i++) {
    }
    return i < count && (uintptr_t)pointers[i] % (uintptr_t)t->alignment == 0 ? pointers[i] : NULL;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack_) {
    const descriptor *pack = pack_;
    const descriptor *config = vm_cudnn_part(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 0);
    problem p;

    if (!handle || !config || !config->finished || !((const descriptor *)plan)->finished ||
        !pack->finished) {
        return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    }
    (void)vm_cudnn_read_graph(vm_cudnn_part(config, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 0), &p);
    p.rounds = config->engine == TENSOR_CORES;
    p.workspace_bytes = engines[config->engine].workspace;
    vm_cudnn_take(&p.workspace, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, sizeof(p.workspace));
    p.x_data = bound(pack, &p.x);
    p.w_data = bound(pack, &p.w);
    p.y_data = bound(pack, &p.y);
    p.bias_data = p.has_bias ? bound(pack, &p.bias) : NULL;
    if (!p.x_data || !p.w_data || !p.y_data || (p.has_bias && !p.bias_data) ||
        (!p.workspace && p.workspace_bytes > 0)) {
        return CUDNN_STATUS_BAD_PARAM;
    }
    return vm_enqueue_call(handle->stream, "cudnnBackendExecute", vm_cudnn_run, &p, sizeof(p)) == 0
               ? CUDNN_STATUS_SUCCESS
               : CUDNN_STATUS_EXECUTION_FAILED;
}
