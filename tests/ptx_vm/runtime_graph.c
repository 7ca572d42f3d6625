/* Stream capture and graphs: a graph is the list of what was queued, in that order, which is one
 * order that its edges allow. */
#include <stdlib.h>

#include "runtime.h"

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    struct CUstream_st *s;

    (void)mode;
    vm_enter();
    s = vm_stream_of(stream);
    if (!s || s == vm_stream_of(NULL)) { /* the default stream can't be captured */
        return vm_leave(s ? cudaErrorStreamCaptureUnsupported : cudaErrorInvalidResourceHandle);
    }
    if (s->capture) {
        return vm_leave(cudaErrorIllegalState);
    }
    s->capture = vm_calloc(1, sizeof(*s->capture));
    s->is_origin = true;
    s->invalid = false;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    struct CUstream_st *s;

    vm_enter();
    *out = NULL;
    s = vm_stream_of(stream);
    if (!s || !s->capture || !s->is_origin) {
        return vm_leave(s && s->capture ? cudaErrorStreamCaptureUnmatched : cudaErrorIllegalState);
    }
    if (s->invalid) {
        vm_ops_release(&s->capture->ops);
        free(s->capture);
    } else {
        *out = s->capture;
    }
    vm_stream_end_capture(s->capture);
    return vm_leave(*out ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    struct CUstream_st *s;

    vm_enter();
    s = vm_stream_of(stream);
    if (!s) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    *status = !s->capture  ? cudaStreamCaptureStatusNone
              : s->invalid ? cudaStreamCaptureStatusInvalidated
                           : cudaStreamCaptureStatusActive;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph,
                                 unsigned long long flags) {
    struct CUgraphExec_st *exec = vm_calloc(1, sizeof(*exec));
    size_t i;

    (void)flags;
    vm_enter();
    for (i = 0; i < graph->ops.count; i++) {
        vm_op copy = vm_op_copy(&graph->ops.items[i]);

        vm_ops_add(&exec->ops, &copy);
    }
    *out = exec;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    vm_op op = {.kind = VM_OP_GRAPH, .graph = graph};
    struct CUstream_st *s;

    vm_enter();
    s = vm_stream_of(stream);
    return vm_leave(s && graph ? vm_queue(s, &op) : cudaErrorInvalidResourceHandle);
}

/* Kernel launches, copies and sets of a graph; their handles are not given out. */
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    vm_enter();
    if (nodes) {
        return vm_leave(cudaErrorNotSupported);
    }
    *count = graph->ops.count;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    vm_enter();
    if (graph) {
        vm_ops_release(&graph->ops);
        free(graph);
    }
    return vm_leave(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    vm_enter();
    vm_drain_all();
    if (exec) {
        vm_ops_release(&exec->ops);
        free(exec);
    }
    return vm_leave(cudaSuccess);
}
