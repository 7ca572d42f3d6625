#include "cpu/kernels.h"

#include <string.h>

const b2_cpu_kernels *b2_cpu_kernels_find(const char *level) {
    static const b2_cpu_kernels *const levels[] = {
#ifdef BLIP2_X86_LEVELS
        &b2_cpu_kernels_v4,
        &b2_cpu_kernels_v3,
#endif
        &b2_cpu_kernels_base,
    };

    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if ((level == NULL || strcmp(level, levels[i]->level) == 0) && levels[i]->supported())
            return levels[i];
    return NULL;
}
