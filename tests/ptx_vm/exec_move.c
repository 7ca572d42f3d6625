/* mov (with packing and unpacking), selp, slct, cvta, isspacep. */
#include <string.h>

#include "exec.h"
#include "memory.h"

VM_OP1(mov_16, uint16_t, uint16_t, a[i])
VM_OP1(mov_32, uint32_t, uint32_t, a[i])
VM_OP1(mov_64, uint64_t, uint64_t, a[i])

static void mov_pred(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t *d = vm_row(w, in->ref[0]);

    *d = vm_merge(*d, *(const uint32_t *)vm_row(w, in->ref[1]), mask);
}

/* %clock, %clock64, %globaltimer: a time that moves on with the instructions of the warp. */
static void mov_clock_32(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t *d = vm_row(w, in->ref[0]);

    VM_EACH_LANE(d[i] = (uint32_t)w->executed);
}

static void mov_clock_64(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint64_t *d = vm_row(w, in->ref[0]);

    VM_EACH_LANE(d[i] = w->executed);
}

/* ---- {a, b, ..} = d and d = {a, b, ..}: `elements` parts of `bytes` bytes, the lowest first ----
 */

static void unpack(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t whole = in->bytes * in->elements, k, i;
    uint8_t copy[VM_LANES * 8];

    memcpy(copy, vm_row(w, in->ref[in->elements]), VM_LANES * whole);
    for (k = 0; k < in->elements; k++) {
        uint8_t *d = vm_row(w, in->ref[k]);

        for (i = 0; i < VM_LANES; i++) {
            if (mask >> i & 1) {
                memcpy(d + i * in->bytes, copy + i * whole + k * in->bytes, in->bytes);
            }
        }
    }
}

static void pack(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t whole = in->bytes * in->elements, k, i;
    uint8_t *d = vm_row(w, in->ref[0]);

    for (k = 0; k < in->elements; k++) {
        const uint8_t *a = vm_row(w, in->ref[1 + k]);

        for (i = 0; i < VM_LANES; i++) {
            if (mask >> i & 1) {
                memcpy(d + i * whole + k * in->bytes, a + i * in->bytes, in->bytes);
            }
        }
    }
}

/* The two cases that matter for speed. */
static void pack_32(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t *d = vm_row(w, in->ref[0]);
    const uint16_t *a = vm_row(w, in->ref[1]), *b = vm_row(w, in->ref[2]);

    VM_EACH_LANE(d[i] = a[i] | (uint32_t)b[i] << 16);
}

static void unpack_32(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint16_t *d = vm_row(w, in->ref[0]), *e = vm_row(w, in->ref[1]);
    const uint32_t *a = vm_row(w, in->ref[2]);

    VM_EACH_LANE(d[i] = (uint16_t)a[i]; e[i] = (uint16_t)(a[i] >> 16));
}

static bool decode_vector(vm_decoder *d, uint32_t whole) {
    const ptx_operand *to = &d->statement->operands[0], *from = &d->statement->operands[1];
    const ptx_operand *vector = to->kind == PTX_VECTOR ? to : from;
    vm_width width = vm_width_of_bytes(whole), part;
    uint32_t k;

    if (vector->count != 2 && vector->count != 4) {
        return vm_refuse(d, "a vector of %u registers", vector->count);
    }
    d->in->elements = (uint8_t)vector->count;
    d->in->bytes = (uint8_t)(whole / vector->count);
    if (d->in->bytes < 2) {
        return vm_refuse(d, "packing of single bytes is not supported");
    }
    part = vm_width_of_bytes(d->in->bytes);
    if (vector == from) {
        if (!vm_dst(d, to, width)) {
            return false;
        }
        for (k = 0; k < vector->count; k++) {
            if (!vm_src(d, &vector->items[k], part)) {
                return false;
            }
        }
        d->in->run = whole == 4 ? pack_32 : pack;
        return true;
    }
    for (k = 0; k < vector->count; k++) {
        if (!vm_dst(d, &vector->items[k], part)) {
            return false;
        }
    }
    d->in->run = whole == 4 ? unpack_32 : unpack;
    return vm_src(d, from, width);
}

static bool decode_clock(vm_decoder *d, uint32_t bytes) {
    const char *name = d->statement->operands[1].name;
    bool narrow = strcmp(name, "%clock") == 0 || strcmp(name, "%clock_hi") == 0 ||
                  strcmp(name, "%globaltimer_lo") == 0;
    bool wide = strcmp(name, "%clock64") == 0 || strcmp(name, "%globaltimer") == 0;

    if ((narrow && bytes == 4) || (wide && bytes == 8)) {
        d->in->run = narrow ? mov_clock_32 : mov_clock_64;
        return vm_dst(d, &d->statement->operands[0], narrow ? VM_B32 : VM_B64);
    }
    return false;
}

