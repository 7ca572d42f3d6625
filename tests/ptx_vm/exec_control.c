/* Branches and exits. */
#include <string.h>

#include "exec.h"

static void bra(vm_warp *w, const vm_instr *in, uint32_t mask) {
    vm_warp_branch(w, in, in->target, mask);
}

/* An indexed branch: one group of lanes after the other leaves for its target. */
static void brx(vm_warp *w, const vm_instr *in, uint32_t mask) {
    const uint32_t *index = vm_row(w, in->ref[0]);
    const uint32_t *table = w->kernel->tables + in->table;
    uint32_t outside = 0, i;

    for (i = 0; i < VM_LANES; i++) {
        outside |= (uint32_t)(index[i] >= in->table_count) << i;
    }
    outside &= mask;
    if (outside) {
        vm_found(w, in, VM_OUT_OF_BOUNDS, outside, 0, "branch index %u of a table of %u",
                 index[vm_first_lane(outside)], in->table_count);
        vm_warp_exit(w, outside);
        mask &= ~outside;
    }
    while (mask) {
        uint32_t target = table[index[vm_first_lane(mask)]], same = 0;

        for (i = 0; i < VM_LANES; i++) {
            same |= (uint32_t)(index[i] < in->table_count && table[index[i]] == target) << i;
        }
        same &= mask;
        mask &= ~same;
        vm_warp_branch(w, in, target, same); /* they wait while the next group is looked at */
    }
}

static void leave(vm_warp *w, const vm_instr *in, uint32_t mask) {
    (void)in;
    vm_warp_exit(w, mask);
}

static void trap(vm_warp *w, const vm_instr *in, uint32_t mask) {
    vm_found(w, in, VM_TRAP, mask, 0, "the kernel trapped");
    w->block->failed = true;
}

static void nothing(vm_warp *w, const vm_instr *in, uint32_t mask) {
    (void)w;
    (void)in;
    (void)mask;
}

static bool decode_bra(vm_decoder *d) {
    const ptx_operand *target = d->statement->operands;

    vm_take(d, "uni"); /* a promise that we need not rely on */
    d->in->class = VM_CLASS_CONTROL;
    d->in->run = bra;
    if (!vm_want(d, 1) || target->kind != PTX_LABEL) {
        return false;
    }
    d->in->is_branch = true;
    d->in->target = (uint32_t)target->value;
    return true;
}

/* brx.idx index, table;  where the label of the table stands in front of a .branchtargets. */
static bool decode_brx(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;
    const ptx_statement *list;
    uint32_t i;

    d->in->class = VM_CLASS_CONTROL;
    d->in->run = brx;
    if (!vm_take(d, "idx") || !vm_want(d, 2) || operands[1].kind != PTX_LABEL) {
        return false;
    }
    vm_take(d, "uni");
    list = &d->source->statements[operands[1].value];
    if (operands[1].value >= d->source->count || strcmp(list->opcode, ".branchtargets") != 0 ||
        list->count == 0) {
        return vm_refuse(d, "'%s' is no table of branch targets", operands[1].name);
    }
    d->in->is_branch = true;
    d->in->table = (uint32_t)d->kernel->table_count;
    d->in->table_count = list->count;
    for (i = 0; i < list->count; i++) {
        uint32_t *slot = vm_grow((void **)&d->kernel->tables, &d->kernel->table_count,
                                 &d->kernel->table_capacity, sizeof(*slot));

        if (list->operands[i].kind != PTX_LABEL) {
            return false;
        }
        *slot = (uint32_t)list->operands[i].value;
    }
    return vm_src(d, &operands[0], VM_B32);
}

static bool decode_table(vm_decoder *d) {
    d->in->run = nothing;
    d->in->class = VM_CLASS_CONTROL;
    d->next_word = d->words;
    return true;
}

static bool decode_exit(vm_decoder *d) {
    vm_take(d, "uni");
    d->in->run = leave;
    d->in->class = VM_CLASS_CONTROL;
    d->in->is_exit = true;
    return vm_want(d, 0);
}

/* membar, fence: execution of a warp is in order, and blocks do not talk to each other otherwise
 * than by atomics. */
static bool decode_fence(vm_decoder *d) {
    static const char *const words[] = {"cta", "gl", "sys", "gpu", "cluster", "sc", "acq_rel"};

    while (vm_take_of(d, words, 7) >= 0) {
    }
    d->in->run = nothing;
    d->in->class = VM_CLASS_BARRIER;
    return vm_want(d, 0);
}

static const vm_family families[] = {
    {"bra", decode_bra},      {"brx", decode_brx},     {"ret", decode_exit}, {"exit", decode_exit},
    {"membar", decode_fence}, {"fence", decode_fence}, {"", decode_table}};
const vm_family_list vm_control_families = {families, sizeof(families) / sizeof(*families)};

static const vm_form forms[] = {
    {"trap", trap, "", VM_CLASS_CONTROL},
    {"brkpt", trap, "", VM_CLASS_CONTROL},
    {"nanosleep.u32", nothing, "w", VM_CLASS_CONTROL},
    /* Launches of one stream follow each other anyway. */
    {"griddepcontrol.wait", nothing, "", VM_CLASS_CONTROL},
    {"griddepcontrol.launch_dependents", nothing, "", VM_CLASS_CONTROL},
};
const vm_form_list vm_control_forms = {forms, sizeof(forms) / sizeof(*forms)};
