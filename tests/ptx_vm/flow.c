/* What the graph of a kernel's basic blocks tells: where diverged lanes meet again, which registers
 * are alive where, and so how few rows suffice for them.
 *
 * nvcc writes PTX with thousands of registers, each written once. A row of 32 lanes takes 128
 * bytes, so without sharing rows the registers of a block of 8 warps would fill megabytes and every
 * instruction would miss the cache. Liveness also shows, without any work at run time, which
 * registers could be read before they are written: those that are alive at the entry.           */
#include <stdlib.h>
#include <string.h>

#include "machine.h"

typedef struct flow_block {
    uint32_t first, end; /* instructions */
    uint32_t *next;      /* blocks that may follow */
    uint32_t next_count;
    uint32_t order;            /* number in the walk of the reversed graph */
    uint32_t meet;             /* immediate post-dominator; EXIT */
    uint64_t *in, *out, *kill; /* registers, one bit each; `in` starts as what is used first */
} flow_block;

typedef struct flow {
    vm_kernel *kernel;
    const uint8_t *widths;
    uint32_t registers, words; /* words of 64 bits for one set */
    flow_block *blocks;
    uint32_t count;
    uint32_t *block_of; /* per instruction */
    uint32_t *lists;    /* storage of next */
    uint64_t *sets;     /* storage of in, out, kill */
} flow;

#define EXIT VM_NONE

static bool ends_block(const vm_instr *in) {
    return in->is_branch || in->is_exit;
}

static void find_blocks(flow *f) {
    vm_kernel *kernel = f->kernel;
    bool *leads = vm_calloc(kernel->count + 1, sizeof(*leads));
    uint32_t i, k;

    leads[0] = true;
    for (i = 0; i < kernel->count; i++) {
        const vm_instr *in = &kernel->code[i];

        if (ends_block(in)) {
            leads[i + 1] = true;
        }
        if (in->is_branch && in->table_count == 0) {
            leads[in->target] = true;
        }
        for (k = 0; k < in->table_count; k++) {
            leads[kernel->tables[in->table + k]] = true;
        }
    }
    f->block_of = vm_malloc(kernel->count * sizeof(*f->block_of));
    for (i = 0; i < kernel->count; i++) {
        f->count += leads[i];
    }
    f->blocks = vm_calloc(f->count, sizeof(*f->blocks));
    for (i = 0, k = 0; i < kernel->count; i++) {
        if (leads[i]) {
            f->blocks[k++].first = i;
        }
        f->blocks[k - 1].end = i + 1;
        f->block_of[i] = k - 1;
    }
    free(leads);
}

/* Edges; the list of a block is a piece of one array. */
static void find_edges(flow *f) {
    vm_kernel *kernel = f->kernel;
    size_t used = 0;
    uint32_t i, k;

    f->lists = vm_malloc((2 * (size_t)f->count + kernel->table_count + 1) * sizeof(*f->lists));
    for (i = 0; i < f->count; i++) {
        flow_block *block = &f->blocks[i];
        const vm_instr *last = &kernel->code[block->end - 1];

        block->next = f->lists + used;
        for (k = 0; k < last->table_count; k++) {
            f->lists[used++] = f->block_of[kernel->tables[last->table + k]];
        }
        if (last->is_branch && last->table_count == 0) {
            f->lists[used++] = f->block_of[last->target];
        }
        if ((!ends_block(last) || last->guard != VM_NONE) && i + 1 < f->count) {
            f->lists[used++] = i + 1;
        }
        block->next_count = (uint32_t)(f->lists + used - block->next);
    }
}

/* ---- post-dominators --------------------------------------------------------------------- */

/* Cooper, Harvey, Kennedy: "A simple, fast dominance algorithm", on the reversed graph. Orders are
 * such that a block comes after every block that it is post-dominated by; loops that never end are
 * treated as if they led to the exit. */
static uint32_t meet_of(const flow *f, uint32_t a, uint32_t b) {
    while (a != b) {
        if (a == EXIT || b == EXIT) {
            return EXIT;
        }
        if (f->blocks[a].order > f->blocks[b].order) {
            a = f->blocks[a].meet;
        } else {
            b = f->blocks[b].meet;
        }
    }
    return a;
}

