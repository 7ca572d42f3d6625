/* In place of the software GPU where its tests run on a real one: nothing is found there. */
#include <check.h>

#include "ptx_vm.h"

const char *vm_finding_name(vm_finding finding) {
    (void)finding;
    return "";
}

size_t vm_report_count(void) {
    return 0;
}

const vm_report *vm_report_at(size_t index) {
    (void)index;
    ck_abort_msg("only on the software GPU: findings");
}

void vm_report_clear(void) {
}

void vm_report_quiet(bool quiet) {
    (void)quiet;
}

const vm_host_counters *vm_host(void) {
    ck_abort_msg("only on the software GPU: counters of the host");
}

void vm_counters_clear(void) {
}

void vm_set_threads(unsigned threads) {
    (void)threads;
}

void vm_set_warp_limit(uint64_t limit) {
    (void)limit;
}
