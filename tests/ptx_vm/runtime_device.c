/* What the device says about itself: one GPU, with the limits of its compute capability. */
#include <stdio.h>
#include <string.h>

#include "runtime.h"

size_t vm_shared_optin(void) {
    int capability = vm_capability[0] * 10 + vm_capability[1];

    switch (capability) {
    case 80:
    case 87:
        return 163 * 1024;
    case 86:
    case 89:
    case 120:
        return 99 * 1024;
    default:
        return 227 * 1024;
    }
}

cudaError_t cudaGetDeviceCount(int *count) {
    vm_enter();
    *count = 1;
    return vm_leave(vm_call_fails(VM_CALL_OTHER) ? cudaErrorUnknown : cudaSuccess);
}

cudaError_t cudaSetDevice(int device) {
    vm_enter();
    if (vm_call_fails(VM_CALL_OTHER)) {
        return vm_leave(cudaErrorMemoryAllocation);
    }
    return vm_leave(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device) {
    vm_enter();
    *device = 0;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device) {
    size_t free_bytes, total;

    cudaMemGetInfo(&free_bytes, &total);
    vm_enter();
    if (vm_call_fails(VM_CALL_OTHER)) {
        return vm_leave(cudaErrorUnknown);
    }
    if (device != 0) {
        memset(prop, 0, sizeof(*prop));
        return vm_leave(cudaErrorInvalidDevice);
    }
    memset(prop, 0, sizeof(*prop));
    snprintf(prop->name, sizeof(prop->name), "PTX VM");
    prop->totalGlobalMem = total;
    prop->sharedMemPerBlock = 48 * 1024;
    prop->sharedMemPerBlockOptin = vm_shared_optin();
    prop->sharedMemPerMultiprocessor = vm_shared_optin() + 1024;
    prop->reservedSharedMemPerBlock = 1024;
    prop->regsPerBlock = prop->regsPerMultiprocessor = 65536;
    prop->warpSize = VM_LANES;
    prop->maxThreadsPerBlock = 1024;
    prop->maxThreadsDim[0] = prop->maxThreadsDim[1] = 1024;
    prop->maxThreadsDim[2] = 64;
    prop->maxGridSize[0] = 2147483647;
    prop->maxGridSize[1] = prop->maxGridSize[2] = 65535;
    prop->totalConstMem = 64 * 1024;
    prop->major = vm_capability[0];
    prop->minor = vm_capability[1];
    prop->multiProcessorCount = 4;
    prop->maxThreadsPerMultiProcessor = 2048;
    prop->maxBlocksPerMultiProcessor = 32;
    prop->concurrentKernels = prop->unifiedAddressing = prop->canMapHostMemory = 1;
    prop->asyncEngineCount = 2;
    prop->memoryBusWidth = 256;
    prop->l2CacheSize = 4 << 20;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    struct cudaDeviceProp p = {0};
    cudaError_t error = cudaGetDeviceProperties(&p, device);
    const struct {
        enum cudaDeviceAttr attribute;
        size_t value;
    } known[] = {
        {cudaDevAttrComputeCapabilityMajor, (size_t)p.major},
        {cudaDevAttrComputeCapabilityMinor, (size_t)p.minor},
        {cudaDevAttrMultiProcessorCount, (size_t)p.multiProcessorCount},
        {cudaDevAttrMaxThreadsPerBlock, (size_t)p.maxThreadsPerBlock},
        {cudaDevAttrMaxThreadsPerMultiProcessor, (size_t)p.maxThreadsPerMultiProcessor},
        {cudaDevAttrMaxSharedMemoryPerBlock, p.sharedMemPerBlock},
        {cudaDevAttrMaxSharedMemoryPerBlockOptin, p.sharedMemPerBlockOptin},
        {cudaDevAttrMaxSharedMemoryPerMultiprocessor, p.sharedMemPerMultiprocessor},
        {cudaDevAttrReservedSharedMemoryPerBlock, p.reservedSharedMemPerBlock},
        {cudaDevAttrMaxBlocksPerMultiprocessor, (size_t)p.maxBlocksPerMultiProcessor},
        {cudaDevAttrWarpSize, (size_t)p.warpSize},
        {cudaDevAttrL2CacheSize, (size_t)p.l2CacheSize},
        {cudaDevAttrMaxRegistersPerMultiprocessor, (size_t)p.regsPerMultiprocessor},
        {cudaDevAttrMaxRegistersPerBlock, (size_t)p.regsPerBlock},
        {cudaDevAttrClockRate, 1000000},
        {cudaDevAttrMemoryClockRate, 1000000},
        {cudaDevAttrGlobalMemoryBusWidth, (size_t)p.memoryBusWidth},
        {cudaDevAttrMaxGridDimX, (size_t)p.maxGridSize[0]},
        {cudaDevAttrMaxGridDimY, (size_t)p.maxGridSize[1]},
        {cudaDevAttrMaxGridDimZ, (size_t)p.maxGridSize[2]},
        {cudaDevAttrUnifiedAddressing, 1},
        {cudaDevAttrCanMapHostMemory, 1},
        {cudaDevAttrConcurrentKernels, 1},
        {cudaDevAttrMemoryPoolsSupported, 0},
        {cudaDevAttrCooperativeLaunch, 0}, /* blocks run one after the other */
    };
    size_t i;

    if (error != cudaSuccess) {
        return error;
    }
    vm_enter();
    for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (known[i].attribute == attribute) {
            *value = (int)known[i].value;
            return vm_leave(cudaSuccess);
        }
    }
    vm_found_outside(VM_UNSUPPORTED, NULL, 0, "device attribute %d is not known to the VM",
                     (int)attribute);
    return vm_leave(cudaErrorInvalidValue);
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void) {
    vm_enter();
    if (vm_capture_forbids()) {
        return vm_leave(cudaErrorStreamCaptureUnsupported);
    }
    vm_host_mutable()->synchronisations++;
    vm_drain_all();
    return vm_leave(cudaSuccess);
}

cudaError_t cudaDeviceReset(void) {
    vm_enter();
    vm_drain_all();
    return vm_leave(cudaSuccess);
}