/* Blocks in the order of a walk from the exits against the edges (reverse post-order). */
static uint32_t *reversed_order(flow *f) {
    uint32_t *order = vm_malloc(f->count * sizeof(*order));
    uint32_t *stack = vm_malloc((f->count + 1) * sizeof(*stack));
    uint32_t *edge = vm_calloc(f->count, sizeof(*edge)); /* next predecessor to look at */
    uint32_t *first = vm_calloc(f->count + 1, sizeof(*first)), *from;
    bool *seen = vm_calloc(f->count, sizeof(*seen));
    uint32_t i, k, left = f->count, depth, pass;

    for (i = 0; i < f->count; i++) { /* predecessors, as lists in one array */
        for (k = 0; k < f->blocks[i].next_count; k++) {
            first[f->blocks[i].next[k] + 1]++;
        }
    }
    for (i = 0; i < f->count; i++) {
        first[i + 1] += first[i];
    }
    from = vm_malloc((first[f->count] + 1) * sizeof(*from));
    for (i = 0; i < f->count; i++) {
        for (k = 0; k < f->blocks[i].next_count; k++) {
            uint32_t to = f->blocks[i].next[k];

            from[first[to] + edge[to]++] = i;
        }
    }
    memset(edge, 0, f->count * sizeof(*edge));
    for (pass = 0; pass < 2; pass++) { /* from the exits, then what reaches none */
        for (i = f->count; i-- > 0;) {
            if (seen[i] || (pass == 0 && f->blocks[i].next_count != 0)) {
                continue;
            }
            seen[i] = true;
            stack[0] = i;
            for (depth = 1; depth > 0;) {
                uint32_t at = stack[depth - 1];

                if (first[at] + edge[at] == first[at + 1]) {
                    order[--left] = at;
                    depth--;
                } else {
                    uint32_t to = from[first[at] + edge[at]++];

                    if (!seen[to]) {
                        seen[to] = true;
                        stack[depth++] = to;
                    }
                }
            }
        }
    }
    free(stack);
    free(edge);
    free(first);
    free(from);
    free(seen);
    return order;
}

static void find_meets(flow *f) {
    uint32_t *order = reversed_order(f), i, k;
    bool *known = vm_calloc(f->count, sizeof(*known)), changed = true;

    for (i = 0; i < f->count; i++) {
        f->blocks[order[i]].order = i;
        f->blocks[i].meet = EXIT;
    }
    while (changed) {
        changed = false;
        for (i = 0; i < f->count; i++) {
            flow_block *block = &f->blocks[order[i]];
            const vm_instr *last = &f->kernel->code[block->end - 1];
            uint32_t meet = EXIT;
            /* A guarded exit has an edge to the end besides the one to the next block. */
            bool any = last->is_exit || block->next_count == 0;

            for (k = 0; k < block->next_count; k++) {
                uint32_t to = block->next[k];

                if (known[to] || f->blocks[to].next_count == 0) {
                    meet = any ? meet_of(f, meet, to) : to;
                    any = true;
                }
            }
            if (any && (!known[order[i]] || meet != block->meet)) {
                block->meet = meet;
                known[order[i]] = true;
                changed = true;
            }
        }
    }
    for (i = 0; i < f->count; i++) {
        vm_instr *last = &f->kernel->code[f->blocks[i].end - 1];

        last->reconverge = f->blocks[i].meet == EXIT ? VM_NONE : f->blocks[f->blocks[i].meet].first;
    }
    free(known);
    free(order);
}

/* ---- liveness ---------------------------------------------------------------------------- */

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

/* ---- registers that may be read before they are written ----------------------------------- */

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

/* ---- slots ------------------------------------------------------------------------------- */

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

static flow_range *find_ranges(flow *f) {
    flow_range *ranges = vm_malloc((f->registers + 1) * sizeof(*ranges));
    uint32_t i, k, reg;

    for (reg = 0; reg < f->registers; reg++) {
        ranges[reg] = (flow_range){VM_NONE, 0, reg};
    }
    for (i = 0; i < f->count; i++) {
        for (reg = 0; reg < f->registers; reg++) {
            if (has_bit(f->blocks[i].in, reg)) {
                extend(&ranges[reg], f->blocks[i].first);
            }
            if (has_bit(f->blocks[i].out, reg)) {
                extend(&ranges[reg], f->blocks[i].end - 1);
            }
        }
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

void vm_flow(vm_kernel *kernel, const uint8_t *widths, uint32_t register_count) {
    flow f = {.kernel = kernel, .widths = widths, .registers = register_count};

    find_blocks(&f);
    find_edges(&f);
    find_meets(&f);
    find_alive(&f);
    find_suspects(&f);
    rewrite(&f);
    free(f.blocks);
    free(f.block_of);
    free(f.lists);
    free(f.sets);
}
