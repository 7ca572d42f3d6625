/* A block at work: its warps take turns until all have exited. The lanes of a warp share one
 * program counter; where they part, one side runs up to the point where all paths meet (the
 * immediate post-dominator, found by flow.c) while the other waits on a stack. */
#include <stdlib.h>
#include <string.h>

#include "memory.h"

uint64_t vm_warp_limit = (uint64_t)1 << 32;

/* Instructions of one warp before the next has its turn: long enough to keep its registers in the
 * cache, short enough that warps which wait for each other in a loop make progress. */
#define TURN 20000

/* ---- divergence ----------------------------------------------------------------------------- */

/* Continue with lanes that wait on the stack. */
static void resume(vm_warp *w) {
    while (w->frame_count) {
        const vm_frame *frame = &w->frames[--w->frame_count];

        if (frame->lanes & w->alive) {
            w->active = frame->lanes & w->alive;
            w->pc = frame->pc;
            w->reconverge = frame->reconverge;
            return;
        }
    }
    w->active = 0;
    w->state = VM_DONE;
}

void vm_warp_exit(vm_warp *w, uint32_t lanes) {
    w->alive &= ~lanes;
    w->active &= ~lanes;
    if (!w->active) {
        resume(w);
    }
}

static void push(vm_warp *w, uint32_t pc, uint32_t reconverge, uint32_t lanes) {
    vm_frame *frame =
        vm_grow((void **)&w->frames, &w->frame_count, &w->frame_capacity, sizeof(*frame));

    *frame = (vm_frame){pc, reconverge, lanes};
}

static bool is_plain_exit(const vm_warp *w, uint32_t pc) {
    return w->kernel->code[pc].is_exit && w->kernel->code[pc].guard == VM_NONE;
}

/* Lanes that go to an exit are gone at once, as on hardware; they must not count as waiting. The
 * pc has moved past the branch already. */
void vm_warp_branch(vm_warp *w, const vm_instr *in, uint32_t target, uint32_t lanes) {
    uint32_t stay = w->active & ~lanes, meet = in->reconverge, next = w->pc;

    if (!stay) {
        w->pc = target;
    } else if (is_plain_exit(w, target)) {
        vm_warp_exit(w, lanes);
    } else if (!in->table_count && is_plain_exit(w, next)) {
        vm_warp_exit(w, stay);
        w->pc = target;
    } else {
        if (meet != w->reconverge && meet != VM_NONE) {
            push(w, meet, w->reconverge, w->active);
        }
        w->reconverge = meet;
        if (target != meet) {
            push(w, target, meet, lanes);
        }
        w->active = stay; /* goes on at next, where the loop looks whether that is the meeting */
    }
}

/* ---- one warp ------------------------------------------------------------------------------- */

/* Registers that may be read before they are written (flow.c found which). A copy of an unwritten
 * register is unwritten; anything else that uses it is reported. */
static void check_registers(vm_warp *w, const vm_instr *in, uint32_t mask) {
    const vm_suspect *check = w->kernel->checks + in->check;
    uint32_t k, sources = 0, missing = 0;

    for (k = 0; k < in->check_count; k++) {
        if (check[k].ref == VM_NONE) {
            missing |= w->active & ~w->written[check[k].index];
        } else if (check[k].ref >= in->dst_count) {
            sources |= ~w->written[check[k].index];
        }
    }
    if (!in->is_copy) {
        missing |= sources & mask;
    }
    if (missing) {
        vm_found(w, in, VM_UNDEFINED_REGISTER, missing, 0,
                 "a register is used that was never written");
        sources = 0;
    }
    for (k = 0; k < in->check_count; k++) {
        uint32_t *written = &w->written[check[k].index];

        if (check[k].ref < in->dst_count) {
            *written = (*written & ~mask) | (in->is_copy ? ~sources & mask : mask);
        } else if (missing) {
            *written |= missing; /* once is enough */
        }
    }
}

static void run_warp(vm_warp *w) {
    const vm_instr *code = w->kernel->code;
    vm_counters *counters = w->block->counters;
    uint32_t left = TURN;

    while (w->state == VM_RUNNING && left-- && !w->block->failed) {
        const vm_instr *in = &code[w->pc];
        uint32_t mask = w->active;

        if (w->pc == w->reconverge) {
            resume(w);
            continue;
        }
        if (in->guard != VM_NONE) {
            uint32_t guard = *(const uint32_t *)vm_row(w, in->guard);

            mask &= in->guard_negated ? ~guard : guard;
        }
        w->pc++;
        w->executed++;
        counters->warp_instructions++;
        counters->instructions[in->class] += vm_popcount(mask);
        if (in->checked) {
            check_registers(w, in, mask);
        }
        if (mask) {
            in->run(w, in, mask);
        }
    }
    if (w->executed > vm_warp_limit) {
        vm_found(w, &code[w->pc], VM_TRAP, w->active ? w->active : 1, 0,
                 "a warp has executed more than %llu instructions: an endless loop?",
                 (unsigned long long)vm_warp_limit);
        w->block->failed = true;
    }
}

/* ---- the block ------------------------------------------------------------------------------ */

static size_t round_up(size_t value, size_t to) {
    return (value + to - 1) / to * to;
}

