/* An access of a warp to global memory: alignment, bounds, whether what it reads was ever written,
 * and how many sectors it moves. Most accesses are 32 lanes in a row in one allocation; they are
 * checked and counted as one range. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "memory.h"

void vm_addresses(const vm_warp *w, const vm_instr *in, uint32_t which, uint64_t *address) {
    uint32_t i;

    if (in->narrow_address) {
        const uint32_t *row = vm_row(w, in->ref[which]);

        for (i = 0; i < VM_LANES; i++) {
            address[i] = (uint32_t)(row[i] + in->offset);
        }
    } else {
        const uint64_t *row = vm_row(w, in->ref[which]);

        for (i = 0; i < VM_LANES; i++) {
            address[i] = row[i] + in->offset;
        }
    }
}

uint32_t vm_check_alignment(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                            uint32_t size) {
    uint32_t wrong = 0, i;

    for (i = 0; i < VM_LANES; i++) {
        wrong |= (uint32_t)((address[i] & (size - 1)) != 0) << i;
    }
    wrong &= mask;
    if (wrong) {
        vm_found(w, in, VM_MISALIGNED, wrong, address[vm_first_lane(wrong)],
                 "an access of %u bytes at an address that is no multiple of %u", size, size);
    }
    return mask & ~wrong;
}

/* ---- sectors -------------------------------------------------------------------------------- */

static vm_traffic *traffic_of(vm_warp *w, vm_access_kind kind) {
    return kind == VM_READ ? &w->block->counters->load : &w->block->counters->store;
}

static void count_range(vm_traffic *traffic, uint64_t first, uint32_t size) {
    uint64_t bytes = (uint64_t)size * VM_LANES;
    uint64_t sectors = (first + bytes - 1) / 32 - first / 32 + 1;

    traffic->requests++;
    traffic->bytes += bytes;
    traffic->sectors += sectors;
    traffic->coalesced += sectors == (bytes + 31) / 32;
}

/* Addresses are multiples of size, which divides 32. */
static void count_scattered(vm_traffic *traffic, uint32_t mask, const uint64_t *address,
                            uint32_t size) {
    uint64_t sorted[VM_LANES];
    uint32_t count = 0, i, k, distinct = 1, sectors = 1;

    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            for (k = count++; k > 0 && sorted[k - 1] > address[i]; k--) {
                sorted[k] = sorted[k - 1];
            }
            sorted[k] = address[i];
        }
    }
    for (i = 1; i < count; i++) {
        distinct += sorted[i] != sorted[i - 1];
        sectors += sorted[i] / 32 != sorted[i - 1] / 32;
    }
    traffic->requests++;
    traffic->bytes += (uint64_t)count * size;
    traffic->sectors += sectors;
    traffic->coalesced += sectors == (distinct * size + 31) / 32;
}

/* ---- what is known about the bytes ---------------------------------------------------------- */

static void note(vm_allocation *a, uint64_t offset, uint64_t size, vm_access_kind kind) {
    uint64_t chunk;

    if (kind != VM_WRITE) {
        vm_bits_set(a->loaded, offset, size);
    }
    if (kind != VM_READ) {
        vm_bits_set(a->stored, offset, size);
        if (a->defined) {
            vm_bits_set(a->defined, offset, size);
        }
    }
    for (chunk = offset / VM_CHUNK; chunk <= (offset + size - 1) / VM_CHUNK; chunk++) {
        uint8_t flag = kind == VM_READ ? 1 : kind == VM_WRITE ? 2 : 3;

        if ((__atomic_load_n(&a->chunks[chunk], __ATOMIC_RELAXED) & flag) != flag) {
            __atomic_fetch_or(&a->chunks[chunk], flag, __ATOMIC_RELAXED);
        }
    }
}

static bool is_defined(const vm_allocation *a, uint64_t offset, uint64_t size) {
    return !a->defined || vm_bits_all(a->defined, offset, size);
}

static const char *verb(vm_access_kind kind) {
    return kind == VM_READ ? "a read" : kind == VM_WRITE ? "a write" : "an atomic";
}

/* ---- the access ----------------------------------------------------------------------------- */

/* 32 lanes one after the other inside one allocation, all defined where that matters. */
static bool whole_range(vm_warp *w, const uint64_t *address, uint32_t size, vm_access_kind kind,
                        vm_access *out) {
    uint64_t wrong = 0, bytes = (uint64_t)size * VM_LANES, offset;
    vm_allocation *a;
    uint32_t i;

    for (i = 0; i < VM_LANES; i++) {
        wrong |= address[i] ^ (address[0] + (uint64_t)i * size);
    }
    if (wrong) {
        return false;
    }
    a = vm_memory_find(address[0]);
    offset = a ? address[0] - a->begin : 0;
    if (!a || !a->live || offset + bytes > a->size ||
        (kind != VM_WRITE && !is_defined(a, offset, bytes))) {
        return false;
    }
    note(a, offset, bytes, kind);
    count_range(traffic_of(w, kind), address[0], size);
    out->at[0] = a->host + offset;
    out->contiguous = true;
    return true;
}

static void report_bounds(vm_warp *w, const vm_instr *in, uint32_t lanes, uint64_t address,
                          uint32_t size, vm_access_kind kind) {
    const vm_allocation *a = vm_memory_find(address);
    bool freed = a && !a->live && address - a->begin < a->size;
    char where[128];

    vm_memory_describe(address, where, sizeof(where));
    vm_found(w, in, freed ? VM_USE_AFTER_FREE : VM_OUT_OF_BOUNDS, lanes, address,
             "%s of %u bytes of global memory, %s", verb(kind), size, where);
}

void vm_access_global(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                      uint32_t size, vm_access_kind kind, vm_access *out) {
    uint32_t outside = 0, undefined = 0, i;
    vm_allocation *a = NULL;

    out->contiguous = false;
    mask = vm_check_alignment(w, in, mask, address, size);
    out->mask = mask;
    if (mask == VM_ALL && whole_range(w, address, size, kind, out)) {
        return;
    }
    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            uint64_t offset;

            if (!a || address[i] - a->begin >= a->size) {
                a = vm_memory_find(address[i]);
            }
            offset = a ? address[i] - a->begin : 0;
            if (!a || !a->live || offset >= a->size || size > a->size - offset) {
                outside |= 1u << i;
                continue;
            }
            if (kind != VM_WRITE && !is_defined(a, offset, size)) {
                undefined |= 1u << i;
            }
            note(a, offset, size, kind);
            out->at[i] = a->host + offset;
        }
    }
    if (outside) {
        report_bounds(w, in, outside, address[vm_first_lane(outside)], size, kind);
    }
    if (undefined) {
        char where[128];
        uint64_t first = address[vm_first_lane(undefined)];

        vm_memory_describe(first, where, sizeof(where));
        vm_found(w, in, VM_UNDEFINED_MEMORY, undefined, first,
                 "%s of %u bytes of global memory that nobody wrote, %s", verb(kind), size, where);
    }
    out->mask = mask & ~outside;
    if (out->mask) {
        count_scattered(traffic_of(w, kind), out->mask, address, size);
    }
}
