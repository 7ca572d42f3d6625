#include "test_support.h"

#include <stdio.h>

char *read_text(const char *directory, const char *name) {
    char path[1024], *text;
    FILE *file;
    long size;

    snprintf(path, sizeof(path), "%s/%s.ptx", directory, name);
    file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s is missing", path);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    text = malloc((size_t)size + 1);
    ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    text[size] = '\0';
    fclose(file);
    return text;
}

cudaLibrary_t load_text(const char *text) {
    cudaLibrary_t library;

    ck_cuda(cudaLibraryLoadData(&library, text, NULL, NULL, 0, NULL, NULL, 0));
    return library;
}

cudaLibrary_t load_compiled(const char *name) {
    char *text = read_text(VM_PTX_DIR, name);
    cudaLibrary_t library = load_text(text);

    free(text);
    return library;
}

cudaLibrary_t load_fixture(const char *name) {
    char *text = read_text(VM_FIXTURE_DIR, name);
    cudaLibrary_t library = load_text(text);

    free(text);
    return library;
}

void *device_alloc(size_t bytes) {
    void *memory;

    ck_cuda(cudaMalloc(&memory, bytes));
    return memory;
}

void *device_copy(const void *host, size_t bytes) {
    void *memory = device_alloc(bytes);

    ck_cuda(cudaMemcpy(memory, host, bytes, cudaMemcpyHostToDevice));
    return memory;
}

void fetch(void *host, const void *device, size_t bytes) {
    ck_cuda(cudaMemcpy(host, device, bytes, cudaMemcpyDeviceToHost));
}

cudaError_t launch(cudaLibrary_t library, const char *kernel, dim3 grid, dim3 block, size_t shared,
                   const void *arguments) {
    cudaLaunchConfig_t config = {.gridDim = grid, .blockDim = block, .dynamicSmemBytes = shared};
    void *list[] = {(void *)(uintptr_t)arguments};
    cudaKernel_t handle;
    cudaError_t error;

    ck_cuda(cudaLibraryGetKernel(&handle, library, kernel));
    if (shared > 48 * 1024) {
        ck_cuda(cudaKernelSetAttributeForDevice(handle, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                (int)shared, 0));
    }
    error = cudaLaunchKernelExC(&config, handle, list);
    return error == cudaSuccess ? cudaStreamSynchronize(NULL) : error;
}

void launch_clean(cudaLibrary_t library, const char *kernel, dim3 grid, dim3 block, size_t shared,
                  const void *arguments) {
    size_t before = vm_report_count();

    ck_cuda(launch(library, kernel, grid, block, shared, arguments));
    ck_assert_uint_eq(vm_report_count(), before);
}

uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

float next_float(uint64_t *state) {
    return (float)(int32_t)(next_random(state) >> 32) * 0x1p-31f;
}
