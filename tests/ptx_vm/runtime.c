/* The device, its errors and its memory. */
#include "runtime.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local cudaError_t last_error;
static cudaError_t sticky;
static uint64_t device_memory = (uint64_t)8 << 30;
int vm_capability[2] = {9, 0};

void vm_enter(void) {
    pthread_mutex_lock(&lock);
}

cudaError_t vm_leave(cudaError_t error) {
    error = sticky != cudaSuccess ? sticky : error;
    if (error != cudaSuccess && error != cudaErrorNotReady) {
        last_error = error;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

bool vm_is_stuck(void) {
    return sticky != cudaSuccess;
}

void vm_set_stuck(cudaError_t error) {
    sticky = sticky == cudaSuccess ? error : sticky;
}

double vm_now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void vm_set_device_memory(uint64_t bytes) {
    device_memory = bytes;
}

void vm_set_capability(int major, int minor) {
    vm_capability[0] = major;
    vm_capability[1] = minor;
}

void vm_reset(void) {
    vm_enter();
    vm_streams_reset();
    vm_libraries_reset();
    vm_memory_reset();
    vm_report_clear();
    vm_host_mutable()->live_bytes = 0;
    vm_counters_clear();
    sticky = last_error = cudaSuccess;
    vm_fail_call(VM_CALL_OTHER, 0, false);
    device_memory = (uint64_t)8 << 30;
    vm_capability[0] = 9;
    vm_capability[1] = 0;
    vm_leave(cudaSuccess);
}

/* ---- errors --------------------------------------------------------------------------------- */

static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidPtx, "cudaErrorInvalidPtx", "a PTX JIT compilation failed"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorSymbolNotFound, "cudaErrorSymbolNotFound", "named symbol not found"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorIllegalState, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
};
#define ERRORS (sizeof(errors) / sizeof(*errors))

const char *cudaGetErrorName(cudaError_t error) {
    size_t i;

    for (i = 0; i < ERRORS; i++) {
        if (errors[i].error == error) {
            return errors[i].name;
        }
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error) {
    size_t i;

    for (i = 0; i < ERRORS; i++) {
        if (errors[i].error == error) {
            return errors[i].text;
        }
    }
    return "unrecognized error code";
}

cudaError_t cudaGetLastError(void) {
    cudaError_t error = sticky != cudaSuccess ? sticky : last_error;

    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void) {
    return sticky != cudaSuccess ? sticky : last_error;
}

/* ---- memory --------------------------------------------------------------------------------- */

static cudaError_t allocate(void **out, size_t size) {
    vm_host_counters *host = vm_host_mutable();

    if (!out) {
        return cudaErrorInvalidValue;
    }
    *out = NULL;
    if (vm_capture_forbids()) {
        return cudaErrorStreamCaptureUnsupported;
    }
    if (size == 0) {
        return cudaSuccess;
    }
    if (vm_call_fails(VM_CALL_ALLOCATION) || size > device_memory ||
        host->live_bytes > device_memory - size) {
        return cudaErrorMemoryAllocation;
    }
    *out = (void *)(uintptr_t)vm_memory_new(size, VM_DEVICE_MEMORY)->begin;
    host->allocations++;
    host->live_bytes += size;
    host->peak_bytes = host->live_bytes > host->peak_bytes ? host->live_bytes : host->peak_bytes;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **out, size_t size) {
    vm_enter();
    return vm_leave(allocate(out, size));
}

static cudaError_t release(void *memory, bool is_host) {
    const vm_allocation *a = vm_memory_find((uint64_t)(uintptr_t)memory);
    uint64_t size = a ? a->size : 0;

    if (!memory) {
        return cudaSuccess;
    }
    if (vm_capture_forbids()) {
        return cudaErrorStreamCaptureUnsupported;
    }
    vm_drain_all(); /* cudaFree waits for the device */
    if (!vm_memory_free((uint64_t)(uintptr_t)memory, is_host)) {
        return cudaErrorInvalidValue;
    }
    if (!is_host) {
        vm_host_mutable()->frees++;
        vm_host_mutable()->live_bytes -= size;
    }
    return cudaSuccess;
}

cudaError_t cudaFree(void *memory) {
    vm_enter();
    return vm_leave(release(memory, false));
}

cudaError_t cudaFreeHost(void *memory) {
    vm_enter();
    return vm_leave(release(memory, true));
}

cudaError_t cudaHostAlloc(void **out, size_t size, unsigned int flags) {
    cudaError_t error = cudaSuccess;

    (void)flags;
    vm_enter();
    if (!out) {
        error = cudaErrorInvalidValue;
    } else if (vm_capture_forbids()) {
        *out = NULL;
        error = cudaErrorStreamCaptureUnsupported;
    } else if (vm_call_fails(VM_CALL_ALLOCATION)) {
        *out = NULL;
        error = cudaErrorMemoryAllocation;
    } else {
        *out = size ? (void *)vm_memory_new(size, VM_HOST_MEMORY)->host : NULL;
        vm_host_mutable()->host_allocations++;
    }
    return vm_leave(error);
}

cudaError_t cudaMallocHost(void **out, size_t size) {
    return cudaHostAlloc(out, size, cudaHostAllocDefault);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    uint64_t live;

    vm_enter();
    live = vm_host()->live_bytes;
    *total = device_memory;
    *free_bytes = live < device_memory ? device_memory - live : 0;
    return vm_leave(cudaSuccess);
}

/* ---- for stand-ins of libraries -----------------------------------------------------------------
 */

const void *vm_device_read(const void *device, size_t bytes, const char *who) {
    uint64_t address = (uint64_t)(uintptr_t)device;
    const uint8_t *memory = vm_memory_bytes(address, bytes);
    const vm_allocation *a = vm_memory_find(address);
    char where[128];

    vm_memory_describe(address, where, sizeof(where));
    if (!memory) {
        vm_found_outside(VM_OUT_OF_BOUNDS, who, 0, "%s reads %zu bytes at 0x%llx, %s", who, bytes,
                         (unsigned long long)address, where);
    } else if (bytes && a->defined && !vm_bits_all(a->defined, address - a->begin, bytes)) {
        vm_found_outside(VM_UNDEFINED_MEMORY, who, 0,
                         "%s reads %zu bytes at 0x%llx that are not all written, %s", who, bytes,
                         (unsigned long long)address, where);
    }
    return memory;
}

void *vm_device_write(void *device, size_t bytes, const char *who) {
    uint64_t address = (uint64_t)(uintptr_t)device;
    uint8_t *memory = vm_memory_bytes(address, bytes);
    char where[128];

    if (!memory) {
        vm_memory_describe(address, where, sizeof(where));
        vm_found_outside(VM_OUT_OF_BOUNDS, who, 0, "%s writes %zu bytes at 0x%llx, %s", who, bytes,
                         (unsigned long long)address, where);
        return NULL;
    }
    vm_memory_define(address, bytes);
    return memory;
}
