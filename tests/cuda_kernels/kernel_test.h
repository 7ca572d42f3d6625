/* What the tests of kernels share: PTX of cuda/NAME.cu, device memory, launches, random numbers.
 * The software GPU checks every access; a test ends at its first finding. */
#ifndef B2_KERNEL_TEST_H
#define B2_KERNEL_TEST_H
#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/type.h"
#include "cuda/kernels.h"
#include "ptx_vm.h"
#include "run.h"

#define ck_cuda(call)                                                                              \
    do {                                                                                           \
        cudaError_t cuda_error_ = (call);                                                          \
        ck_assert_msg(cuda_error_ == cudaSuccess, "%s: %s", #call, cudaGetErrorName(cuda_error_)); \
    } while (0)

char *kernel_text(const char *name); /* of NAME.ptx; the caller frees it */
char *kernel_read(const char *path); /* a file's text */
cudaLibrary_t kernel_load(const char *text);
cudaLibrary_t kernel_file(const char *name);

void *device_new(size_t bytes); /* never written: reading it is a finding */
void *device_copy(const void *from, size_t bytes);
void device_write(void *to, const void *from, size_t bytes);
void device_read(void *to, const void *from, size_t bytes);

/* Runs to the end; nothing may be found. what: of the case, for messages. */
void kernel_run(cudaLibrary_t file, const char *kernel, unsigned x, unsigned y, unsigned z,
                unsigned threads, const void *arguments, const char *what);

/* False: something was found. */
bool kernel_try(cudaLibrary_t file, const char *kernel, unsigned x, unsigned y, unsigned z,
                unsigned threads, const void *arguments);

/* splitmix64 */
double random_between(uint64_t *state, double low, double high);
int random_integer(uint64_t *state, int low, int high); /* both ends included */

float rounded(float value, b2_type type); /* to the type and back */

#endif
