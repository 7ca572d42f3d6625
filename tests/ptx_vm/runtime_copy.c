/* Copies and memsets: checked when they are queued. */
#include <string.h>

#include "runtime.h"

/* Which memory an address is: device, pinned host, or (neither) pageable host. */
static const vm_allocation *known(const void *address) {
    const vm_allocation *a = vm_memory_find((uint64_t)(uintptr_t)address);

    return a && a->live && (uint64_t)(uintptr_t)address - a->begin < a->size ? a : NULL;
}

static bool is_device(const void *address) {
    const vm_allocation *a = known(address);

    return (a && !a->is_host) || (uint64_t)(uintptr_t)address >> 40 == 1; /* also where freed */
}

static cudaError_t check_copy(const void *to, const void *from, size_t bytes,
                              enum cudaMemcpyKind kind) {
    bool to_device = is_device(to), from_device = is_device(from);
    bool wants_to = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool wants_from = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;

    if (kind != cudaMemcpyDefault && (to_device != wants_to || from_device != wants_from)) {
        vm_found_outside(VM_BAD_LAUNCH, NULL, 0, "a copy says %s to %s but goes from %s to %s",
                         wants_from ? "device" : "host", wants_to ? "device" : "host",
                         from_device ? "device" : "host", to_device ? "device" : "host");
        return cudaErrorInvalidValue;
    }
    if ((to_device && !vm_memory_bytes((uint64_t)(uintptr_t)to, bytes)) ||
        (from_device && !vm_memory_bytes((uint64_t)(uintptr_t)from, bytes))) {
        char where[128];

        vm_memory_describe((uint64_t)(uintptr_t)(to_device ? to : from), where, sizeof(where));
        vm_found_outside(VM_OUT_OF_BOUNDS, NULL, 0,
                         "a copy of %zu bytes leaves its allocation (from %s)", bytes, where);
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    struct CUstream_st *s;
    vm_op op = {.kind = VM_OP_COPY, .to = to, .from = from, .bytes = bytes};
    cudaError_t error;

    vm_enter();
    s = vm_stream_of(stream);
    error = s ? check_copy(to, from, bytes, kind) : cudaErrorInvalidResourceHandle;
    if (error != cudaSuccess || bytes == 0) {
        return vm_leave(error);
    }
    if (vm_call_fails(VM_CALL_COPY)) {
        return vm_leave(cudaErrorInvalidValue);
    }
    if (!s->capture && !is_device(from) && !known(from)) { /* pageable: the driver takes a copy */
        op.staged = vm_malloc(bytes);
        memcpy(op.staged, from, bytes);
    }
    error = vm_queue(s, &op);
    if (!s->capture && !is_device(to) && !known(to)) { /* pageable: the call waits */
        vm_host_mutable()->synchronisations++;
        vm_drain(s);
    }
    return vm_leave(error);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, NULL);

    vm_enter();
    vm_host_mutable()->synchronisations++;
    vm_drain(vm_stream_of(NULL));
    return vm_leave(error);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    struct CUstream_st *s;
    vm_op op = {.kind = VM_OP_SET, .to = to, .value = value, .bytes = bytes};

    vm_enter();
    s = vm_stream_of(stream);
    if (!s) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (!vm_memory_bytes((uint64_t)(uintptr_t)to, bytes)) {
        vm_found_outside(VM_OUT_OF_BOUNDS, NULL, 0, "a memset of %zu bytes leaves its allocation",
                         bytes);
        return vm_leave(cudaErrorInvalidValue);
    }
    if (vm_call_fails(VM_CALL_COPY)) {
        return vm_leave(cudaErrorInvalidValue);
    }
    return vm_leave(vm_queue(s, &op));
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) {
    cudaError_t error = cudaMemsetAsync(to, value, bytes, NULL);

    vm_enter();
    vm_drain(vm_stream_of(NULL));
    return vm_leave(error);
}
