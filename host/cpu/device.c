#include <omp.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "cpu/cpu.h"
#include "devices/devices.h"

static void cpu_close(b2_device *device) {
    b2_cpu *cpu = b2_cpu_of(device);

    b2_free(cpu->scratch);
    b2_free(cpu);
}

static blip2_status cpu_alloc(b2_device *device, void **out, size_t bytes) {
    (void)device;
    *out = b2_alloc_aligned(256, bytes);
    return *out != NULL ? BLIP2_OK : b2_fail_memory();
}

static void cpu_free(b2_device *device, void *memory) {
    (void)device;
    b2_free(memory);
}

static blip2_status cpu_copy(b2_device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    if (bytes > 0)
        memcpy(to, from, bytes);
    return BLIP2_OK;
}

static blip2_status cpu_sync(b2_device *device) {
    (void)device;
    return BLIP2_OK;
}

blip2_status b2_cpu_reserve(b2_cpu *cpu, size_t floats) {
    size_t total;
    float *grown;

    if (floats <= cpu->scratch_floats)
        return BLIP2_OK;
    if (!b2_size_round(floats, 64, &floats) || !b2_size_mul(floats, sizeof(float), &total) ||
        !b2_size_mul(total, (size_t)cpu->threads, &total) ||
        (grown = b2_alloc_aligned(256, total)) == NULL)
        return b2_fail_memory();
    b2_free(cpu->scratch);
    cpu->scratch = grown;
    cpu->scratch_floats = floats;
    return BLIP2_OK;
}

float *b2_cpu_scratch(const b2_cpu *cpu) {
    return cpu->scratch + (size_t)omp_get_thread_num() * cpu->scratch_floats;
}

static const b2_device_ops cpu_ops = {
    .name = "cpu",
    .close = cpu_close,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .sync = cpu_sync,
    .weight_create = b2_cpu_weight_create,
    .weight_free = b2_cpu_weight_free,
    .weight_bytes = b2_cpu_weight_bytes,
    .linear = b2_cpu_linear,
    .norm = b2_cpu_norm,
    .attention = b2_cpu_attention,
    .kv_write = b2_cpu_kv_write,
    .kv_copy_pages = b2_cpu_kv_copy_pages,
    .rope = b2_cpu_rope,
    .embed = b2_cpu_embed,
    .copy_rows = b2_cpu_copy_rows,
    .patch_embed = b2_cpu_patch_embed,
    .l2_normalise = b2_cpu_l2_normalise,
    .itc_max = b2_cpu_itc_max,
    .top_k = b2_cpu_top_k,
    .sample = b2_cpu_sample,
    .resize_normalise = b2_cpu_resize_normalise,
    .choose = b2_cpu_choose,
};

blip2_status b2_cpu_open(b2_device **out, const char *level, const b2_device_options *options) {
    uint32_t threads = options->threads;
    const b2_cpu_kernels *kernels = b2_cpu_kernels_find(level);
    b2_cpu *cpu;
    blip2_status status;

    *out = NULL;
    if (kernels == NULL)
        return b2_fail(BLIP2_ENOTSUP, "no device 'cpu:%s' on this processor", level);
    if (threads > 1024)
        return b2_fail(BLIP2_EINVAL, "threads is %u, more than 1024", threads);
    if (options->compute != B2_COMPUTE_AUTO && options->compute != B2_COMPUTE_F32)
        return b2_fail(BLIP2_ENOTSUP, "compute: the CPU device computes in F32 only");
    if ((cpu = b2_calloc(1, sizeof *cpu)) == NULL)
        return b2_fail_memory();
    cpu->device.ops = &cpu_ops;
    cpu->device.compute = B2_F32;
    cpu->kernels = kernels;
    /* OpenMP counts the processors of the affinity mask, not those of the machine. */
    cpu->threads = threads > 0 ? (int)threads : omp_get_num_procs();
    status = b2_cpu_reserve(cpu, b2_cpu_attention_scratch());
    if (status != BLIP2_OK) {
        cpu_close(&cpu->device);
        return status;
    }
    *out = &cpu->device;
    return BLIP2_OK;
}
