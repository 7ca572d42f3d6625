/* Pictures to patches as one graph of cuDNN: how it is put together, and which engine it gets.
 *
 * cuDNN's tensor core kernels want what is summed over innermost, and pixels [B, 3, height, width]
 * do not lie like that. But a row of a patch is P pixels in one piece, and so is a row of a filter.
 * With those P as channels a picture is a volume [3, height, width/P], and the patches are
 *
 *     x [B, P, 3, height, width/P]   w [C, P, 3, P, 1]   y [B, C, 1, height/P, width/P]
 *
 * a convolution in three dimensions with strides 1, P, 1. All of them have their channels innermost
 * ("channels last") as they are, and y is the matrix of patches [B * g, C].
 *
 * x and w are T, sums, bias and y fp32. cuDNN's older calls know no such convolution; its graphs
 * do: a convolution, then an addition. What cuDNN 9.19 answers when it is asked with the
 * description of a GPU instead of a GPU (sm_80 to sm_120, P 14 and 16): half types have an engine
 * for this form, compiled when it is chosen, and none for odd P; the plain layout has none at all
 * with y in fp32. */
#include "convolution.h"

#include <string.h>

#include "gpu.h"

enum {
    CHOICES = 8, /* engines that are looked at, of each list */
    DIMS = 5,    /* of a tensor: image, channel, depth, height, width */
    SPACE = 3    /* the last three */
};

/* ---- descriptors -------------------------------------------------------------------------- */

/* Makes descriptors for a plan; after a failure it does nothing more. */
typedef struct builder {
    const b2_cudnn *cudnn;
    cudnnHandle_t handle;
    bool tf32;
    b2_conv_plan *plan;
    cudnnStatus_t status;
} builder;

static cudnnBackendDescriptor_t make(builder *b, cudnnBackendDescriptorType_t type) {
    cudnnBackendDescriptor_t new = NULL;

    if (b->status == 0 && b->plan->count == B2_CONV_PARTS)
        b->status = CUDNN_STATUS_NOT_SUPPORTED;
    if (b->status == 0)
        b->status = b->cudnn->BackendCreateDescriptor(type, &new);
    if (new != NULL)
        b->plan->parts[b->plan->count++] = new;
    return new;
}

static void set(builder *b, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    if (b->status == 0)
        b->status = b->cudnn->BackendSetAttribute(to, name, type, count, values);
}

static void set_part(builder *b, cudnnBackendDescriptor_t to, cudnnBackendAttributeName_t name,
                     cudnnBackendDescriptor_t part) {
    set(b, to, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part);
}

/* The number of values that were got. */
static int64_t get(builder *b, cudnnBackendDescriptor_t from, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t most, void *values) {
    int64_t count = 0;

    if (b->status == 0)
        b->status = b->cudnn->BackendGetAttribute(from, name, type, most, &count, values);
    return b->status != 0 ? 0 : count < most ? count : most;
}

static void finish(builder *b, cudnnBackendDescriptor_t descriptor) {
    if (b->status == 0)
        b->status = b->cudnn->BackendFinalize(descriptor);
}

/* ---- the graph ---------------------------------------------------------------------------- */

static cudnnDataType_t data_type(int32_t type) {
    return type == B2_F32   ? CUDNN_DATA_FLOAT
           : type == B2_F16 ? CUDNN_DATA_HALF
                            : CUDNN_DATA_BFLOAT16;
}

