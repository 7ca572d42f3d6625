/* A grid: workers take one block after the other until none is left. */
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "memory.h"

unsigned vm_threads = 2;

#define MAX_WORKERS 8

/* Instructions of warps that are left when it pays to start threads for them: about a millisecond.
 * A decoding step is hundreds of launches that are done sooner than a thread has started. */
#define WORTH_A_THREAD 100000

typedef struct grid {
    vm_launch *launch;
    uint64_t total, next; /* blocks */
    bool failed;
} grid;

typedef struct worker {
    grid *grid;
    vm_block block;
    vm_counters counters;
    pthread_t thread;
    bool started;
} worker;

/* Runs one block; false: there is none, or one has failed. */
static bool run_block(worker *me) {
    const uint32_t *size = me->grid->launch->grid;
    uint64_t number;

    if (__atomic_load_n(&me->grid->failed, __ATOMIC_RELAXED)) {
        return false;
    }
    number = __atomic_fetch_add(&me->grid->next, 1, __ATOMIC_RELAXED);
    if (number >= me->grid->total) {
        return false;
    }
    vm_block_run(&me->block, (uint32_t)(number % size[0]), (uint32_t)(number / size[0] % size[1]),
                 (uint32_t)(number / size[0] / size[1]));
    if (me->block.failed) {
        __atomic_store_n(&me->grid->failed, true, __ATOMIC_RELAXED);
    }
    return true;
}

static void *work(void *argument) {
    worker *me = argument;

    fesetenv(FE_DFL_ENV);
    vm_block_prepare(&me->block, me->grid->launch, &me->counters);
    while (run_block(me)) {
    }
    vm_block_release(&me->block);
    return NULL;
}

static void start_threads(worker *workers, unsigned count) {
    unsigned i;

    for (i = 1; i < count; i++) {
        workers[i].started = pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0;
    }
}

/* The calling thread is the first worker; the others start once it shows that there is enough to
 * do. */
static void run_grid(grid *g, worker *workers, unsigned count) {
    worker *first = &workers[0];
    bool alone = true;
    unsigned i;

    vm_block_prepare(&first->block, g->launch, &first->counters);
    while (run_block(first)) {
        uint64_t done = first->counters.blocks;
        uint64_t each = first->counters.warp_instructions / done;

        if (alone && each * (g->total - done) > WORTH_A_THREAD) {
            start_threads(workers, count);
            alone = false;
        }
    }
    vm_block_release(&first->block);
    for (i = 1; i < count; i++) {
        if (workers[i].started) {
            pthread_join(workers[i].thread, NULL);
        }
    }
}

static double now(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void vm_launch_run(vm_launch *launch) {
    const uint32_t *size = launch->grid;
    grid g = {.launch = launch, .total = (uint64_t)size[0] * size[1] * size[2]};
    unsigned count = vm_threads < MAX_WORKERS ? vm_threads : MAX_WORKERS, i;
    worker workers[MAX_WORKERS] = {0};
    double start = now();
    fenv_t environment;

    fegetenv(&environment); /* the host may round or flush as it likes, the GPU does not */
    fesetenv(FE_DFL_ENV);
    for (i = 0; i < count; i++) {
        workers[i].grid = &g;
        snprintf(workers[i].counters.kernel, sizeof(workers[i].counters.kernel), "%s",
                 launch->kernel->name);
    }
    run_grid(&g, workers, count);
    fesetenv(&environment);
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
