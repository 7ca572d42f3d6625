/* The table of device allocations. It changes only between launches, so executing warps read it
 * without a lock. Freed ones stay in the table, without their bytes, to name what was freed. */
#define _DEFAULT_SOURCE /* mmap of anonymous memory */
#include "memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define DEVICE_BASE ((uint64_t)1 << 40)
#define GUARD ((uint64_t)1 << 20)      /* between allocations */
#define ALIGN 512                      /* cudaMalloc promises 256 */
#define MOST_POISON ((size_t)64 << 20) /* larger allocations start as zeros, for speed */

static struct {
    vm_allocation **items; /* by begin */
    size_t count, capacity;
    uint64_t next;
} table;

/* Number of allocations that begin at or before the address. */
static size_t rank(uint64_t address) {
    size_t low = 0, high = table.count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (table.items[middle]->begin <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void *map(size_t bytes) {
    void *memory = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED) {
        fputs("ptx_vm: out of memory\n", stderr);
        abort();
    }
    return memory;
}

vm_allocation *vm_memory_new(size_t size, vm_memory_kind kind) {
    vm_allocation *new = vm_calloc(1, sizeof(*new)), **slot;
    size_t words = size / 64 + 2, at;

    new->size = size;
    new->live = true;
    new->is_host = kind == VM_HOST_MEMORY;
    new->is_variable = kind == VM_VARIABLE;
    new->host = map(size);
    if (new->is_host) {
        new->begin = (uint64_t)(uintptr_t) new->host;
    } else {
        if (size <= MOST_POISON) {
            memset(new->host, 0xa5, size);
        }
        table.next = table.next ? table.next : DEVICE_BASE;
        new->begin = table.next;
        table.next += (size + ALIGN - 1) / ALIGN * ALIGN + GUARD;
    }
    if (kind == VM_DEVICE_MEMORY) {
        new->defined = map(words * sizeof(uint64_t));
    }
    new->loaded = map(words * sizeof(uint64_t));
    new->stored = map(words * sizeof(uint64_t));
    new->chunks = vm_calloc(size / VM_CHUNK + 1, 1);
    at = rank(new->begin);
    slot = vm_grow((void **)&table.items, &table.count, &table.capacity, sizeof(*slot));
    (void)slot;
    memmove(table.items + at + 1, table.items + at, (table.count - 1 - at) * sizeof(*slot));
    table.items[at] = new;
    return new;
}

static void drop(vm_allocation *allocation) {
    size_t words = allocation->size / 64 + 2;

    munmap(allocation->host, allocation->size ? allocation->size : 1);
    if (allocation->defined) {
        munmap(allocation->defined, words * sizeof(uint64_t));
    }
    munmap(allocation->loaded, words * sizeof(uint64_t));
    munmap(allocation->stored, words * sizeof(uint64_t));
    free(allocation->chunks);
    allocation->live = false;
}

bool vm_memory_free(uint64_t begin, bool is_host) {
    size_t at = rank(begin);
    vm_allocation *allocation = at ? table.items[at - 1] : NULL;

    if (!allocation || !allocation->live || allocation->begin != begin ||
        allocation->is_host != is_host) {
        return false;
    }
    drop(allocation);
    if (is_host) { /* the system may give the address out again */
        memmove(table.items + at - 1, table.items + at, (table.count - at) * sizeof(*table.items));
        table.count--;
        free(allocation);
    }
    return true;
}

vm_allocation *vm_memory_find(uint64_t address) {
    size_t at = rank(address);

    return at ? table.items[at - 1] : NULL;
}

uint8_t *vm_memory_bytes(uint64_t address, size_t size) {
    const vm_allocation *a = vm_memory_find(address);
    uint64_t offset = a ? address - a->begin : 0;

    if (!a || !a->live || offset > a->size || size > a->size - offset) {
        return NULL;
    }
    return a->host + offset;
}

void vm_memory_describe(uint64_t address, char *text, size_t size) {
    const vm_allocation *a = vm_memory_find(address);

    if (address < 4096) {
        snprintf(text, size, "near the null pointer");
    } else if (!a) {
        snprintf(text, size, "in front of all allocations");
    } else if (!a->live) {
        snprintf(text, size,
                 "byte %" PRIu64 " of an allocation of %" PRIu64 " bytes that was freed",
                 address - a->begin, a->size);
    } else if (address - a->begin < a->size) {
        snprintf(text, size, "byte %" PRIu64 " of an allocation of %" PRIu64 " bytes",
                 address - a->begin, a->size);
    } else {
        snprintf(text, size, "%" PRIu64 " bytes past the end of an allocation of %" PRIu64 " bytes",
                 address - a->begin - a->size, a->size);
    }
}

/* ---- bits ----------------------------------------------------------------------------------- */

/* The bits of one word that belong to first .. first+count-1. */
static uint64_t piece(uint64_t word, uint64_t first, uint64_t end) {
    uint64_t from = first > word * 64 ? first - word * 64 : 0;
    uint64_t to = end < word * 64 + 64 ? end - word * 64 : 64;

    return (to == 64 ? ~(uint64_t)0 : ((uint64_t)1 << to) - 1) & ~(uint64_t)0 << from;
}

bool vm_bits_all(const uint64_t *bits, uint64_t first, uint64_t count) {
    uint64_t end = first + count, word;

    for (word = first / 64; word * 64 < end; word++) {
        uint64_t wanted = piece(word, first, end);

        if ((__atomic_load_n(&bits[word], __ATOMIC_RELAXED) & wanted) != wanted) {
            return false;
        }
    }
    return true;
}

void vm_bits_set(uint64_t *bits, uint64_t first, uint64_t count) {
    uint64_t end = first + count, word;

    for (word = first / 64; word * 64 < end; word++) {
        uint64_t wanted = piece(word, first, end);

        if ((__atomic_load_n(&bits[word], __ATOMIC_RELAXED) & wanted) != wanted) {
            __atomic_fetch_or(&bits[word], wanted, __ATOMIC_RELAXED);
        }
    }
}

void vm_memory_define(uint64_t address, size_t size) {
    vm_allocation *a = vm_memory_find(address);

    if (size && a && a->defined) {
        vm_bits_set(a->defined, address - a->begin, size);
    }
}

void vm_memory_copy_defined(uint64_t to, uint64_t from, size_t size) {
    const vm_allocation *a = vm_memory_find(from);
    vm_allocation *b = vm_memory_find(to);
    size_t i;

    if (!b || !b->defined) {
        return;
    }
    if (!a || !a->defined || vm_bits_all(a->defined, from - a->begin, size)) {
        vm_memory_define(to, size);
        return;
    }
    for (i = 0; i < size; i++) {
        uint64_t x = from - a->begin + i, y = to - b->begin + i;
        uint64_t bit = a->defined[x / 64] >> x % 64 & 1;

        b->defined[y / 64] = (b->defined[y / 64] & ~((uint64_t)1 << y % 64)) | bit << y % 64;
    }
}

/* ---- footprint ------------------------------------------------------------------------------ */

static uint64_t take_bits(uint64_t *bits, size_t chunk, uint64_t size) {
    size_t first = chunk * (VM_CHUNK / 64), end = (chunk + 1) * (VM_CHUNK / 64), i;
    uint64_t count = 0;

    end = end < size / 64 + 1 ? end : size / 64 + 1;
    for (i = first; i < end; i++) {
        count += (uint64_t)__builtin_popcountll(bits[i]);
        bits[i] = 0;
    }
    return count;
}

static void take_footprint(vm_allocation *a, uint64_t *loaded, uint64_t *stored) {
    size_t chunks = a->size / VM_CHUNK + 1, chunk;
    uint64_t eight;

    for (chunk = 0; chunk < chunks; chunk++) {
        if (chunk % 8 == 0 && chunk + 8 <= chunks) { /* most of an arena is not touched */
            memcpy(&eight, a->chunks + chunk, sizeof(eight));
            if (eight == 0) {
                chunk += 7;
                continue;
            }
        }
        if (a->chunks[chunk] & 1) {
            *loaded += take_bits(a->loaded, chunk, a->size);
        }
        if (a->chunks[chunk] & 2) {
            *stored += take_bits(a->stored, chunk, a->size);
        }
        a->chunks[chunk] = 0;
    }
}

void vm_memory_footprint(uint64_t *loaded, uint64_t *stored) {
    size_t i;

    *loaded = *stored = 0;
    for (i = 0; i < table.count; i++) {
        if (table.items[i]->live) {
            take_footprint(table.items[i], loaded, stored);
        }
    }
}

void vm_memory_reset(void) {
    size_t i;

    for (i = 0; i < table.count; i++) {
        if (table.items[i]->live) {
            drop(table.items[i]);
        }
        free(table.items[i]);
    }
    free(table.items);
    memset(&table, 0, sizeof(table));
}
