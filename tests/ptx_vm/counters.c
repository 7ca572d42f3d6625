/* Sums per kernel name, and what the host did. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

static struct {
    vm_counters **items;
    size_t count, capacity;
    vm_host_counters host;
} sums;

const char *vm_class_name(vm_class class) {
    static const char *const names[] = {"integer",  "float",   "special", "convert", "move",
                                        "compare",  "control", "global",  "shared",  "local",
                                        "constant", "atomic",  "warp",    "barrier", "matrix"};

    return class < VM_CLASS_COUNT ? names[class] : "?";
}

static vm_counters *find(const char *kernel) {
    size_t i;

    for (i = 0; i < sums.count; i++) {
        if (strncmp(sums.items[i]->kernel, kernel, sizeof(sums.items[i]->kernel) - 1) == 0) {
            return sums.items[i];
        }
    }
    return NULL;
}

static void add_traffic(vm_traffic *to, const vm_traffic *from) {
    to->requests += from->requests;
    to->coalesced += from->coalesced;
    to->sectors += from->sectors;
    to->bytes += from->bytes;
    to->distinct += from->distinct;
}

void vm_counters_add(const vm_counters *counts) {
    vm_counters *sum = find(counts->kernel), **slot;
    int i;

    if (!sum) {
        slot = vm_grow((void **)&sums.items, &sums.count, &sums.capacity, sizeof(*slot));
        sum = *slot = vm_calloc(1, sizeof(*sum));
        memcpy(sum->kernel, counts->kernel, sizeof(sum->kernel));
    }
    sum->launches += counts->launches;
    sum->blocks += counts->blocks;
    for (i = 0; i < VM_CLASS_COUNT; i++) {
        sum->instructions[i] += counts->instructions[i];
    }
    sum->warp_instructions += counts->warp_instructions;
    sum->mma += counts->mma;
    add_traffic(&sum->load, &counts->load);
    add_traffic(&sum->store, &counts->store);
    sum->shared_requests += counts->shared_requests;
    sum->shared_wavefronts += counts->shared_wavefronts;
    sum->shared_ideal += counts->shared_ideal;
    if (counts->shared_worst_ways > sum->shared_worst_ways) {
        sum->shared_worst_ways = counts->shared_worst_ways;
    }
    sum->seconds += counts->seconds;
}

const vm_counters *vm_counters_of(const char *kernel) {
    return find(kernel);
}

size_t vm_counters_count(void) {
    return sums.count;
}

const vm_counters *vm_counters_at(size_t index) {
    return index < sums.count ? sums.items[index] : NULL;
}

const vm_host_counters *vm_host(void) {
    return &sums.host;
}

vm_host_counters *vm_host_mutable(void) {
    return &sums.host;
}

void vm_counters_clear(void) {
    uint64_t live = sums.host.live_bytes, graphs = sums.host.live_graphs;

    while (sums.count) {
        free(sums.items[--sums.count]);
    }
    memset(&sums.host, 0, sizeof(sums.host));
    sums.host.live_bytes = sums.host.peak_bytes = live;
    sums.host.live_graphs = graphs;
}
