/* Which registers are alive where, and so how few rows suffice for them.
 *
 * nvcc writes PTX with thousands of registers, each written once. A row of 32 lanes takes 128
 * bytes, so without sharing rows the registers of a block of 8 warps would fill megabytes and every
 * instruction would miss the cache. Liveness also shows, without any work at run time, which
 * registers could be read before they are written: those that are alive at the entry. */
#include <stdlib.h>
#include <string.h>

#include "flow.h"

/* ---- liveness ------------------------------------------------------------------------------- */

static void set_bit(uint64_t *set, uint32_t bit) {
    set[bit / 64] |= (uint64_t)1 << bit % 64;
}

static bool has_bit(const uint64_t *set, uint32_t bit) {
    return set[bit / 64] >> bit % 64 & 1;
}

static void use(flow_block *block, vm_ref ref) {
    if (!(ref & VM_POOL) && !has_bit(block->kill, ref)) {
        set_bit(block->in, ref);
    }
}

static void find_uses(flow *f, flow_block *block) {
    uint32_t i, k;

    for (i = block->first; i < block->end; i++) {
        const vm_instr *in = &f->kernel->code[i];

        if (in->guard != VM_NONE) {
            use(block, in->guard);
        }
        for (k = in->dst_count; k < in->ref_count; k++) {
            use(block, in->ref[k]);
        }
        for (k = 0; k < in->dst_count; k++) {
            if (in->guard != VM_NONE) {
                use(block, in->ref[k]); /* the old value may stay */
            } else {
                set_bit(block->kill, in->ref[k]);
            }
        }
    }
}

static void find_alive(flow *f) {
    bool changed = true;
    uint32_t i, k, word;

    f->words = (f->registers + 63) / 64;
    f->sets = vm_calloc((size_t)f->count * 3 * f->words, sizeof(*f->sets));
    for (i = 0; i < f->count; i++) {
        f->blocks[i].in = f->sets + (size_t)i * 3 * f->words;
        f->blocks[i].out = f->blocks[i].in + f->words;
        f->blocks[i].kill = f->blocks[i].out + f->words;
        find_uses(f, &f->blocks[i]);
    }
    while (changed) {
        changed = false;
        for (i = f->count; i-- > 0;) {
            flow_block *block = &f->blocks[i];

            for (k = 0; k < block->next_count; k++) {
                const uint64_t *in = f->blocks[block->next[k]].in;

                for (word = 0; word < f->words; word++) {
                    uint64_t more = in[word] & ~block->out[word];

                    if (more) {
                        block->out[word] |= more;
                        block->in[word] |= more & ~block->kill[word];
                        changed = true;
                    }
                }
            }
        }
    }
}

/* ---- registers that may be read before they are written ------------------------------------- */

/* suspect[r]: number of the register in vm_warp.written, or VM_NONE. A copy of a suspect is one. */
static void note_checks(flow *f, const uint32_t *suspect) {
    vm_kernel *kernel = f->kernel;
    uint32_t i, k;

    for (i = 0; i < kernel->count; i++) {
        vm_instr *in = &kernel->code[i];

        in->check = (uint32_t)kernel->check_count;
        for (k = 0; k <= in->ref_count; k++) {
            vm_ref ref = k < in->ref_count ? in->ref[k] : in->guard;

            if (ref != VM_NONE && !(ref & VM_POOL) && suspect[ref] != VM_NONE) {
                vm_suspect *check = vm_grow((void **)&kernel->checks, &kernel->check_count,
                                            &kernel->check_capacity, sizeof(*check));

                check->ref = k < in->ref_count ? k : VM_NONE;
                check->index = suspect[ref];
                in->checked = true;
            }
        }
        in->check_count = (uint32_t)kernel->check_count - in->check;
    }
}

static void find_suspects(flow *f) {
    vm_kernel *kernel = f->kernel;
    uint32_t *suspect = vm_malloc((f->registers + 1) * sizeof(*suspect));
    bool changed = true;
    uint32_t i, k;

    memset(suspect, 0xff, (f->registers + 1) * sizeof(*suspect));
    for (i = 0; i < f->registers; i++) {
        if (has_bit(f->blocks[0].in, i)) {
            suspect[i] = kernel->suspect_count++;
        }
    }
    for (i = 0; i < VM_SPECIAL_COUNT; i++) {
        if (kernel->special[i] != VM_NONE) {
            suspect[kernel->special[i]] = VM_NONE;
        }
    }
    while (changed) {
        changed = false;
        for (i = 0; i < kernel->count; i++) {
            const vm_instr *in = &kernel->code[i];
            bool from = false;

            for (k = in->dst_count; in->is_copy && k < in->ref_count; k++) {
                from = from || (!(in->ref[k] & VM_POOL) && suspect[in->ref[k]] != VM_NONE);
            }
            for (k = 0; from && k < in->dst_count; k++) {
                if (suspect[in->ref[k]] == VM_NONE) {
                    suspect[in->ref[k]] = kernel->suspect_count++;
                    changed = true;
                }
            }
        }
    }
    note_checks(f, suspect);
    free(suspect);
}

