/* A GPU in software, for tests: it stands in for the CUDA runtime (runtime*.c) and executes the PTX
 * text that nvcc makes of our kernels, one warp of 32 lanes in lock-step at a time.
 *
 * The host code under test is linked against this library in place of libcudart and calls the CUDA
 * runtime as always; this header is what a test needs besides: the findings of the checkers, the
 * counters, and a few knobs. The design, from text to result:
 *
 *   ptx_lex, ptx_parse*   PTX text -> module of kernels, each a list of statements
 *   decode, exec_*        statement -> vm_instr: function pointer and operand rows
 *   flow                  basic blocks, post-dominators, liveness, register slots
 *   launch, block         grid -> blocks -> warps; barriers; the reconvergence stack
 *   memory, shared        device memory and shared memory with what is known about every byte
 *   report, counters      what was found, what was counted
 *
 * What it cannot see. A store to global memory is there for everybody at once and in program order,
 * so a missing __threadfence() or volatile shows nothing; global memory is not checked for races,
 * within a block or between blocks (shared memory is), so two blocks that write one place, or one
 * that reads what another writes without an atomic between them, pass. Blocks are done one after
 * the other on each thread of the host: a kernel that waits for a block not yet started hangs until
 * VM_TRAP, though a GPU might run it. Time, caches and registers are a compiler's and a GPU's to
 * tell.
 *
 * Everything here is a development tool: it takes plain malloc (the allocators under test must not
 * fail inside it) and ends the process when that returns NULL.                                  */
#ifndef PTX_VM_H
#define PTX_VM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- findings ------------------------------------------------------------------------------- */

typedef enum vm_finding {
    VM_UNSUPPORTED,        /* at load: the text has something that the VM does not know */
    VM_OUT_OF_BOUNDS,      /* an access outside every allocation, or past shared or local memory */
    VM_USE_AFTER_FREE,     /* an access to memory given back */
    VM_MISALIGNED,         /* an address that is no multiple of the access size */
    VM_UNDEFINED_MEMORY,   /* a read of memory that nobody wrote */
    VM_UNDEFINED_REGISTER, /* a use of a register that this lane never wrote */
    VM_RACE,               /* two lanes, one location of shared memory, no barrier between */
    VM_ASYNC_NOT_WAITED,   /* the destination of a cp.async, touched before its wait */
    VM_DIVERGENT_BARRIER,  /* a barrier that not every thread reaches */
    VM_MEMBER_MASK,        /* a .sync instruction whose mask is not the lanes that execute it */
    VM_BAD_LAUNCH,         /* a launch that no GPU accepts */
    VM_TRAP,               /* trap, brkpt, or more instructions than the limit */
    VM_FINDING_COUNT
} vm_finding;

const char *vm_finding_name(vm_finding finding);

/* One finding. The same finding of one instruction is kept once per launch and counted. */
typedef struct vm_report {
    vm_finding finding;
    char kernel[128];
    int ptx_line;         /* in the text that was loaded */
    char file[256];       /* source of the kernel; empty without line information */
    int line;             /* the line in the kernel */
    char inner_file[256]; /* where an inlined function was called: the place inside it */
    int inner_line;
    uint32_t block[3]; /* x, y, z */
    uint32_t warp, lane;
    uint64_t address; /* of the first lane at fault; 0 where no memory is concerned */
    uint64_t count;   /* how often */
    char text[256];   /* one sentence */
} vm_report;

size_t vm_report_count(void);
const vm_report *vm_report_at(size_t index); /* valid until vm_report_clear */
void vm_report_clear(void);
void vm_report_quiet(bool quiet); /* do not print findings on stderr as they come */

/* ---- counters ------------------------------------------------------------------------------- */

typedef enum vm_class {
    VM_CLASS_INTEGER,
    VM_CLASS_FLOAT,
    VM_CLASS_SPECIAL, /* ex2, lg2, sin, cos, tanh, rcp, rsqrt, sqrt, div */
    VM_CLASS_CONVERT,
    VM_CLASS_MOVE,
    VM_CLASS_COMPARE,
    VM_CLASS_CONTROL,
    VM_CLASS_GLOBAL,
    VM_CLASS_SHARED,
    VM_CLASS_LOCAL,
    VM_CLASS_CONSTANT, /* parameters and constants */
    VM_CLASS_ATOMIC,
    VM_CLASS_WARP, /* shuffles, votes */
    VM_CLASS_BARRIER,
    VM_CLASS_MATRIX, /* mma */
    VM_CLASS_COUNT
} vm_class;

