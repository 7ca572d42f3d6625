/* The machine: what a kernel is after decoding, and what runs it.
 *
 * A register of a warp is a row of 32 lanes (a predicate: 32 bits of one word), so that an
 * instruction is a loop over lanes that the C compiler turns into vector code. Literals and
 * addresses of variables are rows too, in a pool of the kernel; an operand is then just an offset
 * into one of two buffers. Each instruction carries the function that executes it.              */
#ifndef VM_MACHINE_H
#define VM_MACHINE_H
#include "ptx_module.h"
#include "ptx_vm.h"

#define VM_LANES 32
#define VM_ALL 0xffffffffu

typedef struct vm_warp vm_warp;
typedef struct vm_block vm_block;
typedef struct vm_launch vm_launch;
typedef struct vm_kernel vm_kernel;
typedef struct vm_instr vm_instr;

/* Executes one instruction for the lanes of mask, which is never 0. */
typedef void (*vm_run)(vm_warp *w, const vm_instr *in, uint32_t mask);

/* Where a row stands: the register file, or with VM_POOL the constants of the kernel. Between
 * decoding and the assignment of slots (flow.c) the number of the register. */
typedef uint32_t vm_ref;
#define VM_POOL 0x80000000u
#define VM_REFS 16

struct vm_instr {
    vm_run run;
    vm_ref guard; /* a predicate, or VM_NONE */
    bool guard_negated;
    bool checked;      /* touches registers that may never have been written */
    uint8_t class;     /* vm_class */
    uint8_t dst_count; /* ref[0 .. dst_count) are written, the others read */
    uint8_t ref_count;
    uint8_t space;          /* vm_space of a memory access */
    uint8_t bytes;          /* of one element of it */
    uint8_t elements;       /* 1, 2, 4 */
    uint8_t width;          /* vm_width of the registers at hand */
    uint8_t narrow_address; /* the address register has 32 bits */
    bool is_signed;
    bool is_branch; /* has a target or a table of them */
    bool is_exit;
    bool is_copy;    /* only moves bits: copying what was never written is no use of it */
    uint16_t option; /* meaning is the function's own */
    uint32_t (*compare)(const void *a, const void *b); /* of setp and set: lanes where it holds */
    vm_ref ref[VM_REFS];
    uint64_t offset;      /* added to an address */
    uint64_t from_offset; /* cp.async: of the source */
    bool from_narrow;
    uint32_t target, reconverge;
    uint32_t table, table_count; /* brx: targets in kernel->tables */
    uint32_t check, check_count; /* entries of kernel->checks, for `checked` */
};

/* One use or definition of a register that may be read before it is written. */
typedef struct vm_suspect {
    uint32_t ref;   /* which of the refs of the instruction; VM_NONE: its guard */
    uint32_t index; /* of the lanes in vm_warp.written */
} vm_suspect;

typedef enum vm_special {
    VM_TID_X,
    VM_TID_Y,
    VM_TID_Z,
    VM_NTID_X,
    VM_NTID_Y,
    VM_NTID_Z,
    VM_CTAID_X,
    VM_CTAID_Y,
    VM_CTAID_Z,
    VM_NCTAID_X,
    VM_NCTAID_Y,
    VM_NCTAID_Z,
    VM_LANEID,
    VM_WARPID,
    VM_NWARPID,
    VM_SMID,
    VM_NSMID,
    VM_GRIDID,
    VM_LANEMASK_EQ,
    VM_LANEMASK_LE,
    VM_LANEMASK_LT,
    VM_LANEMASK_GE,
    VM_LANEMASK_GT,
    VM_DYNAMIC_SMEM,
    VM_TOTAL_SMEM,
    VM_SPECIAL_COUNT
} vm_special;

struct vm_kernel {
    const char *name;
    const ptx_module *module;
    const ptx_kernel *source;
    vm_instr *code;
    ptx_place *places; /* [count] */
    uint32_t count;
    uint32_t *tables; /* targets of brx, then indices of instructions */
    size_t table_count, table_capacity;
    uint8_t *pool; /* rows of constants */
    size_t pool_bytes, pool_capacity;
    size_t file_bytes;                /* registers of one warp */
    vm_ref special[VM_SPECIAL_COUNT]; /* VM_NONE: unused */
    vm_suspect *checks;
    size_t check_count, check_capacity;
    uint32_t suspect_count;
    size_t param_bytes, local_bytes;
    size_t shared_bytes;     /* without the dynamic part */
    uint32_t shared_granule; /* bytes of the narrowest access to shared memory */
    uint32_t max_threads, required_threads[3];
    size_t dynamic_limit; /* cudaFuncAttributeMaxDynamicSharedMemorySize */
};

/* Diverged lanes wait on a stack until the others come to `reconverge`. */
typedef struct vm_frame {
    uint32_t pc, reconverge, lanes;
} vm_frame;

typedef enum vm_state { VM_RUNNING, VM_WAITING, VM_DONE } vm_state;

/* A cp.async that was not waited for. */
typedef struct vm_pending {
    const uint8_t *from;
    uint32_t to, bytes, filled; /* `filled` bytes come from global memory, zeros follow */
    uint32_t lane, group;
} vm_pending;

