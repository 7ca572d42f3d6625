#include "timing.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "gpu.h"

blip2_status b2_gpu_facts_of(b2_device *device, b2_gpu_facts *out) {
    b2_cuda *cuda = b2_cuda_of(device);
    struct cudaDeviceProp prop;
    blip2_status status;

    *out = (b2_gpu_facts){0};
    if (strcmp(device->ops->name, "cuda") != 0)
        return b2_fail(BLIP2_EINVAL, "device %s: expected cuda", device->ops->name);
    if ((status = b2_cuda_begin(cuda, NULL)) < 0 ||
        (status = b2_cuda_check(cuda, cudaGetDeviceProperties(&prop, cuda->ordinal),
                                "asking what it is")) < 0 ||
        (status = b2_cuda_check(cuda, cudaMemGetInfo(&out->free_bytes, &out->total_bytes),
                                "asking for its memory")) < 0 ||
        (status = b2_cuda_check(cuda, cudaRuntimeGetVersion(&out->runtime),
                                "asking for the runtime")) < 0 ||
        (status =
             b2_cuda_check(cuda, cudaDriverGetVersion(&out->driver), "asking for the driver")) < 0)
        return status;
    (void)snprintf(out->name, sizeof out->name, "%s", prop.name);
    out->major = prop.major;
    out->minor = prop.minor;
    out->multiprocessors = cuda->multiprocessors;
    out->cache_bytes = (size_t)prop.l2CacheSize;
    return BLIP2_OK;
}

/* events [samples + 1], made here */
static blip2_status time_runs(b2_cuda *cuda, b2_graph *graph, uint32_t samples, cudaEvent_t *events,
                              double *seconds) {
    blip2_status status = b2_cuda_sync(&cuda->device);

    for (uint32_t i = 0; i <= samples && status == BLIP2_OK; i++)
        status = b2_cuda_check(cuda, cudaEventCreate(&events[i]), "making an event");
    for (uint32_t i = 0; i <= samples && status == BLIP2_OK; i++)
        if ((status = b2_cuda_graph_run(&cuda->device, graph)) == BLIP2_OK)
            status =
                b2_cuda_check(cuda, cudaEventRecord(events[i], cuda->stream), "recording an event");
    if (status == BLIP2_OK)
        status = b2_cuda_sync(&cuda->device);
    for (uint32_t i = 0; i < samples && status == BLIP2_OK; i++) {
        float ms = 0;

        status = b2_cuda_check(cuda, cudaEventElapsedTime(&ms, events[i], events[i + 1]),
                               "reading events");
        seconds[i] = 1e-3 * (double)ms;
    }
    return status;
}

blip2_status b2_gpu_time(b2_device *device, b2_graph *graph, uint32_t samples, double *seconds) {
    cudaEvent_t *events = b2_calloc((size_t)samples + 1, sizeof(cudaEvent_t));
    blip2_status status;

    if (events == NULL)
        return b2_fail_memory();
    status = time_runs(b2_cuda_of(device), graph, samples, events, seconds);
    for (uint32_t i = 0; i <= samples; i++)
        if (events[i] != NULL)
            (void)cudaEventDestroy(events[i]);
    b2_free(events);
    return status;
}

blip2_status b2_gpu_copy(b2_device *device, void *to, const void *from, size_t bytes) {
    b2_cuda *cuda = b2_cuda_of(device);
    blip2_status status = b2_cuda_begin(cuda, "copy");

    return status < 0
               ? status
               : b2_cuda_check(
                     cuda, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, cuda->stream),
                     "copying on the GPU");
}
