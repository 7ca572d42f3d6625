/* The graph of a kernel's basic blocks, shared by the two files that work on it. */
#ifndef VM_FLOW_H
#define VM_FLOW_H
#include "machine.h"

typedef struct flow_block {
    uint32_t first, end; /* instructions */
    uint32_t *next;      /* blocks that may follow */
    uint32_t next_count;
    uint32_t order;            /* number in the walk of the reversed graph */
    uint32_t meet;             /* immediate post-dominator; EXIT */
    uint64_t *in, *out, *kill; /* registers, one bit each; `in` starts as what is used first */
} flow_block;

typedef struct flow {
    vm_kernel *kernel;
    const uint8_t *widths;
    uint32_t registers, words; /* words of 64 bits for one set */
    flow_block *blocks;
    uint32_t count;
    uint32_t *block_of; /* per instruction */
    uint32_t *lists;    /* storage of next */
    uint64_t *sets;     /* storage of in, out, kill */
} flow;

/* Liveness, the registers that may be read unwritten, and rows for all: flow_registers.c. */
void vm_flow_registers(flow *f);

#endif
