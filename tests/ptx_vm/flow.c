/* The graph of a kernel's basic blocks, and where diverged lanes meet again: at the immediate
 * post-dominator of the branch, the first block that all paths from it come to. */
#include <stdlib.h>
#include <string.h>

#include "flow.h"

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

/* ---- post-dominators ------------------------------------------------------------------------ */

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

void vm_flow(vm_kernel *kernel, const uint8_t *widths, uint32_t register_count) {
    flow f = {.kernel = kernel, .widths = widths, .registers = register_count};

    find_blocks(&f);
    find_edges(&f);
    find_meets(&f);
    vm_flow_registers(&f);
    free(f.blocks);
    free(f.block_of);
    free(f.lists);
}
