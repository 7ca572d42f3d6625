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
    return vm_leave(cudaSuccess);
}

cudaError_t cudaSetDevice(int device) {
    vm_enter();
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
    if (device != 0) {
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
    struct cudaDeviceProp prop;
    cudaError_t error = cudaGetDeviceProperties(&prop, device);

    if (error != cudaSuccess) {
        return error;
    }
    vm_enter();
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor:
        *value = prop.major;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = prop.minor;
        break;
    case cudaDevAttrMultiProcessorCount:
        *value = prop.multiProcessorCount;
        break;
    case cudaDevAttrMaxThreadsPerBlock:
        *value = prop.maxThreadsPerBlock;
        break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = prop.maxThreadsPerMultiProcessor;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = (int)prop.sharedMemPerBlock;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = (int)prop.sharedMemPerBlockOptin;
        break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = (int)prop.sharedMemPerMultiprocessor;
        break;
    case cudaDevAttrWarpSize:
        *value = prop.warpSize;
        break;
    case cudaDevAttrL2CacheSize:
        *value = prop.l2CacheSize;
        break;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
        *value = prop.regsPerMultiprocessor;
        break;
    case cudaDevAttrClockRate:
        *value = 1000000;
        break;
    case cudaDevAttrMaxGridDimX:
        *value = prop.maxGridSize[0];
        break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ:
        *value = prop.maxGridSize[1];
        break;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
        *value = 1;
        break;
    case cudaDevAttrCooperativeLaunch: /* blocks run one after the other */
        *value = 0;
        break;
    default:
        vm_found_outside(VM_UNSUPPORTED, NULL, 0, "device attribute %d is not known to the VM",
                         (int)attribute);
        return vm_leave(cudaErrorInvalidValue);
    }
    return vm_leave(cudaSuccess);
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
    if (vm_any_capture()) {
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
