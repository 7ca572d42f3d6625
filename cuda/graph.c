/* Capture of what the stream is given, and its repetition: a step of decoding is two hundred small
 * kernels of some microseconds each, not much longer than it takes the host to launch one.
 *
 * The capture is thread-local: other threads of the process may go on allocating. Everything that a
 * kernel is told is recorded with it, cuBLASLt's algorithm and workspace too; scratch and counters
 * belong to the stream, in which a graph runs in order like anything else.                     */
#include "base/alloc.h"
#include "gpu.h"

struct b2_graph {
    cudaGraphExec_t exec;
};

/* A failure that is forgotten (gpu.h). */
static blip2_status check_graph(const b2_cuda *cuda, cudaError_t error, const char *what) {
    if (error == cudaSuccess)
        return BLIP2_OK;
    (void)cudaGetLastError();
    return b2_fail(error == cudaErrorMemoryAllocation ? BLIP2_EDEVMEM : BLIP2_ENOTSUP,
                   "cuda:%d: %s: %s", cuda->ordinal, what, cudaGetErrorString(error));
}

blip2_status b2_cuda_capture_begin(b2_device *device) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "capture");

    if (status < 0)
        return status;
    if (cuda->capturing)
        return b2_cuda_refuse(cuda, "it has begun already");
    status =
        check_graph(cuda, cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal),
                    "beginning a capture");
    cuda->capturing = status == BLIP2_OK;
    return status;
}

static blip2_status instantiate(const b2_cuda *cuda, cudaGraph_t captured, b2_graph **out) {
    b2_graph *graph = b2_calloc(1, sizeof *graph);
    blip2_status status;

    if (graph == NULL)
        return b2_fail_memory();
    status = check_graph(cuda, cudaGraphInstantiate(&graph->exec, captured, 0), "making a graph");
    if (status < 0) {
        b2_free(graph);
        return status;
    }
    *out = graph;
    return BLIP2_OK;
}

blip2_status b2_cuda_capture_end(b2_device *device, b2_graph **out) {
    b2_cuda *cuda = b2_cuda_of(device);
    cudaGraph_t captured = NULL;
    blip2_status status = b2_cuda_begin(cuda, "capture");

    *out = NULL;
    if (!cuda->capturing)
        return status < 0 ? status : b2_cuda_refuse(cuda, "it has not begun");
    /* Whatever begin said, this takes the stream out of its capture. */
    cuda->capturing = false;
    status = check_graph(cuda, cudaStreamEndCapture(cuda->stream, &captured), "ending a capture");
    if (status == BLIP2_OK)
        status = instantiate(cuda, captured, out);
    if (captured != NULL)
        (void)cudaGraphDestroy(captured);
    return status;
}

blip2_status b2_cuda_graph_run(b2_device *device, b2_graph *graph) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "a captured step");

    if (status < 0)
        return status;
    if (cuda->capturing)
        return b2_cuda_refuse(cuda, "graphs are not captured into others");
    return check_graph(cuda, cudaGraphLaunch(graph->exec, cuda->stream), "starting a graph");
}

void b2_cuda_graph_free(b2_device *device, b2_graph *graph) {
    if (graph == NULL)
        return;
    (void)cudaSetDevice(b2_cuda_of(device)->ordinal);
    (void)cudaGraphExecDestroy(graph->exec);
    b2_free(graph);
}
