/* What measuring needs of a GPU beyond the seam (bench/kernels.c): work queued once into a graph,
 * so that the time of the host's calls is not measured, launched between events. No CUDA header
 * here.
 *
 * Graphs of one measurement are all queued before anything is waited for: a first one that is not
 * counted, then one between each two events. So the GPU is never idle when an event is reached, and
 * its clocks have risen. */
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

/* Queues operation number i; called in order. */
typedef blip2_status (*b2_timed_work)(void *payload, uint32_t i);
typedef struct b2_timed b2_timed;

/* Queue operations 0 .. count-1 into a graph, without running them. What they need prepared (plans,
 * converted biases) must be there: run them once before. */
blip2_status b2_timed_record(b2_timed **out, b2_device *device, b2_timed_work work, void *payload,
                             uint32_t count);
/* Run the graph 1 + samples times; seconds [samples] of the last ones. */
blip2_status b2_timed_run(b2_timed *timed, uint32_t samples, double *seconds);
void b2_timed_close(b2_timed *timed); /* NULL is allowed */

/* Queue a copy from device memory to device memory. */
blip2_status b2_gpu_copy(b2_device *device, void *to, const void *from, size_t bytes);

#endif
