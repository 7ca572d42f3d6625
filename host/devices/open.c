/* The list of devices of this build. */
#include "devices/devices.h"

#include <stdio.h>
#include <string.h>

#ifndef BLIP2_HAS_CUDA
static blip2_status b2_cuda_open(b2_device **out, uint32_t ordinal,
                                 const b2_device_options *options) {
    (void)options;
    *out = NULL;
    return b2_fail(BLIP2_ENOTSUP,
                   "no device cuda:%u: this build has no CUDA device; build with "
                   "-DBLIP2_CUDA=ON, or choose device cpu",
                   ordinal);
}

static uint32_t b2_cuda_count(void) {
    return 0;
}
#endif

static blip2_status open_cuda(b2_device **out, const char *name, const b2_device_options *options) {
    const char *text = name + strlen("cuda");
    uint32_t ordinal = 0;

    if (text[0] == '\0')
        return b2_cuda_open(out, 0, options);
    if (text[0] != ':' || text[1] == '\0' || strlen(text) > 4)
        return b2_fail(BLIP2_ENOTSUP, "no device '%s': GPUs are named cuda:0, cuda:1, ...", name);
    for (text++; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return b2_fail(BLIP2_ENOTSUP, "no device '%s': GPUs are named cuda:0, cuda:1, ...",
                           name);
        ordinal = ordinal * 10 + (uint32_t)(*text - '0');
    }
    return b2_cuda_open(out, ordinal, options);
}

/* The first GPU that opens. Any failure but a wrong option leads on, in the end to the CPU, which
 * keeps what was missing on the first GPU: what to do about it is told to whoever asks for it. */
static blip2_status open_auto(b2_device **out, const b2_device_options *options) {
    uint32_t gpus = b2_cuda_count(), ordinal = 0;
    char why[sizeof(*out)->no_gpu] = "";
    blip2_status status;

    do {
        status = b2_cuda_open(out, ordinal, options);
        if (status == BLIP2_OK || status == BLIP2_EINVAL)
            return status;
        if (ordinal == 0)
            (void)snprintf(why, sizeof why, "%.*s", (int)strcspn(blip2_error_message(), ";"),
                           blip2_error_message());
    } while (++ordinal < gpus);
    status = b2_cpu_open(out, NULL, options);
    if (status == BLIP2_ENOTSUP)
        return b2_fail(status, "compute: the CPU device computes in F32 only, and %s", why);
    if (status == BLIP2_OK) {
        memcpy((*out)->no_gpu, why, sizeof why);
        (*out)->gpu_unused = gpus > 0;
    }
    return status;
}

blip2_status b2_device_open(b2_device **out, const char *name, const b2_device_options *options) {
    static const b2_device_options defaults = {0};

    *out = NULL;
    options = options != NULL ? options : &defaults;
    if (name == NULL || strcmp(name, "auto") == 0)
        return open_auto(out, options);
    if (strcmp(name, "cpu") == 0)
        return b2_cpu_open(out, NULL, options);
    if (strncmp(name, "cpu:", 4) == 0)
        return b2_cpu_open(out, name + 4, options);
    if (strncmp(name, "cuda", 4) == 0)
        return open_cuda(out, name, options);
    return b2_fail(BLIP2_ENOTSUP, "no device '%s': expected auto, cpu, cuda or cuda:N", name);
}

void b2_device_close(b2_device *device) {
    if (device != NULL)
        device->ops->close(device);
}
