/* The limits, and a line a case in the file that BLIP2_KERNEL_COUNTS names (scripts/kernel-report).
 */
#include "counts.h"

#include <stdio.h>
#include <string.h>

static const char *const bounds[] = {"memory", "cache", "arithmetic"};

static void write_line(const vm_counters *c, const char *shape, counts_bound bound, double shared) {
    const char *path = getenv("BLIP2_KERNEL_COUNTS");
    const vm_traffic *sides[] = {&c->load, &c->store};
    FILE *file = path != NULL ? fopen(path, "a") : NULL;

    if (path == NULL)
        return;
    ck_assert_msg(file != NULL, "%s cannot be written", path);
    fprintf(file, "%s\t%s\t%s\t%.0f\t%llu", c->kernel, shape, bounds[bound], shared,
            (unsigned long long)c->blocks);
    for (int i = 0; i < 2; i++)
        fprintf(file, "\t%llu\t%llu\t%llu\t%llu", (unsigned long long)sides[i]->requests,
                (unsigned long long)sides[i]->coalesced, (unsigned long long)sides[i]->sectors,
                (unsigned long long)sides[i]->distinct);
    fprintf(file, "\t%llu\t%llu\t%u\t%llu\n", (unsigned long long)c->shared_wavefronts,
            (unsigned long long)c->shared_ideal, (unsigned)c->shared_worst_ways,
            (unsigned long long)c->mma);
    ck_assert_int_eq(fclose(file), 0);
}

void counts_check(const char *kernel, const char *shape, counts_bound bound, double shared) {
    const vm_counters *c = vm_counters_of(kernel);
    double moved, least, requests, coalesced;

    ck_assert_ptr_nonnull(c);
    write_line(c, shape, bound, shared);
    moved = 32.0 * (double)(c->load.sectors + c->store.sectors) - shared;
    least = (double)(c->load.distinct + c->store.distinct);
    requests = (double)(c->load.requests + c->store.requests);
    coalesced = (double)(c->load.coalesced + c->store.coalesced);
    if (bound == COUNTS_MEMORY)
        ck_assert_msg(moved <= 1.1 * least, "%s, %s: moved %.0f bytes, the least are %.0f", kernel,
                      shape, moved, least);
    if (bound != COUNTS_ARITHMETIC)
        ck_assert_msg(coalesced >= 0.9 * requests, "%s, %s: %.0f of %.0f requests are coalesced",
                      kernel, shape, coalesced, requests);
    if (strstr(kernel, "attention") != NULL)
        ck_assert_msg((double)c->shared_wavefronts <= 1.1 * (double)c->shared_ideal,
                      "%s, %s: shared memory takes %llu passes for %llu", kernel, shape,
                      (unsigned long long)c->shared_wavefronts,
                      (unsigned long long)c->shared_ideal);
    vm_counters_clear();
}
