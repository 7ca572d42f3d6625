/* ld, ldu, st, prefetch. Cache operators and hints change nothing here. */
#include <string.h>

#include "exec.h"
#include "memory.h"

/* Element k of every lane into a register, extended to its width. */
static void load_element(vm_warp *w, const vm_instr *in, const vm_access *access, uint32_t k) {
    uint32_t bytes = in->bytes, wide = 1u << in->width, stride = bytes * in->elements;
    uint8_t *d = vm_row(w, in->ref[k]);
    uint32_t i;

    if (access->contiguous && bytes == wide && in->elements == 1) {
        memcpy(d, access->at[0], (size_t)VM_LANES * bytes);
        return;
    }
    for (i = 0; i < VM_LANES; i++) {
        const uint8_t *from = access->contiguous ? access->at[0] + i * stride : access->at[i];
        uint64_t value = 0;

        if (!(access->mask >> i & 1)) {
            continue;
        }
        from += k * bytes;
        if (bytes == 4 && wide == 4) {
            memcpy(d + i * 4, from, 4);
            continue;
        }
        memcpy(&value, from, bytes);
        if (in->is_signed) {
            uint32_t unused = 64 - 8 * bytes;

            value = (uint64_t)((int64_t)(value << unused) >> unused);
        }
        memcpy(d + i * wide, &value, wide);
    }
}

static void load(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint64_t address[VM_LANES];
    vm_access access;
    uint32_t k;

    vm_addresses(w, in, in->dst_count, address);
    vm_access_memory(w, in, mask, address, (uint32_t)in->bytes * in->elements, VM_READ, &access);
    for (k = 0; access.mask && k < in->elements; k++) {
        load_element(w, in, &access, k);
    }
}

/* A parameter at a fixed place: the same value for all lanes. */
static void load_param(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t bytes = in->bytes, wide = 1u << in->width, k;

    for (k = 0; k < in->elements; k++) {
        uint64_t value = 0;

        memcpy(&value, w->block->launch->params + in->offset + k * bytes, bytes);
        if (in->is_signed) {
            uint32_t unused = 64 - 8 * bytes;

            value = (uint64_t)((int64_t)(value << unused) >> unused);
        }
        if (wide == 8) {
            uint64_t *d = vm_row(w, in->ref[k]);

            VM_EACH_LANE(d[i] = value);
        } else if (wide == 4) {
            uint32_t *d = vm_row(w, in->ref[k]);

            VM_EACH_LANE(d[i] = (uint32_t)value);
        } else {
            uint16_t *d = vm_row(w, in->ref[k]);

            VM_EACH_LANE(d[i] = (uint16_t)value);
        }
    }
}

static void store(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t bytes = in->bytes, wide = 1u << in->width, stride = bytes * in->elements, i, k;
    uint64_t address[VM_LANES];
    vm_access access;

    vm_addresses(w, in, 0, address);
    vm_access_memory(w, in, mask, address, stride, VM_WRITE, &access);
    for (k = 0; access.mask && k < in->elements; k++) {
        const uint8_t *a = vm_row(w, in->ref[1 + k]);

        if (access.contiguous && bytes == wide && in->elements == 1) {
            memcpy(access.at[0], a, (size_t)VM_LANES * bytes);
            return;
        }
        for (i = 0; i < VM_LANES; i++) {
            uint8_t *to = access.contiguous ? access.at[0] + i * stride : access.at[i];

            if (!(access.mask >> i & 1)) {
                continue;
            }
            if (bytes == 4) {
                memcpy(to + k * 4, a + i * wide, 4);
            } else {
                memcpy(to + k * bytes, a + i * wide, bytes);
            }
        }
    }
}

/* ---- decoding ---------------------------------------------------------------------------------
 */

static bool has_prefix(const char *word, const char *prefix) {
    return strncmp(word, prefix, strlen(prefix)) == 0;
}

/* Words that say how to cache or order an access. Order between threads needs barriers anyway,
 * which the race checker insists on for shared memory. */
static bool skip_hint(vm_decoder *d) {
    static const char *const hints[] = {"volatile", "weak", "relaxed", "acquire", "release", "cta",
                                        "gpu",      "sys",  "ca",      "cg",      "cs",      "lu",
                                        "cv",       "wb",   "wt",      "nc",      "cluster"};

    if (vm_take_of(d, hints, sizeof(hints) / sizeof(*hints)) >= 0) {
        return true;
    }
    if (d->next_word < d->words &&
        (has_prefix(d->word[d->next_word], "L1::") || has_prefix(d->word[d->next_word], "L2::"))) {
        if (strstr(d->word[d->next_word], "cache_hint")) {
            return false; /* would bring one more operand */
        }
        d->next_word++;
        return true;
    }
    return false;
}

