/* One instruction at a time: a kernel is written around it as PTX text, it runs over many inputs,
 * and the results are compared with a twin in C. No compiler is needed. */
#ifndef VM_OP_SUPPORT_H
#define VM_OP_SUPPORT_H
#include <stddef.h>
#include <stdint.h>

#define OP_INPUTS 4

/* Runs `body` for thread i with %a = in[0][i], %b = in[1][i], %c, %e, and gives out[i] = %d. The
 * shape names the sizes as in decode.h: "w=hw" has %d of 32 bits, %a of 16 and %b of 32; a
 * predicate input is true where the number is not 0. Unused inputs are NULL. Results are extended
 * by zeros; a predicate gives 0 or 1. With `some` set, threads whose number is a multiple of 3 do
 * not run the body, and give 0xdead. */
void op_run(const char *body, const char *shape, size_t count, const uint64_t *const *in,
            uint64_t *out, int some);

/* The twin computes from 64-bit patterns. */
typedef uint64_t (*op_twin)(uint64_t a, uint64_t b, uint64_t c, uint64_t e);

typedef struct op_case {
    const char *opcode; /* "add.u32": becomes "add.u32 %d, %a, %b;" */
    const char *shape;
    op_twin twin;
} op_case;

/* Edge values of every kind for a size letter of a shape; 0: integers, 1: floating point. */
size_t op_edges(char letter, int floating, uint64_t *values, size_t limit);

/* Runs one case on all pairs of edges and on random numbers, for full and for partial warps, and
 * asserts equality. same(got, wanted) may be NULL: bits must be equal. */
void op_check(const op_case *test, int floating, int (*same)(uint64_t, uint64_t));

#endif
