/* Shared by the files of cuDNN's stand-in: cudnn.c (its functions), cudnn_check.c (what a
 * descriptor must say), cudnn_run.c (the computation). */
#ifndef VM_CUDNN_PARTS_H
#define VM_CUDNN_PARTS_H
#pragma GCC visibility push(default)
#include <cudnn_graph.h>
#pragma GCC visibility pop

#include <stdbool.h>

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

typedef struct tensor {
    int64_t id, alignment, dims[DIMS], strides[DIMS]; /* image, channel, depth, height, width */
    int type;                                         /* cudnnDataType_t */
    bool inside;                                      /* has no memory */
} tensor;

/* One graph with its memory. */
typedef struct problem {
    tensor x, w, y, bias;
    int64_t strides[SPACE];
    bool has_bias, rounds; /* rounds: fp32 factors to TF32 */
    const void *x_data, *w_data, *bias_data;
    void *y_data, *workspace;
    int64_t workspace_bytes;
} problem;

/* The value of an attribute. Those that were not given are 0, but a choice is -1 then. */
int64_t vm_cudnn_integer(const descriptor *d, cudnnBackendAttributeName_t name);
int vm_cudnn_choice(const descriptor *d, cudnnBackendAttributeName_t name);
int64_t vm_cudnn_count(const descriptor *d, cudnnBackendAttributeName_t name);
const descriptor *vm_cudnn_part(const descriptor *d, cudnnBackendAttributeName_t name, int index);
void vm_cudnn_take(void *out, const descriptor *d, cudnnBackendAttributeName_t name, size_t bytes);

bool vm_cudnn_is_half(int type);
size_t vm_cudnn_element(int type);

/* Would cuDNN finalise it? */
bool vm_cudnn_holds(const descriptor *d);
/* *out = what a graph says, without memory. */
bool vm_cudnn_read_graph(const descriptor *graph, problem *out);

/* argument: a problem. */
bool vm_cudnn_run(const void *argument);

#endif
