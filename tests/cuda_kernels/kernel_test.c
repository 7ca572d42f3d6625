#include "kernel_test.h"

#include <stdio.h>

char *kernel_text(const char *name) {
    char path[1024];

    snprintf(path, sizeof path, "%s/%s.ptx", KERNEL_PTX_DIR, name);
    return kernel_read(path);
}

char *kernel_read(const char *path) {
    FILE *file = fopen(path, "rb");
    char *text;
    long size;

    ck_assert_msg(file != NULL, "%s is missing", path);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    text = malloc((size_t)size + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_eq(fread(text, 1, (size_t)size, file), (size_t)size);
    text[size] = '\0';
    fclose(file);
    return text;
}

cudaLibrary_t kernel_load(const char *text) {
    cudaLibrary_t library;

    ck_cuda(cudaLibraryLoadData(&library, text, NULL, NULL, 0, NULL, NULL, 0));
    return library;
}

cudaLibrary_t kernel_file(const char *name) {
    char *text = kernel_text(name);
    cudaLibrary_t library = kernel_load(text);

    free(text);
    return library;
}

void *device_new(size_t bytes) {
    void *memory;

    ck_cuda(cudaMalloc(&memory, bytes > 0 ? bytes : 1));
    return memory;
}

void *device_copy(const void *from, size_t bytes) {
    void *memory = device_new(bytes);

    device_write(memory, from, bytes);
    return memory;
}

void device_write(void *to, const void *from, size_t bytes) {
    if (bytes > 0)
        ck_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
}

void device_read(void *to, const void *from, size_t bytes) {
    if (bytes > 0)
        ck_cuda(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost));
}

static cudaError_t run(cudaLibrary_t file, const char *kernel, unsigned x, unsigned y, unsigned z,
                       unsigned threads, const void *arguments) {
    cudaLaunchConfig_t config = {.gridDim = {x, y, z}, .blockDim = {threads, 1, 1}};
    void *list[] = {(void *)(uintptr_t)arguments};
    cudaKernel_t handle;
    cudaError_t error;

    ck_cuda(cudaLibraryGetKernel(&handle, file, kernel));
    error = cudaLaunchKernelExC(&config, handle, list);
    return error == cudaSuccess ? cudaStreamSynchronize(NULL) : error;
}

void kernel_run(cudaLibrary_t file, const char *kernel, unsigned x, unsigned y, unsigned z,
                unsigned threads, const void *arguments, const char *what) {
    cudaError_t error = run(file, kernel, x, y, z, threads, arguments);

    if (vm_report_count() > 0) {
        const vm_report *r = vm_report_at(0);

        ck_abort_msg("%s, %s: %s: %s (line %d, inlined from %d; block %u %u %u, warp %u, lane %u)",
                     what, kernel, vm_finding_name(r->finding), r->text, r->line, r->inner_line,
                     r->block[0], r->block[1], r->block[2], r->warp, r->lane);
    }
    ck_assert_msg(error == cudaSuccess, "%s, %s: %s", what, kernel, cudaGetErrorName(error));
}

bool kernel_try(cudaLibrary_t file, const char *kernel, unsigned x, unsigned y, unsigned z,
                unsigned threads, const void *arguments) {
    (void)run(file, kernel, x, y, z, threads, arguments);
    return vm_report_count() == 0;
}

static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15U;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

double random_between(uint64_t *state, double low, double high) {
    return low + (high - low) * ((double)(next_random(state) >> 11) * 0x1p-53);
}

int random_integer(uint64_t *state, int low, int high) {
    return low + (int)(next_random(state) % (uint64_t)(high - low + 1));
}

float rounded(float value, b2_type type) {
    unsigned char stored[4];

    b2_from_f32(stored, type, &value, 1);
    b2_to_f32(&value, stored, type, 1);
    return value;
}
