/* How each device of this build is opened. The list of devices is open.c; a device knows nothing of
 * the others. */
#ifndef B2_DEVICES_H
#define B2_DEVICES_H
#include "device.h"

/* level: an instruction set level of cpu/kernels.h, NULL for the best. */
blip2_status b2_cpu_open(b2_device **out, const char *level, const b2_device_options *options);

#ifdef BLIP2_HAS_CUDA
/* ordinal: of the GPU, as the driver counts. ENOTSUP: "what is missing; what to do". */
blip2_status b2_cuda_open(b2_device **out, uint32_t ordinal, const b2_device_options *options);
/* GPUs that the driver finds, or 1 where it is too old to be asked; 0 without a driver. */
uint32_t b2_cuda_count(void);
#endif

#endif
