/* Stream capture and graphs: a graph is the list of what was queued, in that order, which is one
 * order that its edges allow. Every capture is as strict as the mode ThreadLocal of a program with
 * one thread. */
#include <stdlib.h>

#include "runtime.h"

static void discard(struct CUgraph_st *graph) {
    vm_ops_release(&graph->ops);
    free(graph);
    vm_host_mutable()->live_graphs--;
}

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
    if (vm_call_fails(VM_CALL_GRAPH)) {
        return vm_leave(cudaErrorStreamCaptureUnsupported);
    }
    vm_host_mutable()->live_graphs++;
    s->capture = vm_calloc(1, sizeof(*s->capture));
    s->is_origin = true;
    s->invalid = false;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    struct CUgraph_st *graph;
    struct CUstream_st *s;

    vm_enter();
    *out = NULL;
    s = vm_stream_of(stream);
    if (!s || !s->capture || !s->is_origin) {
        return vm_leave(s && s->capture ? cudaErrorStreamCaptureUnmatched : cudaErrorIllegalState);
    }
    graph = s->capture;
    *out = s->invalid || vm_call_fails(VM_CALL_GRAPH) ? NULL : graph;
    vm_stream_end_capture(graph);
    if (!*out) {
        discard(graph);
    }
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
    struct CUgraphExec_st *exec;
    size_t i;

    (void)flags;
    vm_enter();
    *out = NULL;
    if (vm_call_fails(VM_CALL_GRAPH) || vm_capture_forbids()) {
        return vm_leave(cudaErrorNotSupported);
    }
    if (vm_call_fails(VM_CALL_ALLOCATION)) {
        return vm_leave(cudaErrorMemoryAllocation);
    }
    exec = vm_calloc(1, sizeof(*exec));
    vm_host_mutable()->live_graphs++;
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
    if (!s || !graph) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (!s->capture && vm_call_fails(VM_CALL_GRAPH)) {
        return vm_leave(cudaErrorNotSupported);
    }
    return vm_leave(vm_queue(s, &op));
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
        discard(graph);
    }
    return vm_leave(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    vm_enter();
    vm_drain_all();
    if (exec) {
        vm_ops_release(&exec->ops);
        free(exec);
        vm_host_mutable()->live_graphs--;
    }
    return vm_leave(cudaSuccess);
}
