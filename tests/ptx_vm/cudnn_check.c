/* What a descriptor must say for cuDNN to finalise it, as far as the CUDA device uses it. */
#include <string.h>

#include "cudnn_parts.h"

static tensor tensor_of(const descriptor *d) {
    tensor t;

    memset(&t, 0, sizeof(t));
    t.id = vm_cudnn_integer(d, CUDNN_ATTR_TENSOR_UNIQUE_ID);
    t.alignment = vm_cudnn_integer(d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
    t.type = vm_cudnn_choice(d, CUDNN_ATTR_TENSOR_DATA_TYPE);
    vm_cudnn_take(t.dims, d, CUDNN_ATTR_TENSOR_DIMENSIONS, sizeof(t.dims));
    vm_cudnn_take(t.strides, d, CUDNN_ATTR_TENSOR_STRIDES, sizeof(t.strides));
    vm_cudnn_take(&t.inside, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, sizeof(t.inside));
    return t;
}

size_t vm_cudnn_element(int type) {
    return type == CUDNN_DATA_FLOAT ? 4 : 2;
}

bool vm_cudnn_is_half(int type) {
    return type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16;
}

static bool is_tensor(const descriptor *d) {
    tensor t = tensor_of(d);
    int i;

    if (vm_cudnn_count(d, CUDNN_ATTR_TENSOR_UNIQUE_ID) == 0 ||
        vm_cudnn_count(d, CUDNN_ATTR_TENSOR_DIMENSIONS) != DIMS ||
        vm_cudnn_count(d, CUDNN_ATTR_TENSOR_STRIDES) != DIMS || t.alignment <= 0 ||
        (t.alignment & (t.alignment - 1)) != 0 ||
        (size_t)t.alignment % vm_cudnn_element(t.type) != 0) {
        return false;
    }
    for (i = 0; i < DIMS && t.dims[i] > 0 && t.strides[i] > 0; i++) {
    }
    return i == DIMS && t.strides[1] == 1 &&
           (t.type == CUDNN_DATA_FLOAT || vm_cudnn_is_half(t.type));
}

static bool is_convolution(const descriptor *d) {
    int64_t dilations[SPACE], before[SPACE], after[SPACE];
    int i;

    vm_cudnn_take(dilations, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, sizeof(dilations));
    vm_cudnn_take(before, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, sizeof(before));
    vm_cudnn_take(after, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, sizeof(after));
    for (i = 0; i < SPACE && dilations[i] == 1 && before[i] == 0 && after[i] == 0; i++) {
    }
    return i == SPACE && vm_cudnn_integer(d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) == SPACE &&
           vm_cudnn_choice(d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT &&
           vm_cudnn_choice(d, CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION &&
           vm_cudnn_count(d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES) == SPACE &&
           vm_cudnn_count(d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS) == SPACE &&
           vm_cudnn_count(d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS) == SPACE;
}

static bool is_forward(const descriptor *d, problem *p) {
    float alpha, beta;
    int i;

    p->x = tensor_of(vm_cudnn_part(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, 0));
    p->w = tensor_of(vm_cudnn_part(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, 0));
    p->y = tensor_of(vm_cudnn_part(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 0));
    vm_cudnn_take(p->strides,
                  vm_cudnn_part(d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, 0),
                  CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, sizeof(p->strides));
    vm_cudnn_take(&alpha, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, sizeof(alpha));
    vm_cudnn_take(&beta, d, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, sizeof(beta));
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
bool vm_cudnn_read_graph(const descriptor *d, problem *p) {
    const descriptor *first = vm_cudnn_part(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, 0), *sums;
    const descriptor *second = vm_cudnn_part(d, CUDNN_ATTR_OPERATIONGRAPH_OPS, 1);

    memset(p, 0, sizeof(*p));
    if (vm_cudnn_count(d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE) == 0 || !first ||
        !is_forward(first, p)) {
        return false;
    }
    if (!second) {
        return !p->y.inside && p->y.type == CUDNN_DATA_FLOAT;
    }
    sums = vm_cudnn_part(first, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, 0);
    if (!p->y.inside || p->y.type != CUDNN_DATA_FLOAT ||
        vm_cudnn_part(second, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, 0) != sums ||
        vm_cudnn_count(d, CUDNN_ATTR_OPERATIONGRAPH_OPS) != 2) {
        return false;
    }
    p->has_bias = true;
    p->y = tensor_of(vm_cudnn_part(second, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, 0));
    p->bias = tensor_of(vm_cudnn_part(second, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, 0));
    return !p->y.inside && p->y.type == CUDNN_DATA_FLOAT && p->bias.type == CUDNN_DATA_FLOAT &&
           p->bias.dims[1] == p->y.dims[1] &&
           p->bias.dims[0] * p->bias.dims[2] * p->bias.dims[3] * p->bias.dims[4] == 1;
}

bool vm_cudnn_holds(const descriptor *d) {
    problem p;

    switch (d->kind) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        return is_tensor(d);
    case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
        return is_convolution(d);
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
        return is_forward(d, &p);
    case CUDNN_BACKEND_POINTWISE_DESCRIPTOR:
        return vm_cudnn_choice(d, CUDNN_ATTR_POINTWISE_MODE) == CUDNN_POINTWISE_ADD &&
               vm_cudnn_choice(d, CUDNN_ATTR_POINTWISE_MATH_PREC) == CUDNN_DATA_FLOAT;
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR:
        return d->count == 4;
    case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        return vm_cudnn_read_graph(d, &p);
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        return d->count == 2;
    case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        return vm_cudnn_count(d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS) ==
               vm_cudnn_count(d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    default:
        return false;
    }
}
