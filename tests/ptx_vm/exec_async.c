/* cp.async: copies from global to shared memory that are done when somebody waits for them. Each
 * lane counts its own groups. The bytes move at the wait and not before, so a kernel that forgets
 * it works with old data (and the destination is marked, so that touching it is reported). */
#include <string.h>

#include "exec.h"
#include "memory.h"

/* Source addresses of the lanes. */
static void sources(const vm_warp *w, const vm_instr *in, uint64_t *from) {
    uint32_t i;

    for (i = 0; i < VM_LANES; i++) {
        from[i] = in->from_narrow ? ((const uint32_t *)vm_row(w, in->ref[1]))[i]
                                  : ((const uint64_t *)vm_row(w, in->ref[1]))[i];
        from[i] += in->from_offset;
    }
}

/* Checks the reads of `size` bytes of some lanes, or of fewer bytes one by one. */
static uint32_t check_sources(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *from,
                              const uint32_t *filled, uint32_t size, const uint8_t **at) {
    uint32_t full = 0, part = 0, i, b;
    vm_access access;

    for (i = 0; i < VM_LANES; i++) {
        full |= (uint32_t)(filled[i] == size) << i;
        part |= (uint32_t)(filled[i] > 0 && filled[i] < size) << i;
    }
    full &= mask;
    part &= mask;
    if (full) {
        vm_access_global(w, in, full, from, size, VM_READ, &access);
        mask &= ~full | access.mask;
        for (i = 0; i < VM_LANES; i++) {
            if (access.mask & full & 1u << i) {
                at[i] = access.contiguous ? access.at[0] + i * size : access.at[i];
            }
        }
    }
    for (b = 0; b < size; b++) {
        uint64_t bytes[VM_LANES];
        uint32_t here = 0;

        for (i = 0; i < VM_LANES; i++) {
            bytes[i] = from[i] + b;
            here |= (uint32_t)(b < filled[i]) << i;
        }
        here &= part & mask;
        if (here) {
            vm_access_global(w, in, here, bytes, 1, VM_READ, &access);
            mask &= ~here | access.mask;
            for (i = 0; b == 0 && i < VM_LANES; i++) {
                if (access.mask & here & 1u << i) {
                    at[i] = access.at[i];
                }
            }
        }
    }
    return mask;
}

static void copy(vm_warp *w, const vm_instr *in, uint32_t mask) {
    const uint32_t *given = vm_row(w, in->ref[2]);
    uint32_t size = in->bytes, filled[VM_LANES], outside = 0, i;
    uint64_t to[VM_LANES], from[VM_LANES];
    const uint8_t *at[VM_LANES] = {0};

    vm_addresses(w, in, 0, to);
    sources(w, in, from);
    for (i = 0; i < VM_LANES; i++) {
        filled[i] = given[i] < size ? given[i] : size;
        to[i] = in->narrow_address ? to[i] : to[i] & 0xffffffff;
        outside |= (uint32_t)(to[i] + size > w->block->shared_bytes) << i;
    }
    mask = vm_check_alignment(w, in, mask, to, size);
    mask = vm_check_alignment(w, in, mask, from, size);
    outside &= mask;
    if (outside) {
        vm_found(w, in, VM_OUT_OF_BOUNDS, outside, to[vm_first_lane(outside)],
                 "a cp.async of %u bytes past %zu bytes of shared memory", size,
                 w->block->shared_bytes);
        mask &= ~outside;
    }
    mask = check_sources(w, in, mask, from, filled, size, at);
    if (mask) {
        vm_shared_count(w, mask, to, size);
    }
    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            vm_pending *new = vm_grow((void **)&w->pending, &w->pending_count, &w->pending_capacity,
                                      sizeof(*new));

            *new = (vm_pending){at[i], (uint32_t)to[i], size, filled[i], i, w->group[i]};
            vm_shared_begin_async(w, in, i, new->to, size);
        }
    }
}

static void commit(vm_warp *w, const vm_instr *in, uint32_t mask) {
    (void)in;
    VM_EACH_LANE(w->group[i]++);
}

/* Completes copies of the lanes that belong to groups older than the `keep` last ones. */
static void complete(vm_warp *w, uint32_t mask, uint32_t keep, bool all) {
    size_t k, left = 0;

    for (k = 0; k < w->pending_count; k++) {
        const vm_pending *p = &w->pending[k];
        bool due = all || p->group + keep < w->group[p->lane];

        if (due && (mask >> p->lane & 1)) {
            uint8_t *to = w->block->shared + p->to;

            if (p->filled) {
                memcpy(to, p->from, p->filled);
            }
            memset(to + p->filled, 0, p->bytes - p->filled);
            vm_shared_end_async(w, p->lane, p->to, p->bytes);
        } else {
            w->pending[left++] = *p;
        }
    }
    w->pending_count = left;
}

static void wait_group(vm_warp *w, const vm_instr *in, uint32_t mask) {
    complete(w, mask, *(const uint32_t *)vm_row(w, in->ref[0]), false);
}

static void wait_all(vm_warp *w, const vm_instr *in, uint32_t mask) {
    (void)in;
    complete(w, mask, 0, true);
}

/* cp.async.{ca cg}.shared.global{.L2::128B} [to], [from], size{, source size} */
static bool decode_copy(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;
    uint32_t count = d->statement->count;
    uint64_t offset;
    bool narrow, ca;

    if (!vm_take(d, "async")) {
        return false;
    }
    ca = vm_take(d, "ca");
    if ((!ca && !vm_take(d, "cg")) || (!vm_take(d, "shared") && !vm_take(d, "shared::cta")) ||
        !vm_take(d, "global")) {
        return false;
    }
    if (!vm_take(d, "L2::64B") && !vm_take(d, "L2::128B")) {
        vm_take(d, "L2::256B");
    }
    if (count < 3 || count > 4 || operands[2].kind != PTX_LITERAL) {
        return vm_refuse(d, "%u operands", count);
    }
    d->in->run = copy;
    d->in->class = VM_CLASS_GLOBAL;
    d->in->space = VM_SHARED;
    d->in->bytes = (uint8_t)operands[2].value;
    if (operands[2].value != 16 && !(ca && (operands[2].value == 4 || operands[2].value == 8))) {
        return vm_refuse(d, "a copy of %llu bytes", (unsigned long long)operands[2].value);
    }
    vm_uses_shared(d, d->in->bytes);
    if (!vm_address(d, &operands[0])) {
        return false;
    }
    offset = d->in->offset;
    narrow = d->in->narrow_address;
    if (!vm_address(d, &operands[1])) {
        return false;
    }
    d->in->from_offset = d->in->offset;
    d->in->from_narrow = d->in->narrow_address;
    d->in->offset = offset;
    d->in->narrow_address = narrow;
    return count == 4 ? vm_src(d, &operands[3], VM_B32)
                      : vm_src_constant(d, VM_B32, operands[2].value);
}

static const vm_family families[] = {{"cp", decode_copy}};
const vm_family_list vm_async_families = {families, sizeof(families) / sizeof(*families)};

static const vm_form forms[] = {
    {"cp.async.commit_group", commit, "", VM_CLASS_CONTROL},
    {"cp.async.wait_group", wait_group, "w", VM_CLASS_CONTROL},
    {"cp.async.wait_all", wait_all, "", VM_CLASS_CONTROL},
};
const vm_form_list vm_async_forms = {forms, sizeof(forms) / sizeof(*forms)};
