#include <omp.h>
#include <stdio.h>
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

enum {
    MOST_THREADS = 1024,
    THREADS_PER_CORE = 4 /* more are of no use, and libgomp ends the process if it gets too few */
};

/* OpenMP counts the processors of the affinity mask, not those of the machine. */
static int thread_count(uint32_t wanted) {
    int cores = omp_get_num_procs();

    return wanted == 0 ? cores : (int)b2_size_min(wanted, (size_t)cores * THREADS_PER_CORE);
}

blip2_status b2_cpu_open(b2_device **out, const char *level, const b2_device_options *options) {
    const b2_cpu_kernels *kernels = b2_cpu_kernels_find(level);
    b2_cpu *cpu;
    blip2_status status;

    *out = NULL;
    if (kernels == NULL)
        return b2_fail(BLIP2_ENOTSUP, "no device 'cpu:%s' on this processor", level);
    if (options->threads > MOST_THREADS)
        return b2_fail(BLIP2_EINVAL, "threads: got %u, expected at most %d", options->threads,
                       MOST_THREADS);
    if ((unsigned)options->compute > B2_COMPUTE_BF16)
        return b2_fail(BLIP2_EINVAL, "compute: %d is none of AUTO, F32, TF32, F16, BF16",
                       (int)options->compute);
    if (options->compute != B2_COMPUTE_AUTO && options->compute != B2_COMPUTE_F32)
        return b2_fail(BLIP2_ENOTSUP, "compute: the CPU device computes in F32 only");
    if ((cpu = b2_calloc(1, sizeof *cpu)) == NULL)
        return b2_fail_memory();
    cpu->device.ops = &cpu_ops;
    cpu->device.compute = B2_F32;
    cpu->kernels = kernels;
    cpu->threads = thread_count(options->threads);
    (void)snprintf(cpu->device.name, sizeof cpu->device.name, "cpu");
    (void)snprintf(cpu->device.about, sizeof cpu->device.about, "%d thread%s, kernels %s",
                   cpu->threads, cpu->threads == 1 ? "" : "s", kernels->level);
    status = b2_cpu_reserve(cpu, b2_cpu_attention_scratch());
    if (status != BLIP2_OK) {
        cpu_close(&cpu->device);
        return status;
    }
    *out = &cpu->device;
    return BLIP2_OK;
}
