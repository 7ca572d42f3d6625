/* In place of the software GPU where its tests run on a real one: nothing is found there, and what
 * only the software GPU has ends the test with a message that scripts/gpu-check knows. */
#include <check.h>

#include "ptx_vm.h"

static void only_there(const char *function) {
    ck_abort_msg("only on the software GPU: %s", function);
}

const char *vm_finding_name(vm_finding finding) {
    (void)finding;
    return "";
}

size_t vm_report_count(void) {
    return 0;
}

const vm_report *vm_report_at(size_t index) {
    (void)index;
    only_there(__func__);
    return NULL;
}

void vm_report_clear(void) {
}

void vm_report_quiet(bool quiet) {
    (void)quiet;
}

const vm_counters *vm_counters_of(const char *kernel) {
    (void)kernel;
    only_there(__func__);
    return NULL;
}

const vm_host_counters *vm_host(void) {
    only_there(__func__);
    return NULL;
}

void vm_counters_clear(void) {
}

void vm_set_threads(unsigned threads) {
    (void)threads;
}

void vm_set_warp_limit(uint64_t limit) {
    (void)limit;
}
