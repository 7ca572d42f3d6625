/* bar, barrier: the threads of a block meet. A barrier must be reached by every thread of the block
 * (or as many as it says), and by all lanes of a warp together. Hardware lets threads that have
 * exited count as arrived; we do not: a barrier that some threads never see is a mistake waiting
 * for a change of the launch. */
#include <string.h>

#include "exec.h"
#include "memory.h"

enum { WAIT, ARRIVE, COUNT, ALL, ANY, KINDS };
enum { NEGATED = 8, HAS_COUNT = 16 };

static void finish_vote(vm_warp *w, const vm_barrier *barrier) {
    const vm_instr *in = w->waiting;
    uint32_t kind = in->option & 7, mask = w->waiting_lanes;

    if (kind == COUNT) {
        uint32_t *d = vm_row(w, in->ref[0]);

        VM_EACH_LANE(d[i] = barrier->votes);
    } else if (kind == ALL || kind == ANY) {
        uint32_t *d = vm_row(w, in->ref[0]);
        bool truth = kind == ANY ? barrier->votes > 0 : barrier->votes == barrier->voters;

        *d = vm_merge(*d, truth ? VM_ALL : 0, mask);
    }
}

static void release(vm_block *block, uint32_t id) {
    vm_barrier *barrier = &block->barriers[id];
    uint32_t i;

    for (i = 0; i < block->warp_count; i++) {
        vm_warp *w = &block->warps[i];

        if (w->state == VM_WAITING && w->barrier == id) {
            finish_vote(w, barrier);
            w->state = VM_RUNNING;
            vm_shared_release(w, barrier);
        }
    }
    memset(barrier, 0, sizeof(*barrier));
}

/* Whether this warp may come to the barrier here and now. */
static bool is_legal(vm_warp *w, const vm_instr *in, uint32_t mask, uint32_t id, uint32_t count) {
    vm_barrier *barrier = &w->block->barriers[id < VM_BARRIERS ? id : 0];
    uint32_t missing = w->alive & ~mask;

    if (id >= VM_BARRIERS || count == 0 || count % VM_LANES != 0) {
        vm_found(w, in, VM_DIVERGENT_BARRIER, mask, 0,
                 "barrier %u of 16 for %u threads, which must be a multiple of 32", id, count);
    } else if (missing) {
        vm_found(w, in, VM_DIVERGENT_BARRIER, missing, 0,
                 "%u lanes of the warp are elsewhere while the others are at a barrier",
                 vm_popcount(missing));
    } else if (barrier->first && barrier->first != in && !(in->option & HAS_COUNT)) {
        vm_found(w, in, VM_DIVERGENT_BARRIER, mask, 0,
                 "another warp waits at the barrier of PTX line %d",
                 w->kernel->places[barrier->first - w->kernel->code].line);
    } else if (barrier->first && barrier->expected != count) {
        vm_found(w, in, VM_DIVERGENT_BARRIER, mask, 0, "%u threads are expected here, %u elsewhere",
                 count, barrier->expected);
    } else {
        return true;
    }
    w->block->failed = true;
    return false;
}

static void barrier(vm_warp *w, const vm_instr *in, uint32_t mask) {
    vm_block *block = w->block;
    uint32_t lane = vm_first_lane(mask), kind = in->option & 7, at = in->dst_count;
    uint32_t id = ((const uint32_t *)vm_row(w, in->ref[at]))[lane];
    uint32_t count = ((const uint32_t *)vm_row(w, in->ref[at + 1]))[lane];
    vm_barrier *barrier;

    if (!(in->option & HAS_COUNT)) { /* rounded up: a last warp counts as whole where it arrives */
        count = block->warp_count * VM_LANES;
    }
    if (!is_legal(w, in, mask, id, count)) {
        return;
    }
    barrier = &block->barriers[id];
    barrier->first = barrier->first ? barrier->first : in;
    barrier->expected = count;
    /* Lanes that never existed come along; lanes that exited do not. */
    barrier->arrived += vm_popcount(mask) + VM_LANES - vm_popcount(w->lanes);
    barrier->arrivals |= 1u << w->index;
    if (kind >= COUNT) {
        uint32_t votes = *(const uint32_t *)vm_row(w, in->ref[at + 2]);

        votes = in->option & NEGATED ? ~votes : votes;
        barrier->votes += vm_popcount(votes & mask);
        barrier->voters += vm_popcount(mask);
    }
    vm_shared_arrive(w, barrier);
    if (kind != ARRIVE) {
        w->state = VM_WAITING;
        w->waiting = in;
        w->waiting_lanes = mask;
        w->barrier = id;
    }
    if (barrier->arrived >= barrier->expected) {
        release(block, id);
    }
}

