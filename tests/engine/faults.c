#include "faults.h"

#include "base/alloc.h"
#include "run.h"

void fail_each_allocation(blip2_status (*path)(void), int64_t least) {
    int64_t allocations;

    b2_alloc_fail_after(-1);
    ck_assert_status_ok(path());
    allocations = b2_alloc_count();
    ck_assert_int_gt(allocations, least);
    for (int64_t n = 0; n < allocations; n++) {
        blip2_status status;

        b2_alloc_fail_after(n);
        status = path();
        b2_alloc_fail_after(-1);
        ck_assert_msg(status < 0, "allocation %lld of %lld failed without an error", (long long)n,
                      (long long)allocations);
    }
    ck_assert_status_ok(path());
}
