/* Shared memory of a block: bounds, bank conflicts, reads of what nobody wrote, and races.
 *
 * For every granule (the narrowest access that the kernel makes, so a granule is always accessed as
 * a whole) three cells tell who wrote it last and two lanes that read it since. A cell is the
 * thread, and the time of its warp: a counter that moves on at each synchronisation the warp takes
 * part in. Two accesses by different threads, one of them a write, are a race unless they are
 * ordered, and that is what the vector clocks tell: warp w is ordered after everything that warp v
 * did up to time w->known[v]. A barrier joins the clocks of the warps that meet there;
 * bar.warp.sync orders a warp after its own past. Shuffles and votes order nothing, as the manual
 * says.
 *
 * An access by the same thread is ordered by the program. Atomics do not race with each other.
 * Two readers are enough to find a writer that races with any: if the first is not the writer, it
 * is the culprit; if it is, the second is another thread. */
#include <inttypes.h>
#include <string.h>

#include "memory.h"

/* thread 10 bits | under way 1 | atomic 1 | time 20. A cell is never 0 once written. */
#define TIME_BITS 20
#define TIME_MASK ((1u << TIME_BITS) - 1)
#define CELL_ATOMIC (1u << TIME_BITS)
#define CELL_ASYNC (2u << TIME_BITS)
#define THREAD_SHIFT (TIME_BITS + 2)

void vm_shared_prepare(vm_block *block) {
    size_t cells = block->shared_bytes / block->launch->kernel->shared_granule + 1;
    uint32_t i;

    memset(block->writer, 0, cells * sizeof(uint32_t));
    memset(block->reader[0], 0, cells * sizeof(uint32_t));
    memset(block->reader[1], 0, cells * sizeof(uint32_t));
    for (i = 0; i < block->warp_count; i++) {
        memset(block->warps[i].known, 0, sizeof(block->warps[i].known));
        block->warps[i].now = 1;
    }
}

/* ---- time ----------------------------------------------------------------------------------- */

/* Before a clock overflows (a million synchronisations), at a barrier of the whole block where
 * everything is ordered anyway: forget readers, and date all writers at the beginning. */
static void rebase(vm_block *block) {
    size_t cells = block->shared_bytes / block->launch->kernel->shared_granule + 1, i;
    uint32_t k, v;

    for (i = 0; i < cells; i++) {
        uint32_t kept = block->writer[i] & ~TIME_MASK;

        block->writer[i] = block->writer[i] ? kept | 1 : 0;
        block->reader[0][i] = block->reader[1][i] = 0;
    }
    for (k = 0; k < block->warp_count; k++) {
        block->warps[k].now = 2;
        for (v = 0; v < VM_LANES; v++) {
            block->warps[k].known[v] = 1;
        }
    }
}

static void advance(vm_warp *w) {
    w->known[w->index] = w->now;
    if (w->now < TIME_MASK) {
        w->now++;
    }
}

void vm_shared_warp_sync(vm_warp *w) {
    advance(w);
}

void vm_shared_arrive(vm_warp *w, vm_barrier *barrier) {
    uint32_t v;

    advance(w);
    for (v = 0; v < w->block->warp_count; v++) {
        barrier->clock[v] = w->known[v] > barrier->clock[v] ? w->known[v] : barrier->clock[v];
    }
}

void vm_shared_release(vm_warp *w, const vm_barrier *barrier) {
    uint32_t v, all = w->block->warp_count == 32 ? VM_ALL : (1u << w->block->warp_count) - 1;

    for (v = 0; v < w->block->warp_count; v++) {
        w->known[v] = barrier->clock[v] > w->known[v] ? barrier->clock[v] : w->known[v];
    }
    if (w->now > TIME_MASK / 2 && barrier->arrivals == all &&
        w->index + 1 == w->block->warp_count) {
        rebase(w->block);
    }
}

/* ---- banks ---------------------------------------------------------------------------------- */

/* One pass: lanes first .. first+count-1 with words words each; how often the busiest bank works.
 */
static uint32_t pass_ways(uint32_t mask, const uint64_t *address, uint32_t first, uint32_t count,
                          uint32_t words) {
    uint32_t seen[VM_LANES], ways[32] = {0}, most = 0, used = 0, i, k, n;

    for (i = first; i < first + count; i++) {
        for (k = 0; (mask >> i & 1) && k < words; k++) {
            uint32_t word = (uint32_t)(address[i] / 4) + k, bank = word % 32;

            for (n = 0; ways[bank] && n < used && seen[n] != word; n++) {
            }
            if (ways[bank] && n < used) {
                continue; /* the same word: one fetch serves both */
            }
            seen[used++] = word;
            ways[bank]++;
            most = ways[bank] > most ? ways[bank] : most;
        }
    }
    return most;
}

void vm_shared_count(vm_warp *w, uint32_t mask, const uint64_t *address, uint32_t size) {
    vm_counters *counters = w->block->counters;
    uint32_t words = size <= 4 ? 1 : size / 4, lanes = VM_LANES / words, first;

    counters->shared_requests++;
    for (first = 0; first < VM_LANES; first += lanes) {
        uint32_t ways = pass_ways(mask, address, first, lanes, words);

        if (ways) {
            counters->shared_ideal++;
            counters->shared_wavefronts += ways;
            if (ways > counters->shared_worst_ways) {
                counters->shared_worst_ways = ways;
            }
        }
    }
}

/* ---- cells ---------------------------------------------------------------------------------- */

