/* The list of devices of this build. */
#include "devices/devices.h"

#include <string.h>

#ifdef BLIP2_HAS_CUDA
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

/* Any failure of the GPU but a wrong option leads to the CPU. */
static blip2_status open_auto(b2_device **out, const b2_device_options *options) {
    blip2_status status = b2_cuda_open(out, 0, options);

    return status == BLIP2_OK || status == BLIP2_EINVAL ? status : b2_cpu_open(out, NULL, options);
}
#else
static blip2_status open_cuda(b2_device **out, const char *name, const b2_device_options *options) {
    (void)out, (void)options;
    return b2_fail(BLIP2_ENOTSUP, "no device '%s': this build has only cpu", name);
}

static blip2_status open_auto(b2_device **out, const b2_device_options *options) {
    return b2_cpu_open(out, NULL, options);
}
#endif

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
