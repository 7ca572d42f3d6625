/* Memory of the GPU, with what is known about every byte.
 *
 * A generic address tells its space by its window; offsets in shared, local and param memory are
 * small numbers. Addresses of device memory are invented (they are no addresses of this process, so
 * host code that follows one dies at once), grow for ever and leave gaps, so that an access past
 * the end or to freed memory never hits something else. Pinned host memory keeps its own addresses.
 */
#ifndef VM_MEMORY_H
#define VM_MEMORY_H
#include "machine.h"

static inline uint64_t vm_window(vm_space space) {
    return space == VM_SHARED  ? (uint64_t)1 << 32
           : space == VM_LOCAL ? (uint64_t)2 << 32
           : space == VM_PARAM ? (uint64_t)3 << 32
                               : 0; /* constants stand in global memory */
}

static inline vm_space vm_space_of(uint64_t address) {
    switch (address >> 32) {
    case 1:
        return VM_SHARED;
    case 2:
        return VM_LOCAL;
    case 3:
        return VM_PARAM;
    default:
        return VM_GLOBAL;
    }
}

/* ---- device memory: memory.c ---------------------------------------------------------------- */

#define VM_CHUNK 32768 /* bytes of memory that share a dirty flag */

typedef struct vm_allocation {
    uint64_t begin, size;
    uint8_t *host; /* [size] */
    bool live;
    bool is_host;      /* pinned host memory */
    bool is_variable;  /* of a module */
    uint64_t *defined; /* a bit for each byte ever written; NULL: all of them */
    uint64_t *loaded;  /* bytes read in this launch */
    uint64_t *stored;  /* bytes written in this launch */
    uint8_t *chunks;   /* whether loaded (1) or stored (2) have bits in this chunk */
} vm_allocation;

typedef enum vm_memory_kind { VM_DEVICE_MEMORY, VM_HOST_MEMORY, VM_VARIABLE } vm_memory_kind;

vm_allocation *vm_memory_new(size_t size, vm_memory_kind kind);
bool vm_memory_free(uint64_t begin, bool is_host); /* false: not the begin of a live allocation */
/* The allocation, live or not, that begins last at or before the address; NULL: none. */
vm_allocation *vm_memory_find(uint64_t address);
/* The bytes if all of them lie in one live allocation, else NULL. */
uint8_t *vm_memory_bytes(uint64_t address, size_t size);
/* "12 bytes past the end of an allocation of 4096 bytes" */
void vm_memory_describe(uint64_t address, char *text, size_t size);
void vm_memory_define(uint64_t address, size_t size);
void vm_memory_copy_defined(uint64_t to, uint64_t from, size_t size);
/* Sums up and clears what a launch touched. */
void vm_memory_footprint(uint64_t *loaded, uint64_t *stored);
void vm_memory_reset(void);

/* Sets of bits that two workers may share. */
bool vm_bits_all(const uint64_t *bits, uint64_t first, uint64_t count);
void vm_bits_set(uint64_t *bits, uint64_t first, uint64_t count);

/* ---- accesses ------------------------------------------------------------------------------- */

typedef enum vm_access_kind { VM_READ, VM_WRITE, VM_ATOMIC } vm_access_kind;

/* What one instruction of a warp may touch after all checks. */
typedef struct vm_access {
    uint32_t mask;   /* lanes without fault */
    bool contiguous; /* all 32 lanes, one after the other from at[0]; the rest is not set */
    uint8_t *at[VM_LANES];
} vm_access;

/* Accesses of `size` bytes a lane at addresses of a space: global.c, shared.c, local.c. Faults are
 * reported. Generic addresses are sorted by window. */
void vm_access_global(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                      uint32_t size, vm_access_kind kind, vm_access *out);
void vm_access_shared(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                      uint32_t size, vm_access_kind kind, vm_access *out);
void vm_access_local(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                     uint32_t size, vm_access_kind kind, vm_access *out);
void vm_access_param(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                     uint32_t size, vm_access_kind kind, vm_access *out);
void vm_access_memory(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                      uint32_t size, vm_access_kind kind, vm_access *out);
/* The address of each lane from ref[which] and in->offset. */
void vm_addresses(const vm_warp *w, const vm_instr *in, uint32_t which, uint64_t *address);
/* Reports lanes whose address is no multiple of size (a power of two); gives the others. */
uint32_t vm_check_alignment(vm_warp *w, const vm_instr *in, uint32_t mask, const uint64_t *address,
                            uint32_t size);

/* ---- shared memory: shared.c ---------------------------------------------------------------- */

void vm_shared_prepare(vm_block *block); /* nothing is written, nothing is ordered */
void vm_shared_warp_sync(vm_warp *w);
void vm_shared_arrive(vm_warp *w, vm_barrier *barrier);
void vm_shared_release(vm_warp *w, const vm_barrier *barrier);
/* Passes that the banks need for one instruction, into the counters. */
void vm_shared_count(vm_warp *w, uint32_t mask, const uint64_t *address, uint32_t size);
/* cp.async: a lane's destination is under way, and has arrived. */
void vm_shared_begin_async(vm_warp *w, const vm_instr *in, uint32_t lane, uint32_t at,
                           uint32_t size);
void vm_shared_end_async(vm_warp *w, uint32_t lane, uint32_t at, uint32_t size);

#endif
