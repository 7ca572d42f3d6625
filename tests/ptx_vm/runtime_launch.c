/* Kernels and their launches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

/* ---- kernels ----------------------------------------------------------------------------------
 */

cudaError_t cudaFuncSetAttribute(const void *handle, enum cudaFuncAttribute attribute, int value) {
    vm_kernel *kernel;

    vm_enter();
    kernel = vm_kernel_of(handle);
    if (!kernel) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (attribute == cudaFuncAttributeMaxDynamicSharedMemorySize) {
        if (value < 0 || (size_t)value + kernel->shared_bytes > vm_shared_optin()) {
            return vm_leave(cudaErrorInvalidValue);
        }
        kernel->dynamic_limit = (size_t)value;
    } else if (attribute != cudaFuncAttributePreferredSharedMemoryCarveout) {
        return vm_leave(cudaErrorInvalidValue);
    }
    return vm_leave(cudaSuccess);
}

cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, enum cudaFuncAttribute attribute,
                                            int value, int device) {
    return device == 0 ? cudaFuncSetAttribute(kernel, attribute, value) : cudaErrorInvalidDevice;
}

static bool no_images;

void vm_lose_images(bool lost) {
    no_images = lost;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *out, const void *handle) {
    const vm_kernel *kernel;

    vm_enter();
    if (vm_call_fails(VM_CALL_OTHER)) {
        return vm_leave(cudaErrorMemoryAllocation);
    }
    if (no_images) {
        return vm_leave(cudaErrorNoKernelImageForDevice);
    }
    kernel = vm_kernel_of(handle);
    if (!kernel) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    memset(out, 0, sizeof(*out));
    out->sharedSizeBytes = kernel->shared_bytes;
    out->localSizeBytes = kernel->local_bytes;
    out->maxThreadsPerBlock = kernel->max_threads ? (int)kernel->max_threads : 1024;
    out->numRegs = 64;
    out->maxDynamicSharedSizeBytes = (int)kernel->dynamic_limit;
    return vm_leave(cudaSuccess);
}

/* Threads and shared memory bound it; registers are unknown here. */
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *out, const void *handle, int threads,
                                                          size_t dynamic_bytes) {
    const vm_kernel *kernel;
    size_t shared;

    vm_enter();
    kernel = vm_kernel_of(handle);
    if (!kernel || threads <= 0) {
        return vm_leave(kernel ? cudaErrorInvalidValue : cudaErrorInvalidResourceHandle);
    }
    *out = threads > 1024 ? 0 : 2048 / ((threads + 31) / 32 * 32);
    shared = kernel->shared_bytes + dynamic_bytes + 1024; /* the driver keeps 1 KiB of each */
    if ((size_t)*out > (vm_shared_optin() + 1024) / shared) {
        *out = (int)((vm_shared_optin() + 1024) / shared);
    }
    *out = *out > 32 ? 32 : *out;
    return vm_leave(cudaSuccess);
}

/* ---- launches ---------------------------------------------------------------------------------
 */

static cudaError_t bad_launch(const vm_kernel *kernel, cudaError_t error, const char *what,
                              unsigned long long given, unsigned long long most) {
    vm_found_outside(VM_BAD_LAUNCH, kernel->name, 0, "%s: %llu, the limit is %llu", what, given,
                     most);
    return error;
}