static bool is_ordered(const vm_warp *w, uint32_t thread, uint32_t cell) {
    uint32_t other = cell >> THREAD_SHIFT;

    return other == thread || (cell & TIME_MASK) <= w->known[other / VM_LANES];
}

typedef enum fault { NONE, UNDEFINED, ASYNC, RACE } fault;

/* One lane's access to one granule; the other party of a race in *other. */
static fault touch(vm_warp *w, uint32_t thread, size_t g, vm_access_kind kind, uint32_t *other) {
    vm_block *block = w->block;
    uint32_t writer = block->writer[g], *first = &block->reader[0][g];
    uint32_t mine = thread << THREAD_SHIFT | w->now;
    bool atomics = kind == VM_ATOMIC && (writer & CELL_ATOMIC);
    fault result = NONE;

    *other = writer;
    if (writer == 0) {
        result = kind == VM_WRITE ? NONE : UNDEFINED;
    } else if (writer & CELL_ASYNC) {
        result = ASYNC;
    } else if (!atomics && !is_ordered(w, thread, writer)) {
        result = RACE;
    }
    if (kind == VM_READ) {
        if (*first == 0 || is_ordered(w, thread, *first)) {
            *first = mine;
        } else {
            block->reader[1][g] = mine;
        }
        return result;
    }
    for (uint32_t k = 0; k < 2 && result != RACE; k++) {
        uint32_t reader = block->reader[k][g];

        if (reader && !is_ordered(w, thread, reader)) {
            *other = reader;
            result = result == NONE ? RACE : result;
        }
    }
    /* An atomic after this thread's own plain write does not hide that write from the others. */
    if (kind == VM_WRITE || atomics || writer == 0 ||
        (writer & TIME_MASK) <= w->known[(writer >> THREAD_SHIFT) / VM_LANES]) {
        block->writer[g] = mine | (kind == VM_ATOMIC ? CELL_ATOMIC : 0);
    }
    return result;
}

static const char *verb(vm_access_kind kind) {
    return kind == VM_READ ? "a read" : kind == VM_WRITE ? "a write" : "an atomic";
}

static void report(vm_warp *w, const vm_instr *in, fault fault, uint32_t lane, uint64_t at,
                   uint32_t size, vm_access_kind kind, uint32_t other) {
    uint32_t thread = other >> THREAD_SHIFT;

    if (fault == UNDEFINED) {
        vm_found(w, in, VM_UNDEFINED_MEMORY, 1u << lane, at,
                 "%s of %u bytes of shared memory that nobody wrote", verb(kind), size);
    } else if (fault == ASYNC) {
        vm_found(w, in, VM_ASYNC_NOT_WAITED, 1u << lane, at,
                 "%s of %u bytes that a cp.async of warp %u lane %u still fills", verb(kind), size,
                 thread / VM_LANES, thread % VM_LANES);
    } else {
        vm_found(w, in, VM_RACE, 1u << lane, at,
                 "%s of %u bytes of shared memory that warp %u lane %u touched without a barrier "
                 "between",
                 verb(kind), size, thread / VM_LANES, thread % VM_LANES);
    }
}

static void touch_lane(vm_warp *w, const vm_instr *in, uint32_t lane, uint64_t at, uint32_t size,
                       vm_access_kind kind) {
    uint32_t granule = w->kernel->shared_granule, other, thread = w->index * VM_LANES + lane;
    size_t g, end = (at + size) / granule;

    for (g = at / granule; g < end; g++) {
        fault found = touch(w, thread, g, kind, &other);

        if (found != NONE) {
            report(w, in, found, lane, at, size, kind, other);
            break;
        }
    }
    for (; g < end; g++) { /* after a finding the rest is only noted */
        touch(w, thread, g, kind, &other);
    }
}

void vm_access_shared(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                      uint32_t size, vm_access_kind kind, vm_access *out) {
    size_t limit = w->block->shared_bytes;
    uint32_t outside = 0, i;

    mask = vm_check_alignment(w, in, mask, address, size);
    for (i = 0; i < VM_LANES; i++) {
        outside |= (uint32_t)(address[i] + size > limit || address[i] > limit) << i;
    }
    outside &= mask;
    if (outside) {
        uint64_t first = address[vm_first_lane(outside)];

        vm_found(w, in, VM_OUT_OF_BOUNDS, outside, first,
                 "%s of %u bytes at %" PRIu64 " of %zu bytes of shared memory", verb(kind), size,
                 first, limit);
    }
    mask &= ~outside;
    out->mask = mask;
    out->contiguous = false;
    if (mask) {
        vm_shared_count(w, mask, address, size);
    }
    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            touch_lane(w, in, i, address[i], size, kind);
            out->at[i] = w->block->shared + address[i];
        }
    }
}

/* ---- cp.async ------------------------------------------------------------------------------- */

void vm_shared_begin_async(vm_warp *w, const vm_instr *in, uint32_t lane, uint32_t at,
                           uint32_t size) {
    uint32_t granule = w->kernel->shared_granule;
    size_t g;

    touch_lane(w, in, lane, at, size, VM_WRITE);
    for (g = at / granule; g < (at + size) / granule; g++) {
        w->block->writer[g] |= CELL_ASYNC;
    }
}

void vm_shared_end_async(vm_warp *w, uint32_t lane, uint32_t at, uint32_t size) {
    uint32_t granule = w->kernel->shared_granule;
    size_t g;

    for (g = at / granule; g < (at + size) / granule; g++) {
        w->block->writer[g] = (w->index * VM_LANES + lane) << THREAD_SHIFT | w->now;
    }
}
