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

blip2_status b2_kernels_open(b2_cuda *cuda) {
    b2_kernels *k = &cuda->kernels;

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
