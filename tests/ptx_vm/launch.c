/* A grid: workers take one block after the other until none is left. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "memory.h"

unsigned vm_threads = 2;

typedef struct worker {
    vm_launch *launch;
    uint64_t *next; /* block, shared by the workers */
    bool *failed;
    vm_counters counters;
} worker;

static void *work(void *argument) {
    worker *me = argument;
    const uint32_t *grid = me->launch->grid;
    uint64_t total = (uint64_t)grid[0] * grid[1] * grid[2], number;
    vm_block block;

    vm_block_prepare(&block, me->launch, &me->counters);
    while (!__atomic_load_n(me->failed, __ATOMIC_RELAXED)) {
        number = __atomic_fetch_add(me->next, 1, __ATOMIC_RELAXED);
        if (number >= total) {
            break;
        }
        vm_block_run(&block, (uint32_t)(number % grid[0]), (uint32_t)(number / grid[0] % grid[1]),
                     (uint32_t)(number / grid[0] / grid[1]));
        if (block.failed) {
            __atomic_store_n(me->failed, true, __ATOMIC_RELAXED);
        }
    }
    vm_block_release(&block);
    return NULL;
}

static double now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#define MAX_WORKERS 8

void vm_launch_run(vm_launch *launch) {
    const uint32_t *grid = launch->grid;
    uint64_t total = (uint64_t)grid[0] * grid[1] * grid[2], next = 0;
    unsigned count = vm_threads < total ? vm_threads : (unsigned)total, i;
    worker workers[MAX_WORKERS] = {0};
    pthread_t threads[MAX_WORKERS];
    bool started[MAX_WORKERS] = {false}, failed = false;
    double start = now();

    count = count > MAX_WORKERS ? MAX_WORKERS : count;
    for (i = 0; i < count; i++) {
        workers[i].launch = launch;
        workers[i].next = &next;
        workers[i].failed = &failed;
        snprintf(workers[i].counters.kernel, sizeof(workers[i].counters.kernel), "%s",
                 launch->kernel->name);
        started[i] = i > 0 && pthread_create(&threads[i], NULL, work, &workers[i]) == 0;
    }
    work(&workers[0]);
    for (i = 1; i < count; i++) {
        if (started[i]) {
            pthread_join(threads[i], NULL);
        }
    }
    workers[0].counters.launches = 1;
    workers[0].counters.seconds = now() - start;
    vm_memory_footprint(&workers[0].counters.load.distinct, &workers[0].counters.store.distinct);
    for (i = 0; i < count; i++) {
        vm_counters_add(&workers[i].counters);
    }
}

void vm_set_threads(unsigned threads) {
    vm_threads = threads ? threads : 1;
}

void vm_set_warp_limit(uint64_t limit) {
    vm_warp_limit = limit;
}