static bool decode_mov(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;
    const char *type = vm_take_any(d);
    uint32_t bytes = vm_type_bytes(type);
    vm_width width = vm_width_of_bytes(bytes);

    d->in->class = VM_CLASS_MOVE;
    d->in->is_copy = true;
    if (!vm_want(d, 2)) {
        return false;
    }
    if (strcmp(type, "pred") == 0) {
        d->in->run = mov_pred;
        return vm_dst(d, &operands[0], VM_PRED) && vm_src(d, &operands[1], VM_PRED);
    }
    if (bytes < 2) {
        return vm_refuse(d, "type '%s' is not supported", type);
    }
    if (operands[0].kind == PTX_VECTOR || operands[1].kind == PTX_VECTOR) {
        return decode_vector(d, bytes);
    }
    if (operands[1].kind == PTX_SPECIAL && decode_clock(d, bytes)) {
        return true;
    }
    d->in->run = width == VM_B16 ? mov_16 : width == VM_B32 ? mov_32 : mov_64;
    return vm_dst(d, &operands[0], width) && vm_src(d, &operands[1], width);
}

/* ---- selp, slct ----------------------------------------------------------------------------- */

#define SELECT(bits, T)                                                                            \
    static void selp_##bits(vm_warp *w, const vm_instr *in, uint32_t mask) {                       \
        T *d = vm_row(w, in->ref[0]);                                                              \
        const T *a = vm_row(w, in->ref[1]), *b = vm_row(w, in->ref[2]);                            \
        uint32_t c = *(const uint32_t *)vm_row(w, in->ref[3]);                                     \
                                                                                                   \
        VM_EACH_LANE(d[i] = c >> i & 1 ? a[i] : b[i]);                                             \
    }                                                                                              \
    VM_OP3(slct_s##bits, T, T, T, int32_t, c[i] >= 0 ? a[i] : b[i])                                \
    VM_OP3(slct_f##bits, T, T, T, float, c[i] >= 0 ? a[i] : b[i])
SELECT(16, uint16_t)
SELECT(32, uint32_t)
SELECT(64, uint64_t)

#define FORM(opcode, function, shape)                                                              \
    { opcode, function, shape, VM_CLASS_MOVE }
#define SELECTS(type, bits, p, s)                                                                  \
    FORM("selp." type, selp_##bits, p), FORM("slct." type ".s32", slct_s##bits, s),                \
        FORM("slct." type ".f32", slct_f##bits, s)

static const vm_form forms[] = {
    SELECTS("b16", 16, "h=hhp", "h=hhw"), SELECTS("u16", 16, "h=hhp", "h=hhw"),
    SELECTS("s16", 16, "h=hhp", "h=hhw"), SELECTS("b32", 32, "w=wwp", "w=www"),
    SELECTS("u32", 32, "w=wwp", "w=www"), SELECTS("s32", 32, "w=wwp", "w=www"),
    SELECTS("f32", 32, "w=wwp", "w=www"), SELECTS("b64", 64, "d=ddp", "d=ddw"),
    SELECTS("u64", 64, "d=ddp", "d=ddw"), SELECTS("s64", 64, "d=ddp", "d=ddw"),
    SELECTS("f64", 64, "d=ddp", "d=ddw"),
};

const vm_form_list vm_move_forms = {forms, sizeof(forms) / sizeof(*forms)};

/* ---- addresses: a generic address is a window's start plus the address in the space ------------
 */

static const char *const space_names[] = {"global", "shared", "shared::cta",
                                          "local",  "const",  "param"};
static const vm_space spaces[] = {VM_GLOBAL, VM_SHARED, VM_SHARED, VM_LOCAL, VM_CONST, VM_PARAM};

VM_OP2(cvta_64, uint64_t, uint64_t, uint64_t, a[i] + b[i])

/* cvta.space: from the space to generic; cvta.to.space: back. */
static bool decode_cvta(vm_decoder *d) {
    bool back = vm_take(d, "to");
    int space = vm_take_of(d, space_names, 6);
    uint64_t window = space < 0 ? 0 : vm_window(spaces[space]);

    d->in->class = VM_CLASS_INTEGER;
    if (space < 0 || !vm_want(d, 2)) {
        return false;
    }
    if (!vm_take(d, "u64")) {
        return vm_refuse(d, "only 64-bit addresses are supported");
    }
    d->in->run = cvta_64;
    return vm_dst(d, &d->statement->operands[0], VM_B64) &&
           vm_src(d, &d->statement->operands[1], VM_B64) &&
           vm_src_constant(d, VM_B64, back ? 0 - window : window);
}

static void isspacep(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t *d = vm_row(w, in->ref[0]), result = 0, i;
    const uint64_t *a = vm_row(w, in->ref[1]);

    for (i = 0; i < VM_LANES; i++) {
        result |= (uint32_t)(vm_space_of(a[i]) == (vm_space)in->option) << i;
    }
    *d = vm_merge(*d, result, mask);
}

static bool decode_isspacep(vm_decoder *d) {
    int space = vm_take_of(d, space_names, 6);

    d->in->class = VM_CLASS_INTEGER;
    d->in->run = isspacep;
    if (space < 0 || spaces[space] == VM_CONST || !vm_want(d, 2)) {
        return false;
    }
    d->in->option = (uint16_t)spaces[space];
    return vm_dst(d, &d->statement->operands[0], VM_PRED) &&
           vm_src(d, &d->statement->operands[1], VM_B64);
}

static const vm_family families[] = {
    {"mov", decode_mov}, {"cvta", decode_cvta}, {"isspacep", decode_isspacep}};

const vm_family_list vm_move_families = {families, sizeof(families) / sizeof(*families)};