const char *vm_class_name(vm_class class);

/* Traffic of one direction between a kernel and global memory. A request is one instruction of one
 * warp; it moves whole sectors of 32 bytes. */
typedef struct vm_traffic {
    uint64_t requests;
    uint64_t coalesced; /* requests that move no sector more than their bytes need */
    uint64_t sectors;
    uint64_t bytes;    /* asked for by all lanes */
    uint64_t distinct; /* bytes of memory touched at least once: the least that had to move */
} vm_traffic;

/* Counted over all launches of a kernel since vm_counters_clear. */
typedef struct vm_counters {
    char kernel[128];
    uint64_t launches, blocks;
    uint64_t instructions[VM_CLASS_COUNT]; /* executed by a lane */
    uint64_t warp_instructions;            /* executed by a warp */
    uint64_t mma;                          /* mma instructions, per warp */
    vm_traffic load, store;
    uint64_t shared_requests;   /* per warp */
    uint64_t shared_wavefronts; /* passes that the banks took */
    uint64_t shared_ideal;      /* passes without conflicts; wavefronts / ideal = average ways */
    uint32_t shared_worst_ways; /* of one pass */
    double seconds;             /* of this computer */
} vm_counters;

/* NULL: this kernel was not launched. */
const vm_counters *vm_counters_of(const char *kernel);
size_t vm_counters_count(void);
const vm_counters *vm_counters_at(size_t index);

/* Counted on the side of the host. */
typedef struct vm_host_counters {
    uint64_t launches, graph_launches;
    uint64_t synchronisations; /* stream, event and device, and copies that wait */
    uint64_t allocations, frees, host_allocations;
    uint64_t copies, copied_bytes, sets;
    uint64_t live_bytes, peak_bytes; /* of device memory */
    uint64_t live_graphs;            /* captured or instantiated, and not destroyed */
} vm_host_counters;

const vm_host_counters *vm_host(void);
void vm_counters_clear(void);

/* ---- knobs ---------------------------------------------------------------------------------- */

void vm_set_threads(unsigned threads);        /* that share the blocks of a launch; default 2 */
void vm_set_warp_limit(uint64_t limit);       /* instructions of one warp before VM_TRAP */
void vm_set_device_memory(uint64_t bytes);    /* what cudaMalloc can give out; default 8 GiB */
void vm_set_capability(int major, int minor); /* and its limits; default 9.0 */
/* Libraries load, and no kernel has code for this GPU: known when one is first asked about. */
void vm_lose_images(bool lost);

/* Calls that can fail, by kind. */
typedef enum vm_call {
    VM_CALL_ALLOCATION, /* of memory, the host's too; graphs take one */
    VM_CALL_COPY,       /* and sets */
    VM_CALL_LAUNCH,
    VM_CALL_PRODUCT, /* work of a stand-in library (vm_enqueue_call) */
    VM_CALL_WAIT,    /* for a stream or an event */
    VM_CALL_GRAPH,   /* begin and end of a capture, work queued into one; making and starting a
                        graph */
    VM_CALL_OTHER,   /* devices, streams, events, libraries and their kernels */
    VM_CALL_COUNT
} vm_call;

/* The nth call of a kind from now fails, 0: none, with an error that this kind may give; it does
 * nothing and the next one works. lost: the context goes with it, as after an illegal address, and
 * every call fails until vm_reset, which stands for a new process. A launch or a product is queued
 * then, and the wait behind it tells. */
void vm_fail_call(vm_call kind, uint64_t nth, bool lost);
uint64_t vm_calls(vm_call kind); /* since then */

/* Forget everything: memory, libraries, findings, counters and the sticky error. */
void vm_reset(void);

/* ---- for stand-ins of libraries that work on device memory (cuBLASLt, cuDNN) ---------------- */

/* The bytes of device memory behind an address of the device, for reading or for writing (which
 * makes them defined); NULL, and a finding in the name of `who`, where the access is not allowed.
 */
const void *vm_device_read(const void *device, size_t bytes, const char *who);
void *vm_device_write(void *device, size_t bytes, const char *who);

/* Queue a call in stream order (captured into graphs like a launch); the arguments are copied.
 * `run` gives false when it failed, which becomes the sticky error. stream is a cudaStream_t; the
 * result a cudaError_t. It counts as one launch under the name `who`. */
int vm_enqueue_call(void *stream, const char *who, bool (*run)(const void *arguments),
                    const void *arguments, size_t bytes);

#endif
