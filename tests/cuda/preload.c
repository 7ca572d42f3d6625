/* Loads the kernels once before main(). Check runs each test in a process of its own: a child finds
 * parsed and decoded (tests/ptx_vm/runtime_library.c) what it would have to make itself. */
#include <cuda_runtime_api.h>

#include "cuda/image.h"

__attribute__((constructor)) static void preload(void) {
    for (int i = 0; i < B2_IMAGE_COUNT; i++) {
        cudaLibrary_t library;

        if (cudaLibraryLoadData(&library, b2_images[i].data, NULL, NULL, 0, NULL, NULL, 0) ==
            cudaSuccess)
            (void)cudaLibraryUnload(library);
    }
}