/* ---- slots ---------------------------------------------------------------------------------- */

typedef struct flow_range {
    uint32_t start, end; /* instructions where the register holds something */
    uint32_t reg;
} flow_range;

static int by_start(const void *a, const void *b) {
    const flow_range *x = a, *y = b;

    return x->start != y->start ? (x->start < y->start ? -1 : 1)
                                : (x->reg < y->reg ? -1 : x->reg > y->reg);
}

static void extend(flow_range *range, uint32_t at) {
    range->start = at < range->start ? at : range->start;
    range->end = at > range->end ? at : range->end;
}

static void extend_all(const flow *f, flow_range *ranges, const uint64_t *set, uint32_t at) {
    uint32_t word;

    for (word = 0; word < f->words; word++) {
        uint64_t bits = set[word];

        for (; bits; bits &= bits - 1) {
            extend(&ranges[word * 64 + (uint32_t)__builtin_ctzll(bits)], at);
        }
    }
}

static flow_range *find_ranges(flow *f) {
    flow_range *ranges = vm_malloc((f->registers + 1) * sizeof(*ranges));
    uint32_t i, k, reg;

    for (reg = 0; reg < f->registers; reg++) {
        ranges[reg] = (flow_range){VM_NONE, 0, reg};
    }
    for (i = 0; i < f->count; i++) {
        extend_all(f, ranges, f->blocks[i].in, f->blocks[i].first);
        extend_all(f, ranges, f->blocks[i].out, f->blocks[i].end - 1);
    }
    for (i = 0; i < f->kernel->count; i++) {
        const vm_instr *in = &f->kernel->code[i];

        for (k = 0; k < in->ref_count; k++) {
            if (!(in->ref[k] & VM_POOL)) {
                extend(&ranges[in->ref[k]], i);
            }
        }
        if (in->guard != VM_NONE) {
            extend(&ranges[in->guard], i);
        }
    }
    for (i = 0; i < VM_SPECIAL_COUNT; i++) { /* filled before the first instruction */
        if (f->kernel->special[i] != VM_NONE) {
            ranges[f->kernel->special[i]].start = 0;
        }
    }
    return ranges;
}

/* Linear scan: a slot is free again after the last instruction that touches its register, so no
 * instruction ever has its destination in the row of a source (unless the text says so). */
static void assign_slots(flow *f, vm_ref *slot) {
    static const uint32_t bytes[] = {64, 64, 128, 256};
    flow_range *ranges = find_ranges(f);
    flow_range *alive = vm_malloc((f->registers + 1) * sizeof(*alive));
    uint32_t *spare[4], spares[4] = {0}, count = 0, end = 0, i, k;

    for (i = 0; i < 4; i++) {
        spare[i] = vm_malloc((f->registers + 1) * sizeof(**spare));
    }
    qsort(ranges, f->registers, sizeof(*ranges), by_start);
    for (i = 0; i < f->registers && ranges[i].start != VM_NONE; i++) {
        uint32_t width = f->widths[ranges[i].reg];

        for (k = 0; k < count;) {
            if (alive[k].end < ranges[i].start) {
                uint32_t old = f->widths[alive[k].reg];

                spare[old][spares[old]++] = slot[alive[k].reg];
                alive[k] = alive[--count];
            } else {
                k++;
            }
        }
        if (spares[width]) {
            slot[ranges[i].reg] = spare[width][--spares[width]];
        } else {
            slot[ranges[i].reg] = end;
            end += bytes[width];
        }
        alive[count++] = ranges[i];
    }
    f->kernel->file_bytes = end;
    for (i = 0; i < 4; i++) {
        free(spare[i]);
    }
    free(alive);
    free(ranges);
}

static void rewrite(flow *f) {
    vm_kernel *kernel = f->kernel;
    vm_ref *slot = vm_calloc(f->registers + 1, sizeof(*slot));
    uint32_t i, k;

    assign_slots(f, slot);
    for (i = 0; i < kernel->count; i++) {
        vm_instr *in = &kernel->code[i];

        for (k = 0; k < in->ref_count; k++) {
            if (!(in->ref[k] & VM_POOL)) {
                in->ref[k] = slot[in->ref[k]];
            }
        }
        if (in->guard != VM_NONE) {
            in->guard = slot[in->guard];
        }
    }
    for (i = 0; i < VM_SPECIAL_COUNT; i++) {
        if (kernel->special[i] != VM_NONE) {
            kernel->special[i] = slot[kernel->special[i]];
        }
    }
    free(slot);
}

void vm_flow_registers(flow *f) {
    find_alive(f);
    find_suspects(f);
    rewrite(f);
    free(f->sets);
}