static cudaError_t check_launch(const vm_kernel *kernel, const vm_launch *launch) {
    static const uint32_t most_grid[] = {2147483647, 65535, 65535}, most_block[] = {1024, 1024, 64};
    uint64_t threads = (uint64_t)launch->block[0] * launch->block[1] * launch->block[2];
    uint32_t most = kernel->max_threads ? kernel->max_threads : 1024, i;

    for (i = 0; i < 3; i++) {
        if (launch->grid[i] == 0 || launch->grid[i] > most_grid[i]) {
            return bad_launch(kernel, cudaErrorInvalidConfiguration, "blocks of the grid",
                              launch->grid[i], most_grid[i]);
        }
        if (launch->block[i] == 0 || launch->block[i] > most_block[i]) {
            return bad_launch(kernel, cudaErrorInvalidConfiguration, "threads of a block",
                              launch->block[i], most_block[i]);
        }
        if (kernel->required_threads[0] && launch->block[i] != kernel->required_threads[i]) {
            return bad_launch(kernel, cudaErrorInvalidConfiguration,
                              "threads where the kernel requires a number", launch->block[i],
                              kernel->required_threads[i]);
        }
    }
    if (threads > most) {
        return bad_launch(kernel, cudaErrorInvalidConfiguration, "threads of a block", threads,
                          most);
    }
    if (kernel->shared_bytes > 48 * 1024) {
        return bad_launch(kernel, cudaErrorInvalidValue, "bytes of static shared memory",
                          kernel->shared_bytes, 48 * 1024);
    }
    if (launch->dynamic_bytes > kernel->dynamic_limit ||
        (kernel->dynamic_limit <= 48 * 1024 &&
         launch->dynamic_bytes + kernel->shared_bytes > 48 * 1024)) {
        return bad_launch(kernel, cudaErrorInvalidValue,
                          "bytes of dynamic shared memory (see cudaFuncSetAttribute)",
                          launch->dynamic_bytes, kernel->dynamic_limit);
    }
    return cudaSuccess;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *handle,
                                void **arguments) {
    vm_op op = {.kind = VM_OP_LAUNCH};
    struct CUstream_st *stream;
    vm_kernel *kernel;
    cudaError_t error;
    size_t i;

    vm_enter();
    kernel = vm_kernel_of(handle);
    stream = vm_stream_of(config->stream);
    if (!kernel || !stream) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    op.launch = (vm_launch){
        .kernel = kernel,
        .grid = {config->gridDim.x, config->gridDim.y, config->gridDim.z},
        .block = {config->blockDim.x, config->blockDim.y, config->blockDim.z},
        .dynamic_bytes = config->dynamicSmemBytes,
    };
    error = check_launch(kernel, &op.launch);
    for (i = 0; error == cudaSuccess && i < config->numAttrs; i++) {
        if (config->attrs[i].id == cudaLaunchAttributeCooperative ||
            config->attrs[i].id == cudaLaunchAttributeClusterDimension) {
            error = cudaErrorNotSupported;
        }
    }
    if (error != cudaSuccess) {
        return vm_leave(error);
    }
    if (vm_call_fails(VM_CALL_LAUNCH)) {
        return vm_leave(cudaErrorLaunchOutOfResources);
    }
    op.launch.params = vm_calloc(1, kernel->param_bytes);
    for (i = 0; i < kernel->source->param_count; i++) {
        const vm_symbol *param = kernel->source->params[i];

        memcpy(op.launch.params + param->offset, arguments[i], param->size);
    }
    return vm_leave(vm_queue(stream, &op));
}

int vm_enqueue_call(void *stream, const char *who, bool (*run)(const void *arguments),
                    const void *arguments, size_t bytes) {
    vm_op op = {.kind = VM_OP_CALL, .who = who, .call = run, .bytes = bytes};
    struct CUstream_st *s;

    vm_enter();
    s = vm_stream_of(stream);
    if (!s) {
        return (int)vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (vm_call_fails(VM_CALL_PRODUCT)) {
        return (int)vm_leave(cudaErrorLaunchOutOfResources);
    }
    op.arguments = memcpy(vm_malloc(bytes), arguments, bytes);
    return (int)vm_leave(vm_queue(s, &op));
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *argument) {
    vm_op op = {.kind = VM_OP_CALL, .host_call = function, .arguments = argument};
    struct CUstream_st *s;

    vm_enter();
    s = vm_stream_of(stream);
    return vm_leave(s ? vm_queue(s, &op) : cudaErrorInvalidResourceHandle);
}