void vm_block_prepare(vm_block *block, vm_launch *launch, vm_counters *counters) {
    const vm_kernel *kernel = launch->kernel;
    size_t file = round_up(kernel->file_bytes, 64), cells;
    uint32_t i;

    memset(block, 0, sizeof(*block));
    block->launch = launch;
    block->counters = counters;
    block->thread_count = launch->block[0] * launch->block[1] * launch->block[2];
    block->warp_count = (block->thread_count + VM_LANES - 1) / VM_LANES;
    block->shared_bytes = kernel->shared_bytes + launch->dynamic_bytes;
    block->shared = vm_malloc(block->shared_bytes);
    cells = block->shared_bytes / kernel->shared_granule + 1;
    block->writer = vm_calloc(cells, 3 * sizeof(uint32_t));
    block->reader[0] = block->writer + cells;
    block->reader[1] = block->writer + 2 * cells;
    block->warps = vm_calloc(block->warp_count, sizeof(*block->warps));
    block->registers = aligned_alloc(64, round_up(block->warp_count * file + 1, 64));
    memset(block->registers, 0xa5, block->warp_count * file);
    block->local = vm_calloc(block->warp_count, 2 * VM_LANES * kernel->local_bytes);
    block->written = vm_calloc((size_t)block->warp_count * kernel->suspect_count, sizeof(uint32_t));
    for (i = 0; i < block->warp_count; i++) {
        vm_warp *w = &block->warps[i];
        uint32_t lanes = block->thread_count - i * VM_LANES;

        w->base[0] = block->registers + i * file;
        w->base[1] = kernel->pool;
        w->kernel = kernel;
        w->block = block;
        w->index = i;
        w->lanes = lanes >= VM_LANES ? VM_ALL : (1u << lanes) - 1;
        w->local = block->local + i * 2 * VM_LANES * kernel->local_bytes;
        w->local_written = w->local + VM_LANES * kernel->local_bytes;
        w->written = block->written + (size_t)i * kernel->suspect_count;
    }
}

void vm_block_release(vm_block *block) {
    uint32_t i;

    for (i = 0; i < block->warp_count; i++) {
        free(block->warps[i].frames);
        free(block->warps[i].pending);
    }
    free(block->shared);
    free(block->writer);
    free(block->warps);
    free(block->registers);
    free(block->local);
    free(block->written);
}

static uint32_t special_value(const vm_warp *w, vm_special which, uint32_t lane) {
    const vm_launch *launch = w->block->launch;
    uint32_t thread = w->index * VM_LANES + lane, width = launch->block[0];

    switch (which) {
    case VM_TID_X:
        return thread % width;
    case VM_TID_Y:
        return thread / width % launch->block[1];
    case VM_TID_Z:
        return thread / width / launch->block[1];
    case VM_NTID_X:
    case VM_NTID_Y:
    case VM_NTID_Z:
        return launch->block[which - VM_NTID_X];
    case VM_CTAID_X:
    case VM_CTAID_Y:
    case VM_CTAID_Z:
        return w->block->index[which - VM_CTAID_X];
    case VM_NCTAID_X:
    case VM_NCTAID_Y:
    case VM_NCTAID_Z:
        return launch->grid[which - VM_NCTAID_X];
    case VM_LANEID:
        return lane;
    case VM_WARPID:
        return w->index;
    case VM_NWARPID:
        return w->block->warp_count;
    case VM_NSMID:
        return 1;
    case VM_LANEMASK_EQ:
        return 1u << lane;
    case VM_LANEMASK_LE:
        return (2u << lane) - 1;
    case VM_LANEMASK_LT:
        return (1u << lane) - 1;
    case VM_LANEMASK_GE:
        return VM_ALL << lane;
    case VM_LANEMASK_GT:
        return ~((2u << lane) - 1);
    case VM_DYNAMIC_SMEM:
        return (uint32_t)launch->dynamic_bytes;
    case VM_TOTAL_SMEM:
        return (uint32_t)w->block->shared_bytes;
    default:
        return 0;
    }
}

static void fill_specials(vm_warp *w) {
    uint32_t k, i;

    for (k = 0; k < VM_SPECIAL_COUNT; k++) {
        if (w->kernel->special[k] == VM_NONE) {
            continue;
        }
        for (i = 0; i < VM_LANES; i++) {
            uint64_t value = special_value(w, (vm_special)k, i);
            size_t bytes = k == VM_GRIDID ? 8 : 4;

            memcpy((uint8_t *)vm_row(w, w->kernel->special[k]) + i * bytes, &value, bytes);
        }
    }
}

static void start_warp(vm_warp *w) {
    const vm_kernel *kernel = w->kernel;

    w->pc = 0;
    w->reconverge = VM_NONE;
    w->active = w->alive = w->lanes;
    w->state = VM_RUNNING;
    w->frame_count = 0;
    w->pending_count = 0;
    w->executed = 0;
    memset(w->group, 0, sizeof(w->group));
    memset(w->written, 0, kernel->suspect_count * sizeof(*w->written));
    memset(w->local_written, 0, VM_LANES * kernel->local_bytes);
    fill_specials(w);
}

void vm_block_run(vm_block *block, uint32_t x, uint32_t y, uint32_t z) {
    bool progress = true;
    uint32_t i;

    block->index[0] = x;
    block->index[1] = y;
    block->index[2] = z;
    memset(block->barriers, 0, sizeof(block->barriers));
    vm_shared_prepare(block);
    for (i = 0; i < block->warp_count; i++) {
        start_warp(&block->warps[i]);
    }
    block->counters->blocks++;
    while (progress && !block->failed) {
        progress = false;
        for (i = 0; i < block->warp_count; i++) {
            if (block->warps[i].state == VM_RUNNING) {
                run_warp(&block->warps[i]);
                progress = true;
            }
        }
    }
    if (!block->failed) {
        vm_barrier_report_stuck(block);
    }
}
