/* Local memory, parameters, and generic addresses, which are sorted by their window. */
#include <inttypes.h>
#include <string.h>

#include "memory.h"

void vm_access_local(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                     uint32_t size, vm_access_kind kind, vm_access *out) {
    size_t limit = w->kernel->local_bytes;
    uint32_t outside = 0, undefined = 0, i;

    mask = vm_check_alignment(w, in, mask, address, size);
    out->contiguous = false;
    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            uint8_t *written = w->local_written + i * limit;

            if (address[i] > limit || size > limit - address[i]) {
                outside |= 1u << i;
                continue;
            }
            if (kind == VM_WRITE) {
                memset(written + address[i], 1, size);
            } else if (memchr(written + address[i], 0, size)) {
                undefined |= 1u << i;
            }
            out->at[i] = w->local + i * limit + address[i];
        }
    }
    if (outside) {
        vm_found(w, in, VM_OUT_OF_BOUNDS, outside, address[vm_first_lane(outside)],
                 "an access of %u bytes at %" PRIu64 " of %zu bytes of local memory", size,
                 address[vm_first_lane(outside)], limit);
    }
    if (undefined) {
        vm_found(w, in, VM_UNDEFINED_MEMORY, undefined, address[vm_first_lane(undefined)],
                 "a read of %u bytes of local memory that nobody wrote", size);
    }
    out->mask = mask & ~outside;
}

void vm_access_param(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                     uint32_t size, vm_access_kind kind, vm_access *out) {
    size_t limit = w->kernel->param_bytes;
    uint32_t outside = 0, i;

    mask = vm_check_alignment(w, in, mask, address, size);
    out->contiguous = false;
    for (i = 0; i < VM_LANES; i++) {
        bool wrong = kind != VM_READ || address[i] > limit || size > limit - address[i];

        outside |= (uint32_t)wrong << i;
        out->at[i] = w->block->launch->params + (wrong ? 0 : address[i]);
    }
    outside &= mask;
    if (outside) {
        vm_found(w, in, VM_OUT_OF_BOUNDS, outside, address[vm_first_lane(outside)],
                 "an access of %u bytes at %" PRIu64 " of %zu bytes of parameters", size,
                 address[vm_first_lane(outside)], limit);
    }
    out->mask = mask & ~outside;
}

typedef void (*access_fn)(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                          uint32_t size, vm_access_kind kind, vm_access *out);

static access_fn access_of(vm_space space) {
    return space == VM_SHARED  ? vm_access_shared
           : space == VM_LOCAL ? vm_access_local
           : space == VM_PARAM ? vm_access_param
                               : vm_access_global;
}

static void access_generic(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                           uint32_t size, vm_access_kind kind, vm_access *out) {
    static const vm_space spaces[] = {VM_GLOBAL, VM_SHARED, VM_LOCAL, VM_PARAM};
    uint32_t k, i, rest = mask;

    out->mask = 0;
    out->contiguous = false;
    for (k = 0; k < 4 && rest; k++) {
        uint64_t inside[VM_LANES];
        uint32_t here = 0;
        vm_access part;

        for (i = 0; i < VM_LANES; i++) {
            here |= (uint32_t)(vm_space_of(address[i]) == spaces[k]) << i;
            inside[i] = address[i] - vm_window(spaces[k]);
        }
        here &= rest;
        rest &= ~here;
        if (here) {
            access_of(spaces[k])(w, in, here, inside, size, kind, &part);
            if (here == VM_ALL) {
                *out = part;
                return;
            }
            out->mask |= part.mask;
            for (i = 0; i < VM_LANES; i++) {
                if (part.mask >> i & 1) {
                    out->at[i] = part.at[i];
                }
            }
        }
    }
}

void vm_access_memory(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                      uint32_t size, vm_access_kind kind, vm_access *out) {
    if (in->space == VM_GENERIC) {
        access_generic(w, in, mask, address, size, kind, out);
    } else {
        access_of((vm_space)in->space)(w, in, mask, address, size, kind, out);
    }
}