static void take_space(vm_decoder *d) {
    static const char *const names[] = {"global", "shared", "shared::cta", "local",
                                        "const",  "param",  "param::entry"};
    static const vm_space spaces[] = {VM_GLOBAL, VM_SHARED, VM_SHARED, VM_LOCAL,
                                      VM_CONST,  VM_PARAM,  VM_PARAM};
    int space = vm_take_of(d, names, 7);

    if (space >= 0) {
        d->in->space = (uint8_t)spaces[space];
    }
}

static vm_class class_of(const vm_instr *in) {
    switch (in->space) {
    case VM_SHARED:
        return VM_CLASS_SHARED;
    case VM_LOCAL:
        return VM_CLASS_LOCAL;
    case VM_CONST:
    case VM_PARAM:
        return VM_CLASS_CONSTANT;
    default:
        return VM_CLASS_GLOBAL;
    }
}

/* Everything of the opcode: {hints}{.space}{hints}{.v2 .v4}.type */
static bool decode_words(vm_decoder *d) {
    const char *type;

    d->in->elements = 1;
    while (skip_hint(d)) {
    }
    take_space(d);
    while (skip_hint(d)) {
    }
    if (vm_take(d, "v2")) {
        d->in->elements = 2;
    } else if (vm_take(d, "v4")) {
        d->in->elements = 4;
    }
    type = vm_take_any(d);
    d->in->bytes = (uint8_t)vm_type_bytes(type);
    d->in->is_signed = type[0] == 's';
    d->in->class = (uint8_t)class_of(d->in);
    if (d->in->bytes == 0) {
        return vm_refuse(d, "type '%s' is not supported", type);
    }
    if (d->in->space == VM_SHARED || d->in->space == VM_GENERIC) {
        vm_uses_shared(d, (uint32_t)d->in->bytes * d->in->elements);
    }
    return true;
}

/* The register or registers; wider ones than the type are allowed. */
static bool decode_values(vm_decoder *d, const ptx_operand *operand, bool destination) {
    const ptx_operand *items = operand->kind == PTX_VECTOR ? operand->items : operand;
    uint32_t count = operand->kind == PTX_VECTOR ? operand->count : 1, k;
    vm_width width = vm_width_of_bytes(d->in->bytes);

    if (count != d->in->elements) {
        return vm_refuse(d, "%u registers where %u are expected", count, d->in->elements);
    }
    for (k = 0; k < count; k++) {
        if (items[k].kind == PTX_REGISTER) {
            width = vm_width_of(d, &items[k], width);
        }
    }
    if (width == VM_PRED || 1u << width < d->in->bytes) {
        return vm_refuse(d, "a register is too small");
    }
    d->in->width = (uint8_t)width;
    for (k = 0; k < count; k++) {
        if (!(destination ? vm_dst(d, &items[k], width) : vm_src(d, &items[k], width))) {
            return false;
        }
    }
    return true;
}

static bool decode_load(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;
    uint32_t size;

    if (!vm_want(d, 2) || !decode_words(d) || !decode_values(d, &operands[0], true) ||
        !vm_address(d, &operands[1])) {
        return false;
    }
    d->in->run = load;
    size = (uint32_t)d->in->bytes * d->in->elements;
    if (d->in->space == VM_PARAM && operands[1].reg == VM_NONE) {
        if (d->in->offset + size > d->kernel->param_bytes || d->in->offset % size != 0) {
            return vm_refuse(d, "a parameter outside the parameters, or misaligned");
        }
        d->in->run = load_param;
    }
    return true;
}

static bool decode_store(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;

    if (!vm_want(d, 2) || !decode_words(d)) {
        return false;
    }
    d->in->run = store;
    if (d->in->space == VM_PARAM || d->in->space == VM_CONST) {
        return vm_refuse(d, "a store to a space that is only read");
    }
    return vm_address(d, &operands[0]) && decode_values(d, &operands[1], false);
}

static void nothing(vm_warp *w, const vm_instr *in, uint32_t mask) {
    (void)w;
    (void)in;
    (void)mask;
}

static bool decode_prefetch(vm_decoder *d) {
    take_space(d);
    d->in->class = VM_CLASS_GLOBAL;
    d->in->run = nothing;
    if (!vm_take(d, "L1") && !vm_take(d, "L2")) {
        return false;
    }
    return vm_want(d, 1) && vm_address(d, &d->statement->operands[0]);
}

static const vm_family families[] = {
    {"ld", decode_load}, {"ldu", decode_load}, {"st", decode_store}, {"prefetch", decode_prefetch}};

const vm_family_list vm_memory_families = {families, sizeof(families) / sizeof(*families)};
