/* The list of devices of this build. */
#include <string.h>

#include "cpu/cpu.h"
#include "device.h"

blip2_status b2_device_open(b2_device **out, const char *name, uint32_t threads) {
    *out = NULL;
    if (name == NULL || strcmp(name, "cpu") == 0)
        return b2_cpu_open(out, NULL, threads);
    if (strncmp(name, "cpu:", 4) == 0)
        return b2_cpu_open(out, name + 4, threads);
    return b2_fail(BLIP2_ENOTSUP, "no device '%s': this build has cpu", name);
}

void b2_device_close(b2_device *device) {
    if (device != NULL)
        device->ops->close(device);
}
