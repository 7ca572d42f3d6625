/* What the tests of the VM share: loading PTX, moving data, launching, random numbers. */
#ifndef VM_TEST_SUPPORT_H
#define VM_TEST_SUPPORT_H
#include <check.h>
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "ptx_vm.h"
#include "run.h"

#define ck_cuda(call)                                                                              \
    do {                                                                                           \
        cudaError_t cuda_error_ = (call);                                                          \
        ck_assert_msg(cuda_error_ == cudaSuccess, "%s: %s", #call, cudaGetErrorName(cuda_error_)); \
    } while (0)

char *read_text(const char *directory, const char *name); /* the caller frees it */
cudaLibrary_t load_compiled(const char *name);            /* NAME.ptx that nvcc made */
cudaLibrary_t load_fixture(const char *name);             /* kernels/NAME.ptx */
cudaLibrary_t load_text(const char *text);                /* must load */

void *device_alloc(size_t bytes);
void *device_copy(const void *host, size_t bytes); /* a device copy of host memory */
void fetch(void *host, const void *device, size_t bytes);

/* Queues, waits, and gives the result. */
cudaError_t launch(cudaLibrary_t library, const char *kernel, dim3 grid, dim3 block, size_t shared,
                   const void *arguments);
/* The same, and nothing may be found. */
void launch_clean(cudaLibrary_t library, const char *kernel, dim3 grid, dim3 block, size_t shared,
                  const void *arguments);

static inline dim3 dims(unsigned x, unsigned y, unsigned z) {
    return (dim3){x, y, z};
}

/* xorshift, from a seed that is never 0 */
uint64_t next_random(uint64_t *state);
float next_float(uint64_t *state); /* in [-1, 1) */

#endif
