/* Queued work: what it owns, and its execution. */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

void vm_op_release(vm_op *op) {
    free(op->launch.params);
    free(op->staged);
    if (op->call) {
        free(op->arguments);
    }
}

vm_op *vm_ops_add(vm_ops *ops, const vm_op *op) {
    vm_op *slot = vm_grow((void **)&ops->items, &ops->count, &ops->capacity, sizeof(*slot));

    *slot = *op;
    return slot;
}

void vm_ops_release(vm_ops *ops) {
    size_t i;

    for (i = 0; i < ops->count; i++) {
        vm_op_release(&ops->items[i]);
    }
    free(ops->items);
    *ops = (vm_ops){0};
}

static void *duplicate(const void *bytes, size_t count) {
    return bytes ? memcpy(vm_malloc(count), bytes, count) : NULL;
}

vm_op vm_op_copy(const vm_op *op) {
    vm_op copy = *op;

    if (op->kind == VM_OP_LAUNCH) {
        copy.launch.params = duplicate(op->launch.params, op->launch.kernel->param_bytes);
    }
    copy.staged = duplicate(op->staged, op->bytes);
    if (op->call) {
        copy.arguments = duplicate(op->arguments, op->bytes);
    }
    return copy;
}

/* ---- execution --------------------------------------------------------------------------------
 */

static cudaError_t error_of(vm_finding finding) {
    switch (finding) {
    case VM_OUT_OF_BOUNDS:
    case VM_USE_AFTER_FREE:
        return cudaErrorIllegalAddress;
    case VM_MISALIGNED:
        return cudaErrorMisalignedAddress;
    case VM_TRAP:
        return cudaErrorLaunchTimeout;
    default:
        return cudaErrorLaunchFailure;
    }
}

static void fail_on_findings(void) {
    vm_finding gravest;

    if (vm_report_launch_failed(&gravest)) {
        vm_set_stuck(error_of(gravest));
    }
}

static void run_launch(const vm_op *op) {
    vm_launch launch = op->launch;

    vm_report_new_launch();
    vm_host_mutable()->launches++;
    vm_launch_run(&launch);
    fail_on_findings();
}

static void run_call(const vm_op *op) {
    vm_counters counts = {.launches = 1};
    double start = vm_now();

    vm_report_new_launch();
    vm_host_mutable()->launches++;
    if (!op->call(op->arguments)) {
        vm_set_stuck(cudaErrorLaunchFailure);
    }
    fail_on_findings();
    strncpy(counts.kernel, op->who, sizeof(counts.kernel) - 1);
    counts.seconds = vm_now() - start;
    vm_counters_add(&counts);
}

/* Checked when it was queued, but memory may have been freed since. */
static void run_copy(const vm_op *op) {
    uint64_t to = (uint64_t)(uintptr_t)op->to, from = (uint64_t)(uintptr_t)op->from;
    uint8_t *to_bytes = vm_memory_bytes(to, op->bytes);
    const uint8_t *from_bytes = vm_memory_bytes(from, op->bytes);

    if ((!to_bytes && to >> 40 == 1) || (!from_bytes && !op->staged && from >> 40 == 1)) {
        vm_found_outside(VM_USE_AFTER_FREE, NULL, 0, "a copy of %zu bytes of freed memory",
                         op->bytes);
        vm_set_stuck(cudaErrorIllegalAddress);
        return;
    }
    memmove(to_bytes ? to_bytes : op->to,
            op->staged   ? op->staged
            : from_bytes ? from_bytes
                         : op->from,
            op->bytes);
    if (to_bytes && from_bytes) {
        vm_memory_copy_defined(to, from, op->bytes);
    } else if (to_bytes) {
        vm_memory_define(to, op->bytes);
    }
    vm_host_mutable()->copies++;
    vm_host_mutable()->copied_bytes += op->bytes;
}

static void run_set(const vm_op *op) {
    uint64_t to = (uint64_t)(uintptr_t)op->to;
    uint8_t *bytes = vm_memory_bytes(to, op->bytes);

    if (!bytes) {
        vm_found_outside(VM_USE_AFTER_FREE, NULL, 0, "a memset of freed memory");
        vm_set_stuck(cudaErrorIllegalAddress);
        return;
    }
    memset(bytes, op->value, op->bytes);
    vm_memory_define(to, op->bytes);
    vm_host_mutable()->sets++;
}

void vm_op_run(struct CUstream_st *stream, const vm_op *op) {
    size_t i;

    if (op->kind == VM_OP_RECORD) {
        op->event->reached = op->sequence;
        op->event->time = vm_now();
    }
    if (op->faults) {
        vm_set_stuck(cudaErrorIllegalAddress);
    }
    if (vm_is_stuck()) {
        return;
    }
    switch (op->kind) {
    case VM_OP_LAUNCH:
        run_launch(op);
        break;
    case VM_OP_COPY:
        run_copy(op);
        break;
    case VM_OP_SET:
        run_set(op);
        break;
    case VM_OP_WAIT:
        /* Its stream can't wait for us in turn: what it was recorded after was queued earlier. */
        vm_stream_reach(op->event, op->sequence);
        break;
    case VM_OP_GRAPH:
        vm_host_mutable()->graph_launches++;
        for (i = 0; i < op->graph->ops.count; i++) {
            vm_op_run(stream, &op->graph->ops.items[i]);
        }
        break;
    case VM_OP_CALL:
        if (op->host_call) {
            op->host_call(op->arguments);
        } else {
            run_call(op);
        }
        break;
    default:
        break;
    }
}
