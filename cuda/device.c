#include <stdio.h>

#include "base/alloc.h"
#include "devices/devices.h"
#include "gpu.h"

/* ---- errors ------------------------------------------------------------------------------- */

blip2_status b2_cuda_begin(b2_cuda *cuda, const char *operation) {
    if (cuda->broken[0] != '\0')
        return b2_fail(BLIP2_EDEVICE, "%s", cuda->broken);
    if (operation == NULL && cuda->capturing)
        return b2_fail(BLIP2_EINTERNAL, "cuda: memory and waiting are not for a capture");
    if (operation != NULL)
        cuda->operation = operation;
    return b2_cuda_check(cuda, cudaSetDevice(cuda->ordinal), "choosing the GPU");
}

blip2_status b2_cuda_break(b2_cuda *cuda, const char *what, const char *why) {
    cudaError_t error;

    if (cuda->capturing) {
        (void)cudaGetLastError();
        return b2_fail(BLIP2_ENOTSUP, "cuda:%d cannot capture %s (%s): %s", cuda->ordinal,
                       cuda->operation, what, why);
    }
    (void)cudaGetLastError();
    if ((error = cudaStreamSynchronize(cuda->stream)) == cudaSuccess)
        return b2_fail(BLIP2_EDEVICE, "cuda:%d failed at %s (%s): %s", cuda->ordinal,
                       cuda->operation, what, why);
    /* A kernel's fault comes to light later: what ran is at or before the operation named here. */
    (void)snprintf(cuda->broken, sizeof cuda->broken, "cuda:%d failed at or before %s (%s): %s",
                   cuda->ordinal, cuda->operation, what, cudaGetErrorString(error));
    return b2_fail(BLIP2_EDEVICE, "%s", cuda->broken);
}

blip2_status b2_cuda_check(b2_cuda *cuda, cudaError_t error, const char *what) {
    return error == cudaSuccess ? BLIP2_OK : b2_cuda_break(cuda, what, cudaGetErrorString(error));
}

blip2_status b2_cuda_refuse(const b2_cuda *cuda, const char *why) {
    return b2_fail(BLIP2_EINTERNAL, "cuda %s: %s", cuda->operation, why);
}

/* ---- open and close ----------------------------------------------------------------------- */

static void cuda_close(b2_device *device) {
    b2_cuda *cuda = b2_cuda_of(device);

    (void)cudaSetDevice(cuda->ordinal);
    if (cuda->stream != NULL)
        (void)cudaStreamSynchronize(cuda->stream);
    b2_convolver_close(cuda);
    b2_matmul_close(cuda);
    b2_cublaslt_close(&cuda->cublaslt);
    b2_kernels_close(cuda);
    b2_staging_close(cuda);
    (void)cudaFree(cuda->block);
    if (cuda->stream != NULL)
        (void)cudaStreamDestroy(cuda->stream);
    b2_free(cuda);
}

static const b2_device_ops cuda_ops = {
    .name = "cuda",
    .close = cuda_close,
    .alloc = b2_cuda_alloc,
    .free = b2_cuda_free,
    .upload = b2_cuda_upload,
    .download = b2_cuda_download,
    .sync = b2_cuda_sync,
    .weight_create = b2_cuda_weight_create,
    .weight_free = b2_cuda_weight_free,
    .weight_bytes = b2_cuda_weight_bytes,
    .linear = b2_cuda_linear,
    .norm = b2_cuda_norm,
    .attention = b2_cuda_attention,
    .kv_write = b2_cuda_kv_write,
    .kv_copy_pages = b2_cuda_kv_copy_pages,
    .rope = b2_cuda_rope,
    .embed = b2_cuda_embed,
    .copy_rows = b2_cuda_copy_rows,
    .patch_embed = b2_cuda_patch_embed,
    .l2_normalise = b2_cuda_l2_normalise,
    .itc_max = b2_cuda_itc_max,
    .top_k = b2_cuda_top_k,
    .sample = b2_cuda_sample,
    .resize_normalise = b2_cuda_resize_normalise,
    .choose = b2_cuda_choose,
    .capture_begin = b2_cuda_capture_begin,
    .capture_end = b2_cuda_capture_end,
    .graph_run = b2_cuda_graph_run,
    .graph_free = b2_cuda_graph_free,
};

uint32_t b2_cuda_count(void) {
    int count = 0, driver = 0;
    cudaError_t error = cudaGetDeviceCount(&count);

    (void)cudaGetLastError(); /* not an error of whoever asks next */
    if (error == cudaErrorInsufficientDriver)
        return cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0 ? 1 : 0;
    if (error != cudaSuccess) /* a context that was lost, say: there is one, out of reach */
        return error != cudaErrorNoDevice ? 1 : 0;
    return (uint32_t)count;
}

