/* The kernels of fixture.ptx, and what the tests that use them share. */
#ifndef VM_FIXTURE_SUPPORT_H
#define VM_FIXTURE_SUPPORT_H
#include "test_support.h"

typedef struct fixture_arguments {
    const uint32_t *in;
    uint32_t *out;
    int32_t n, which, bias, unused;
} fixture_arguments;

enum { N = 64 };

static inline cudaStream_t new_stream(void) {
    cudaStream_t stream;

    ck_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
}

/* out = in * 1 + bias, queued */
static inline cudaError_t queue_scale(cudaLibrary_t library, const void *in, void *out, int bias,
                                      cudaStream_t stream) {
    fixture_arguments a = {in, out, N, 0, bias, 0};
    cudaLaunchConfig_t config = {
        .gridDim = {1, 1, 1}, .blockDim = {N, 1, 1}, .dynamicSmemBytes = 0, .stream = stream};
    void *list[] = {&a};
    cudaKernel_t kernel;

    ck_cuda(cudaLibraryGetKernel(&kernel, library, "scale"));
    return cudaLaunchKernelExC(&config, (const void *)kernel, list);
}

static inline uint32_t *pinned(void) {
    void *memory;

    ck_cuda(cudaMallocHost(&memory, N * 4));
    memset(memory, 0, N * 4);
    return memory;
}

#endif
