/* What measuring needs of a GPU beyond the seam (bench/kernels.c): captured operations, so that the
 * time of the host's calls is not measured, timed by events. No CUDA header here. */
#ifndef B2_TIMING_H
#define B2_TIMING_H
#include "device.h"

typedef struct b2_gpu_facts {
    char name[256];
    int major, minor, multiprocessors;
    int runtime, driver; /* versions of CUDA, 13000 for 13.0 */
    size_t cache_bytes;  /* L2 */
    size_t total_bytes, free_bytes;
} b2_gpu_facts;

/* EINVAL: the device is no GPU. */
blip2_status b2_gpu_facts_of(b2_device *device, b2_gpu_facts *out);

/* Run a graph 1 + samples times; seconds [samples] of the last ones. All runs are queued before
 * anything is waited for, with an event between each two: the GPU is not idle when an event is
 * reached, and its clocks have risen. */
blip2_status b2_gpu_time(b2_device *device, b2_graph *graph, uint32_t samples, double *seconds);

/* Queue a copy from device memory to device memory. */
blip2_status b2_gpu_copy(b2_device *device, void *to, const void *from, size_t bytes);

#endif