/* Is there a driver, and a GPU of that number that the kernels are made for? */
static blip2_status find_gpu(uint32_t ordinal) {
    enum { LEAST_MAJOR = 8 };
    int count = 0, driver = 0, major = 0, minor = 0;
    cudaError_t error = cudaGetDeviceCount(&count);

    (void)cudaGetLastError(); /* not an error of whoever asks next */
    if (error == cudaErrorInsufficientDriver) {
        if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0)
            return b2_fail(BLIP2_ENOTSUP,
                           "no device cuda:%u: this machine has no NVIDIA driver; install one, or "
                           "choose device cpu",
                           ordinal);
        return b2_fail(BLIP2_ENOTSUP,
                       "no device cuda:%u: the NVIDIA driver is for CUDA %d.%d, this build needs "
                       "%d; update it, or choose device cpu",
                       ordinal, driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000);
    }
    if (error != cudaSuccess && error != cudaErrorNoDevice)
        return b2_fail(
            BLIP2_ENOTSUP,
            "no device cuda:%u: %s; start the process anew if it has used a GPU (after a "
            "fault CUDA is lost to it), or choose device cpu",
            ordinal, cudaGetErrorString(error));
    if (ordinal >= (uint32_t)count)
        return b2_fail(
            BLIP2_ENOTSUP,
            "no device cuda:%u: the driver finds %d GPU%s; choose another one, or device cpu",
            ordinal, count, count == 1 ? "" : "s");
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, (int)ordinal) !=
            cudaSuccess ||
        cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, (int)ordinal) !=
            cudaSuccess ||
        major < LEAST_MAJOR)
        return b2_fail(BLIP2_ENOTSUP,
                       "no device cuda:%u: its compute capability is %d.%d, the least is %d.0 "
                       "(Ampere); choose device cpu",
                       ordinal, major, minor, LEAST_MAJOR);
    return BLIP2_OK;
}

static blip2_status describe_gpu(b2_cuda *cuda) {
    struct cudaDeviceProp p;
    blip2_status status = b2_cuda_check(cuda, cudaGetDeviceProperties(&p, cuda->ordinal),
                                        "asking for its properties");

    if (status < 0)
        return status;
    cuda->multiprocessors = p.multiProcessorCount;
    (void)snprintf(cuda->device.about, sizeof cuda->device.about, "%.255s, compute %d.%d, %.0f GiB",
                   p.name, p.major, p.minor, (double)p.totalGlobalMem / (1 << 30));
    return BLIP2_OK;
}

static blip2_status set_compute(b2_cuda *cuda, const b2_device_options *options) {
    b2_compute compute = options->compute;

    switch (compute) {
    case B2_COMPUTE_F32:
    case B2_COMPUTE_TF32:
        cuda->device.compute = B2_F32;
        cuda->tf32 = compute == B2_COMPUTE_TF32;
        return BLIP2_OK;
    case B2_COMPUTE_AUTO:
        cuda->device.compute = options->exceeds_f16 ? B2_BF16 : B2_F16;
        return BLIP2_OK;
    case B2_COMPUTE_F16:
        cuda->device.compute = B2_F16;
        return BLIP2_OK;
    case B2_COMPUTE_BF16:
        cuda->device.compute = B2_BF16;
        return BLIP2_OK;
    }
    return b2_fail(BLIP2_EINVAL, "compute: %d is none of AUTO, F32, TF32, F16, BF16", (int)compute);
}

static blip2_status make_block(b2_cuda *cuda) {
    size_t counter_bytes = B2_COUNTERS * sizeof *cuda->counters;
    blip2_status status = b2_cuda_alloc(&cuda->device, &cuda->block,
                                        B2_WORKSPACE_BYTES + B2_SCRATCH_BYTES + counter_bytes);

    if (status < 0)
        return status;
    cuda->workspace = cuda->block;
    cuda->scratch = (char *)cuda->block + B2_WORKSPACE_BYTES;
    cuda->counters = (int32_t *)(void *)((char *)cuda->scratch + B2_SCRATCH_BYTES);
    return b2_cuda_check(cuda, cudaMemsetAsync(cuda->counters, 0, counter_bytes, cuda->stream),
                         "clearing counters");
}

static blip2_status open_gpu(b2_cuda *cuda) {
    blip2_status status = b2_cuda_begin(cuda, "open");

    if (status < 0 || (status = describe_gpu(cuda)) < 0 ||
        (status =
             b2_cuda_check(cuda, cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking),
                           "making a stream")) < 0 ||
        (status = b2_cublaslt_open(&cuda->cublaslt)) < 0 || (status = b2_kernels_open(cuda)) < 0 ||
        (status = b2_staging_open(cuda)) < 0 || (status = make_block(cuda)) < 0)
        return status;
    return b2_matmul_open(cuda);
}

blip2_status b2_cuda_open(b2_device **out, uint32_t ordinal, const b2_device_options *options) {
    b2_cuda *cuda;
    blip2_status status = find_gpu(ordinal);

    *out = NULL;
    if (status < 0)
        return status;
    if ((cuda = b2_calloc(1, sizeof *cuda)) == NULL)
        return b2_fail_memory();
    cuda->device.ops = &cuda_ops;
    cuda->ordinal = (int)ordinal;
    (void)snprintf(cuda->device.name, sizeof cuda->device.name, "cuda:%u", ordinal);
    cuda->patch_path = options->patch_path;
    cuda->deterministic = options->deterministic;
    if ((status = set_compute(cuda, options)) < 0 || (status = open_gpu(cuda)) < 0) {
        cuda_close(&cuda->device);
        return status;
    }
    *out = &cuda->device;
    return BLIP2_OK;
}