void vm_barrier_report_stuck(vm_block *block) {
    uint32_t i, k;

    for (i = 0; i < block->warp_count; i++) {
        const vm_warp *waits = &block->warps[i];

        if (waits->state != VM_WAITING) {
            continue;
        }
        for (k = 0; k < block->warp_count; k++) {
            vm_warp *other = &block->warps[k];
            bool here = other->state == VM_WAITING && other->barrier == waits->barrier;
            uint32_t missing = other->lanes & ~(here ? other->waiting_lanes : 0);

            if (missing) {
                vm_found(other, waits->waiting, VM_DIVERGENT_BARRIER, missing, 0,
                         "warp %u waits at a barrier that this thread never reaches", i);
                block->failed = true;
                return;
            }
        }
    }
}

static void warp_sync(vm_warp *w, const vm_instr *in, uint32_t mask) {
    if (vm_check_members(w, in, mask, vm_row(w, in->ref[0]))) {
        vm_shared_warp_sync(w);
    }
}

/* ---- decoding ---------------------------------------------------------------------------------
 */

/* a{, b} and for bar.red {!}p. */
static bool decode_operands(vm_decoder *d, uint32_t at, bool votes) {
    const ptx_operand *operands = d->statement->operands;
    uint32_t count = d->statement->count, plain = count - at - votes;

    if (count < at + 1 + votes || plain > 2) {
        return vm_refuse(d, "%u operands", count);
    }
    d->in->option |= plain == 2 ? HAS_COUNT : 0;
    if (!vm_src(d, &operands[at], VM_B32) ||
        !(plain == 2 ? vm_src(d, &operands[at + 1], VM_B32) : vm_src_constant(d, VM_B32, 0))) {
        return false;
    }
    if (votes) {
        ptx_operand vote = operands[count - 1];

        d->in->option |= vote.negated ? NEGATED : 0;
        vote.negated = false;
        return vm_src(d, &vote, VM_PRED);
    }
    return true;
}

static bool decode_barrier(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;

    d->in->class = VM_CLASS_BARRIER;
    d->in->run = barrier;
    if (vm_take(d, "warp")) {
        d->in->run = warp_sync;
        return vm_take(d, "sync") && vm_want(d, 1) && vm_src(d, &operands[0], VM_B32);
    }
    vm_take(d, "cta");
    if (vm_take(d, "sync")) {
        vm_take(d, "aligned");
        d->in->option = WAIT;
        return decode_operands(d, 0, false);
    }
    if (vm_take(d, "arrive")) {
        vm_take(d, "aligned");
        d->in->option = ARRIVE;
        return d->statement->count == 2 && decode_operands(d, 0, false);
    }
    if (!vm_take(d, "red") || d->statement->count < 3) {
        return false;
    }
    vm_take(d, "aligned");
    if (vm_take(d, "popc")) {
        vm_take(d, "aligned");
        d->in->option = COUNT;
        return vm_take(d, "u32") && vm_dst(d, &operands[0], VM_B32) && decode_operands(d, 1, true);
    }
    d->in->option = vm_take(d, "and") ? ALL : ANY;
    if (d->in->option == ANY && !vm_take(d, "or")) {
        return false;
    }
    vm_take(d, "aligned");
    return vm_take(d, "pred") && vm_dst(d, &operands[0], VM_PRED) && decode_operands(d, 1, true);
}

static const vm_family families[] = {{"bar", decode_barrier}, {"barrier", decode_barrier}};
const vm_family_list vm_barrier_families = {families, sizeof(families) / sizeof(*families)};