/* id: of a pointer, or B2_CONV_POINTERS for what stays inside the graph. Channels last, densely. */
static cudnnBackendDescriptor_t make_tensor(builder *b, int64_t id, cudnnDataType_t type,
                                            const int64_t dims[DIMS], int64_t alignment) {
    cudnnBackendDescriptor_t t = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    int64_t strides[DIMS] = {0, 1}, next = dims[1];
    const bool inside = true;

    for (int i = DIMS - 1; i > 1; i--) {
        strides[i] = next;
        next *= dims[i];
    }
    strides[0] = next;
    set(b, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(b, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(b, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, DIMS, dims);
    set(b, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, DIMS, strides);
    set(b, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    if (id == B2_CONV_POINTERS)
        set(b, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inside);
    finish(b, t);
    return t;
}

static cudnnBackendDescriptor_t make_convolution(builder *b, const b2_conv_shape *s,
                                                 cudnnBackendDescriptor_t y) {
    const int64_t x_dims[DIMS] = {s->images, s->patch, 3, s->height, s->width / s->patch};
    const int64_t w_dims[DIMS] = {s->cols, s->patch, 3, s->patch, 1};
    const int64_t strides[SPACE] = {1, s->patch, 1}, zeros[SPACE] = {0}, ones[SPACE] = {1, 1, 1};
    const int64_t space = SPACE;
    const cudnnDataType_t sums = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const float one = 1.0f, zero = 0.0f;
    cudnnBackendDescriptor_t x = make_tensor(b, B2_CONV_X, data_type(s->type), x_dims, s->x_align);
    cudnnBackendDescriptor_t w = make_tensor(b, B2_CONV_W, data_type(s->type), w_dims, s->w_align);
    cudnnBackendDescriptor_t how = make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR), op;

    set(b, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &sums);
    set(b, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(b, how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &space);
    set(b, how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, SPACE, strides);
    set(b, how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, SPACE, ones);
    set(b, how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, SPACE, zeros);
    set(b, how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, SPACE, zeros);
    finish(b, how);
    op = make(b, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
    set_part(b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, how);
    set_part(b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x);
    set_part(b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w);
    set_part(b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y);
    set(b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &one);
    set(b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &zero);
    finish(b, op);
    return op;
}

/* y = sums + bias */
static cudnnBackendDescriptor_t make_addition(builder *b, const b2_conv_shape *s,
                                              cudnnBackendDescriptor_t sums,
                                              cudnnBackendDescriptor_t y) {
    const int64_t dims[DIMS] = {1, s->cols, 1, 1, 1};
    const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    const cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
    cudnnBackendDescriptor_t bias =
        make_tensor(b, B2_CONV_BIAS, CUDNN_DATA_FLOAT, dims, s->bias_align);
    cudnnBackendDescriptor_t how = make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op;

    set(b, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(b, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    finish(b, how);
    op = make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, sums);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, bias);
    set_part(b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finish(b, op);
    return op;
}

static cudnnBackendDescriptor_t make_graph(builder *b, const b2_conv_shape *s) {
    const int64_t dims[DIMS] = {s->images, s->cols, 1, s->height / s->patch, s->width / s->patch};
    cudnnBackendDescriptor_t y = make_tensor(b, B2_CONV_Y, CUDNN_DATA_FLOAT, dims,
                                             B2_CONV_ALIGNMENT),
                             sums = y;
    cudnnBackendDescriptor_t operations[2], graph;
    int64_t count = 0;

    if (s->bias_align != 0)
        sums = make_tensor(b, B2_CONV_POINTERS, CUDNN_DATA_FLOAT, dims, B2_CONV_ALIGNMENT);
    operations[count++] = make_convolution(b, s, sums);
    if (s->bias_align != 0)
        operations[count++] = make_addition(b, s, sums, y);
    graph = make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->handle);
    set(b, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, operations);
    finish(b, graph);
    return graph;
}

/* ---- the engine --------------------------------------------------------------------------- */

/* Does an engine with these notes compute as linear does? Tensor cores round fp32 to TF32. */
static bool is_faithful(const builder *b, const cudnnBackendNumericalNote_t *notes, int64_t count) {
    bool rounds = b->tf32 || b->plan->shape.type != B2_F32;

    for (int64_t i = 0; i < count; i++)
        if (notes[i] != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP &&
            (notes[i] != CUDNN_NUMERICAL_NOTE_TENSOR_CORE || !rounds))
            return false;
    return true;
}

/* The plan of an engine's configuration; NULL: it will not do. */
static cudnnBackendDescriptor_t try_engine(builder *b, cudnnBackendDescriptor_t config) {
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendDescriptor_t engine = make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR), chosen;
    int64_t count, workspace = 0;

    (void)get(b, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
    count = get(b, engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes);
    if (b->status != 0 || !is_faithful(b, notes, count))
        return NULL;
    chosen = make(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set(b, chosen, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->handle);
    set_part(b, chosen, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
    finish(b, chosen);
    (void)get(b, chosen, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &workspace);
    return b->status == 0 && workspace <= B2_WORKSPACE_BYTES ? chosen : NULL;
}

/* The first engine of a list that will do; NULL: there is none. An engine that fails is not taken
 * (its compiler may be missing); only of memory more is said. */
static cudnnBackendDescriptor_t choose(builder *b, cudnnBackendDescriptor_t graph,
                                       cudnnBackendHeurMode_t mode) {
    cudnnBackendDescriptor_t list = make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR), chosen = NULL;
    cudnnBackendDescriptor_t configs[CHOICES];
    int64_t count;

    set_part(b, list, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    set(b, list, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    finish(b, list);
    for (int i = 0; i < CHOICES; i++)
        configs[i] = make(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    count = get(b, list, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, CHOICES,
                configs);
    for (int64_t i = 0; chosen == NULL && i < count; i++) {
        builder candidate = *b;

        chosen = try_engine(&candidate, configs[i]);
        if (candidate.status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED) {
            b->status = candidate.status;
            return NULL;
        }
    }
    return chosen;
}

/* ---- plans -------------------------------------------------------------------------------- */

void b2_conv_plan_free(b2_conv_plan *p, const b2_cudnn *cudnn) {
    if (p->pack != NULL)
        (void)cudnn->BackendDestroyDescriptor(p->pack);
    while (p->count > 0)
        (void)cudnn->BackendDestroyDescriptor(p->parts[--p->count]);
    memset(p, 0, sizeof *p);
}

static bool is_unsupported(cudnnStatus_t status) {
    return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED;
}

cudnnStatus_t b2_conv_plan_make(b2_conv_plan *out, const b2_cudnn *cudnn, cudnnHandle_t handle,
                                bool tf32, const b2_conv_shape *shape) {
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    builder b = {cudnn, handle, tf32, out, 0};
    cudnnBackendDescriptor_t graph;

    out->shape = *shape;
    graph = make_graph(&b, shape);
    for (int i = 0; i < 2 && b.status == 0 && out->chosen == NULL; i++) {
        out->chosen = choose(&b, graph, modes[i]);
        if (is_unsupported(b.status))
            b.status = 0; /* it has no such list */
    }
    if (out->chosen == NULL)
        b2_conv_plan_free(out, cudnn);
    if (b.status != 0 && !is_unsupported(b.status))
        return b.status;
    out->shape = *shape; /* its answer, whichever it is */
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t b2_conv_plan_bind(b2_conv_plan *p, const b2_cudnn *cudnn,
                                void *const pointers[B2_CONV_POINTERS], void *workspace) {
    static const int64_t ids[B2_CONV_POINTERS] = {B2_CONV_X, B2_CONV_W, B2_CONV_Y, B2_CONV_BIAS};
    const int64_t count = p->shape.bias_align != 0 ? B2_CONV_POINTERS : B2_CONV_POINTERS - 1;
    builder b = {.cudnn = cudnn, .plan = p};

    if (p->pack != NULL && memcmp(p->pointers, pointers, sizeof p->pointers) == 0)
        return CUDNN_STATUS_SUCCESS;
    if (p->pack != NULL)
        (void)cudnn->BackendDestroyDescriptor(p->pack);
    p->pack = NULL;
    b.status = cudnn->BackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &p->pack);
    set(&b, p->pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
    set(&b, p->pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers);
    set(&b, p->pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    finish(&b, p->pack);
    memcpy(p->pointers, pointers, sizeof p->pointers);
    if (b.status != 0 && p->pack != NULL) {
        (void)cudnn->BackendDestroyDescriptor(p->pack);
        p->pack = NULL;
    }
    return b.status;
}
