/* Words of an opcode, and operands: registers, literals and special registers become rows. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decode.h"

bool vm_refuse(vm_decoder *d, const char *format, ...) {
    va_list list;

    if (d->error[0] == '\0') {
        va_start(list, format);
        vsnprintf(d->error, d->error_size, format, list);
        va_end(list);
    }
    return false;
}

/* ---- opcode words --------------------------------------------------------------------------- */

bool vm_take(vm_decoder *d, const char *word) {
    if (d->next_word < d->words && strcmp(d->word[d->next_word], word) == 0) {
        d->next_word++;
        return true;
    }
    return false;
}

const char *vm_take_any(vm_decoder *d) {
    return d->next_word < d->words ? d->word[d->next_word++] : "";
}

int vm_take_of(vm_decoder *d, const char *const *list, int count) {
    int i;

    for (i = 0; i < count; i++) {
        if (vm_take(d, list[i])) {
            return i;
        }
    }
    return -1;
}

uint32_t vm_type_bytes(const char *word) {
    static const struct {
        const char *name;
        uint32_t bytes;
    } types[] = {{"b8", 1},  {"u8", 1},   {"s8", 1},  {"b16", 2}, {"u16", 2},   {"s16", 2},
                 {"f16", 2}, {"bf16", 2}, {"b32", 4}, {"u32", 4}, {"s32", 4},   {"f32", 4},
                 {"b64", 8}, {"u64", 8},  {"s64", 8}, {"f64", 8}, {"f16x2", 4}, {"bf16x2", 4}};
    size_t i;

    for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (strcmp(word, types[i].name) == 0) {
            return types[i].bytes;
        }
    }
    return 0;
}

vm_width vm_width_of_bytes(uint32_t bytes) {
    return bytes <= 2 ? VM_B16 : bytes == 4 ? VM_B32 : VM_B64;
}

/* ---- operands ------------------------------------------------------------------------------- */

static size_t row_bytes(vm_width width) {
    static const size_t bytes[] = {4, 64, 128, 256};

    return bytes[width];
}

bool vm_want(vm_decoder *d, uint32_t count) {
    return d->statement->count == count ||
           vm_refuse(d, "%u operands where %u are expected", d->statement->count, count);
}

vm_width vm_width_of(const vm_decoder *d, const ptx_operand *operand, vm_width otherwise) {
    return operand->kind == PTX_REGISTER ? d->source->registers[operand->reg].width : otherwise;
}

static bool append(vm_decoder *d, vm_ref ref) {
    if (d->in->ref_count == VM_REFS) {
        return vm_refuse(d, "more registers than the VM's instructions hold");
    }
    d->in->ref[d->in->ref_count++] = ref;
    return true;
}

static uint32_t spare_register(vm_decoder *d, vm_width width) {
    ptx_kernel *source = d->source;
    uint32_t index = (uint32_t)source->register_count;
    ptx_register *reg = vm_grow((void **)&source->registers, &source->register_count,
                                &source->register_capacity, sizeof(*reg));

    reg->name = "_";
    reg->width = width;
    return index;
}

bool vm_dst(vm_decoder *d, const ptx_operand *operand, vm_width width) {
    d->in->dst_count++;
    if (operand->kind == PTX_SINK) {
        return append(d, spare_register(d, width));
    }
    if (operand->kind != PTX_REGISTER || operand->negated) {
        return vm_refuse(d, "a register should be the destination");
    }
    if (d->source->registers[operand->reg].width != width) {
        return vm_refuse(d, "register '%s' has the wrong size",
                         d->source->registers[operand->reg].name);
    }
    return append(d, operand->reg);
}

/* The row of a constant, one for each value. */
static vm_ref constant(vm_decoder *d, vm_width width, uint64_t value) {
    vm_kernel *kernel = d->kernel;
    uint8_t row[256];
    size_t bytes = row_bytes(width), at, i;

    if (width == VM_PRED) {
        uint32_t lanes = value ? VM_ALL : 0;

        memcpy(row, &lanes, sizeof(lanes));
    } else {
        size_t one = bytes / VM_LANES;

        for (i = 0; i < VM_LANES; i++) {
            memcpy(row + i * one, &value, one); /* little-endian */
        }
    }
    for (at = 0; at + bytes <= kernel->pool_bytes; at += 64) {
        if (memcmp(kernel->pool + at, row, bytes) == 0) {
            return VM_POOL | (vm_ref)at;
        }
    }
    at = kernel->pool_bytes;
    if (at + 256 > kernel->pool_capacity) {
        kernel->pool_capacity = kernel->pool_capacity ? kernel->pool_capacity * 2 : 4096;
        kernel->pool = vm_realloc(kernel->pool, kernel->pool_capacity);
    }
    memset(kernel->pool + at, 0, 256);
    memcpy(kernel->pool + at, row, bytes);
    kernel->pool_bytes = at + (bytes + 63) / 64 * 64;
    return VM_POOL | (vm_ref)at;
}

bool vm_src_constant(vm_decoder *d, vm_width width, uint64_t value) {
    return append(d, constant(d, width, value));
}

/* The bits that a literal has as an operand of some width. */
static bool literal_bits(vm_decoder *d, const ptx_operand *operand, vm_width width,
                         uint64_t *bits) {
    *bits = operand->value;
    if (operand->literal == PTX_F32 && width != VM_B32) {
        return vm_refuse(d, "a 32-bit floating-point literal where it does not fit");
    }
    if (operand->literal == PTX_F64 && width == VM_B32) {
        double real;
        float single;
        uint32_t single_bits;

        memcpy(&real, &operand->value, sizeof(real));
        single = (float)real;
        memcpy(&single_bits, &single, sizeof(single));
        *bits = single_bits;
    } else if (operand->literal == PTX_F64 && width != VM_B64) {
        return vm_refuse(d, "a 64-bit floating-point literal where it does not fit");
    }
    return true;
}

