#include "launch.h"

#include "gpu.h"

static const struct {
    const char *name;
    b2_image_id image;
} table[B2_KERNEL_COUNT] = {
#define ENTRY(kernel, image) {#kernel, B2_IMAGE_##image},
    B2_KERNEL_MAP(ENTRY)
#undef ENTRY
};

/* CUDA loads an image when a kernel of it is needed, by default: ask for one, so that a GPU for
 * which this build has no code is known now, when another device can still be chosen. */
static blip2_status load_now(b2_cuda *cuda, b2_kernel kernel) {
    struct cudaFuncAttributes unused;
    cudaError_t error = cudaFuncGetAttributes(&unused, (const void *)cuda->kernels.kernels[kernel]);
    int major = 0, minor = 0;

    if (error != cudaErrorNoKernelImageForDevice && error != cudaErrorInvalidPtx &&
        error != cudaErrorUnsupportedPtxVersion)
        return b2_cuda_check(cuda, error, table[kernel].name);
    (void)cudaGetLastError();
    (void)cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, cuda->ordinal);
    (void)cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, cuda->ordinal);
    return b2_fail(BLIP2_ENOTSUP,
                   "no device cuda:%d: this build has no kernels for its compute capability %d.%d; "
                   "build with -DBLIP2_CUDA_ARCHITECTURES=%d%d, or choose device cpu",
                   cuda->ordinal, major, minor, major, minor);
}

blip2_status b2_kernels_open(b2_cuda *cuda) {
    b2_kernels *k = &cuda->kernels;
    blip2_status status;

    for (int i = 0; i < B2_IMAGE_COUNT; i++) {
        cudaError_t error =
            cudaLibraryLoadData(&k->libraries[i], b2_images[i].data, NULL, NULL, 0, NULL, NULL, 0);

        if (error != cudaSuccess)
            return b2_cuda_check(cuda, error, b2_images[i].name);
    }
    for (int i = 0; i < B2_KERNEL_COUNT; i++) {
        cudaError_t error =
            cudaLibraryGetKernel(&k->kernels[i], k->libraries[table[i].image], table[i].name);

        if (error != cudaSuccess)
            return b2_cuda_check(cuda, error, table[i].name);
        if ((i == 0 || table[i].image != table[i - 1].image) &&
            (status = load_now(cuda, (b2_kernel)i)) < 0)
            return status;
    }
    return BLIP2_OK;
}

void b2_kernels_close(b2_cuda *cuda) {
    for (int i = 0; i < B2_IMAGE_COUNT; i++)
        if (cuda->kernels.libraries[i] != NULL)
            (void)cudaLibraryUnload(cuda->kernels.libraries[i]);
}

blip2_status b2_launch(b2_cuda *cuda, b2_kernel kernel, b2_grid grid, const void *arguments) {
    const void *parameters[1] = {arguments};
    cudaLaunchConfig_t config = {.stream = cuda->stream};

    if (grid.x == 0 || grid.y == 0 || grid.z == 0)
        return BLIP2_OK;
    if (grid.x < 0 || grid.x > INT32_MAX || grid.y < 0 || grid.y > UINT16_MAX || grid.z < 0 ||
        grid.z > UINT16_MAX)
        return b2_fail(BLIP2_EINTERNAL, "cuda %s: %s in a grid of %lld x %lld x %lld blocks",
                       cuda->operation, table[kernel].name, (long long)grid.x, (long long)grid.y,
                       (long long)grid.z);
    config.gridDim.x = (unsigned)grid.x;
    config.gridDim.y = (unsigned)grid.y;
    config.gridDim.z = (unsigned)grid.z;
    config.blockDim.x = grid.threads;
    config.blockDim.y = config.blockDim.z = 1;
    return b2_cuda_check(cuda,
                         cudaLaunchKernelExC(&config, (const void *)cuda->kernels.kernels[kernel],
                                             (void **)(uintptr_t)parameters),
                         table[kernel].name);
}

blip2_status b2_launch_rows(b2_cuda *cuda, b2_kernel kernel, int64_t rows, const void *arguments) {
    return b2_launch(cuda, kernel, (b2_grid){rows, 1, 1, B2_ROW_THREADS}, arguments);
}