struct vm_warp {
    uint8_t *base[2]; /* register file, constants */
    const vm_kernel *kernel;
    vm_block *block;
    uint32_t pc, active, reconverge;
    uint32_t alive; /* lanes that exist and did not exit */
    uint32_t lanes; /* lanes that exist */
    uint32_t index; /* in the block */
    vm_state state;
    vm_frame *frames;
    size_t frame_count, frame_capacity;
    uint64_t executed;
    uint32_t carry;    /* of add.cc */
    uint32_t *written; /* [kernel->suspect_count] lanes that wrote a suspect register */
    uint8_t *local;    /* [lanes][local_bytes] */
    uint8_t *local_written;
    /* The barrier that it waits at. */
    const vm_instr *waiting;
    uint32_t waiting_lanes, barrier;
    /* Happens-before (shared.c): accesses of warp v up to known[v] are ordered before ours. */
    uint32_t now, known[VM_LANES];
    vm_pending *pending;
    size_t pending_count, pending_capacity;
    uint32_t group[VM_LANES]; /* cp.async groups that each lane has committed */
};

typedef struct vm_barrier {
    const vm_instr *first; /* who came first; NULL: nobody */
    uint32_t expected, arrived;
    uint32_t votes, voters;   /* bar.red: threads with a true predicate, and all */
    uint32_t arrivals;        /* warps that came, as bits */
    uint32_t clock[VM_LANES]; /* joined over the arrivals */
} vm_barrier;

#define VM_BARRIERS 16

struct vm_block {
    vm_launch *launch;
    vm_counters *counters; /* of the worker */
    uint32_t index[3];
    vm_warp *warps;
    uint32_t warp_count, thread_count;
    uint8_t *shared;
    size_t shared_bytes;          /* static and dynamic */
    uint32_t *writer, *reader[2]; /* per granule, see shared.c */
    uint8_t *registers, *local;   /* storage of all warps */
    uint32_t *written;
    vm_barrier barriers[VM_BARRIERS];
    bool failed; /* something that it can't go on from */
};

struct vm_launch {
    vm_kernel *kernel;
    uint32_t grid[3], block[3];
    size_t dynamic_bytes;
    uint8_t *params; /* [kernel->param_bytes] */
};

static inline void *vm_row(const vm_warp *w, vm_ref ref) {
    return w->base[ref >> 31] + (ref & ~VM_POOL);
}

/* The lane that comes first in a mask. */
static inline uint32_t vm_first_lane(uint32_t mask) {
    return (uint32_t)__builtin_ctz(mask);
}

static inline uint32_t vm_popcount(uint32_t mask) {
    return (uint32_t)__builtin_popcount(mask);
}

/* ---- decode.c, flow.c ----------------------------------------------------------------------- */

/* NULL: error says why. Symbols of the module have their addresses. */
vm_kernel *vm_kernel_decode(ptx_module *module, ptx_kernel *source, char *error, size_t size,
                            int *error_line);
void vm_kernel_free(vm_kernel *kernel);

/* Reconvergence points, slots of registers, and registers that may be read unwritten. widths: of
 * every register number used in the code. */
void vm_flow(vm_kernel *kernel, const uint8_t *widths, uint32_t register_count);

/* ---- block.c, launch.c ---------------------------------------------------------------------- */

/* Runs a whole grid; findings are in the report list. */
void vm_launch_run(vm_launch *launch);
void vm_block_prepare(vm_block *block, vm_launch *launch, vm_counters *counters);
void vm_block_run(vm_block *block, uint32_t x, uint32_t y, uint32_t z);
void vm_block_release(vm_block *block);
/* A barrier that warps wait at although nobody can come any more. */
void vm_barrier_report_stuck(vm_block *block);
void vm_warp_exit(vm_warp *w, uint32_t lanes);
/* Lets the lanes continue at target while the other active ones go on. */
void vm_warp_branch(vm_warp *w, const vm_instr *in, uint32_t target, uint32_t lanes);

extern uint64_t vm_warp_limit;
extern unsigned vm_threads;

/* ---- report.c ------------------------------------------------------------------------------- */

/* Notes a finding about the first lane of `lanes`. */
void vm_found(vm_warp *w, const vm_instr *in, vm_finding finding, uint32_t lanes, uint64_t address,
              const char *format, ...) __attribute__((format(printf, 6, 7)));
/* A finding without a warp; kernel and module may be NULL. */
void vm_found_outside(vm_finding finding, const char *kernel, int ptx_line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* A new launch starts: findings are told apart from those of earlier ones. */
void vm_report_new_launch(void);
/* Whether findings were noted since vm_report_new_launch, and the one that hardware would notice
 * first: vm_finding is in this order. */
bool vm_report_launch_failed(vm_finding *gravest);

/* ---- counters.c ----------------------------------------------------------------------------- */

vm_host_counters *vm_host_mutable(void);
/* Adds one worker's counts to a kernel's. */
void vm_counters_add(const vm_counters *counts);

#endif
