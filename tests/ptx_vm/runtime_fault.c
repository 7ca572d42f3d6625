/* Calls that a test makes fail. */
#include <string.h>

#include "runtime.h"

static uint64_t calls[VM_CALL_COUNT], fail_nth;
static vm_call fail_kind;
static bool is_lost, fault_next;

void vm_fail_call(vm_call kind, uint64_t nth, bool lost) {
    memset(calls, 0, sizeof(calls));
    fail_kind = kind;
    fail_nth = nth;
    is_lost = lost;
    fault_next = false;
}

uint64_t vm_calls(vm_call kind) {
    return calls[kind];
}

bool vm_call_fails(vm_call kind) {
    if (++calls[kind] != fail_nth || kind != fail_kind) {
        return false;
    }
    if (!is_lost) {
        return true;
    }
    if (kind == VM_CALL_LAUNCH || kind == VM_CALL_PRODUCT) {
        fault_next = true;
        return false;
    }
    vm_set_stuck(cudaErrorIllegalAddress);
    return true;
}

bool vm_call_faults(void) {
    bool faults = fault_next;

    fault_next = false;
    return faults;
}