static const struct {
    const char *name;
    vm_width width;
} special_names[VM_SPECIAL_COUNT] = {
    [VM_TID_X] = {"%tid.x", VM_B32},
    [VM_TID_Y] = {"%tid.y", VM_B32},
    [VM_TID_Z] = {"%tid.z", VM_B32},
    [VM_NTID_X] = {"%ntid.x", VM_B32},
    [VM_NTID_Y] = {"%ntid.y", VM_B32},
    [VM_NTID_Z] = {"%ntid.z", VM_B32},
    [VM_CTAID_X] = {"%ctaid.x", VM_B32},
    [VM_CTAID_Y] = {"%ctaid.y", VM_B32},
    [VM_CTAID_Z] = {"%ctaid.z", VM_B32},
    [VM_NCTAID_X] = {"%nctaid.x", VM_B32},
    [VM_NCTAID_Y] = {"%nctaid.y", VM_B32},
    [VM_NCTAID_Z] = {"%nctaid.z", VM_B32},
    [VM_LANEID] = {"%laneid", VM_B32},
    [VM_WARPID] = {"%warpid", VM_B32},
    [VM_NWARPID] = {"%nwarpid", VM_B32},
    [VM_SMID] = {"%smid", VM_B32},
    [VM_NSMID] = {"%nsmid", VM_B32},
    [VM_GRIDID] = {"%gridid", VM_B64},
    [VM_LANEMASK_EQ] = {"%lanemask_eq", VM_B32},
    [VM_LANEMASK_LE] = {"%lanemask_le", VM_B32},
    [VM_LANEMASK_LT] = {"%lanemask_lt", VM_B32},
    [VM_LANEMASK_GE] = {"%lanemask_ge", VM_B32},
    [VM_LANEMASK_GT] = {"%lanemask_gt", VM_B32},
    [VM_DYNAMIC_SMEM] = {"%dynamic_smem_size", VM_B32},
    [VM_TOTAL_SMEM] = {"%total_smem_size", VM_B32},
};

/* Special registers are ordinary rows that are filled before a block runs. */
static bool special(vm_decoder *d, const char *name, vm_width width) {
    uint32_t i;

    for (i = 0; i < VM_SPECIAL_COUNT && strcmp(special_names[i].name, name) != 0; i++) {
    }
    if (i == VM_SPECIAL_COUNT) {
        return vm_refuse(d, "register '%s' is neither declared nor a special one that the VM knows",
                         name);
    }
    if (special_names[i].width != width) {
        return vm_refuse(d, "special register '%s' has the wrong size", name);
    }
    if (d->kernel->special[i] == VM_NONE) {
        d->kernel->special[i] = spare_register(d, width);
    }
    return append(d, d->kernel->special[i]);
}

bool vm_src(vm_decoder *d, const ptx_operand *operand, vm_width width) {
    uint64_t bits;

    if (operand->negated) {
        return vm_refuse(d, "a negated predicate is not supported here");
    }
    switch (operand->kind) {
    case PTX_REGISTER:
        if (d->source->registers[operand->reg].width != width) {
            return vm_refuse(d, "register '%s' has the wrong size",
                             d->source->registers[operand->reg].name);
        }
        return append(d, operand->reg);
    case PTX_LITERAL:
        return literal_bits(d, operand, width, &bits) && vm_src_constant(d, width, bits);
    case PTX_SYMBOL:
        if (operand->symbol->offset == UINT64_MAX) { /* place_shared looks at plain operands */
            return vm_refuse(d, "the address of shared memory is not supported here");
        }
        return vm_src_constant(d, width, operand->symbol->offset + operand->value);
    case PTX_SPECIAL:
        return special(d, operand->name, width);
    case PTX_LABEL:
        return vm_refuse(d, "'%s' is not declared", operand->name);
    default:
        return vm_refuse(d, "an operand of the wrong kind");
    }
}

bool vm_address(vm_decoder *d, const ptx_operand *operand) {
    vm_width width = vm_width_of(d, operand, VM_B64);

    if (operand->kind != PTX_ADDRESS) {
        return vm_refuse(d, "an address in brackets should stand here");
    }
    d->in->offset = operand->value;
    d->in->narrow_address = false;
    if (operand->reg == VM_NONE) {
        d->in->offset += operand->symbol ? operand->symbol->offset : 0;
        return vm_src_constant(d, VM_B64, 0);
    }
    width = d->source->registers[operand->reg].width;
    if (width != VM_B32 && width != VM_B64) {
        return vm_refuse(d, "an address of 32 or 64 bits should stand here");
    }
    d->in->narrow_address = width == VM_B32;
    return append(d, operand->reg);
}

void vm_uses_shared(vm_decoder *d, uint32_t bytes) {
    if (bytes < d->kernel->shared_granule) {
        d->kernel->shared_granule = bytes;
    }
}

bool vm_shape(vm_decoder *d, const char *shape) {
    const char *equals = strchr(shape, '=');
    uint32_t i = 0;
    const char *at;

    if (!vm_want(d, (uint32_t)(strlen(shape) - (equals ? 1 : 0)))) {
        return false;
    }
    for (at = shape; *at; at++) {
        const ptx_operand *operand = &d->statement->operands[i];
        vm_width width = *at == 'p' ? VM_PRED : *at == 'h' ? VM_B16 : *at == 'w' ? VM_B32 : VM_B64;

        if (*at == '=') {
            continue;
        }
        if (!(equals && at < equals ? vm_dst(d, operand, width) : vm_src(d, operand, width))) {
            return false;
        }
        i++;
    }
    return true;
}
