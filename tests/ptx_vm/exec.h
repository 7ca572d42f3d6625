/* Helpers of the functions that execute instructions (exec_*.c), and the lists by which decode.c
 * finds them. */
#ifndef VM_EXEC_H
#define VM_EXEC_H
#include "decode.h"
#include "machine.h"

/* Iterations of the loop that follows do not depend on each other (rows may be the same row). */
#if defined(__clang__)
#define VM_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define VM_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Do something for lane i of mask. The full warp, which is the usual case, becomes vector code. */
#define VM_EACH_LANE(...)                                                                          \
    do {                                                                                           \
        if (mask == VM_ALL) {                                                                      \
            VM_INDEPENDENT                                                                         \
            for (uint32_t i = 0; i < VM_LANES; i++) {                                              \
                __VA_ARGS__;                                                                       \
            }                                                                                      \
        } else {                                                                                   \
            VM_INDEPENDENT                                                                         \
            for (uint32_t i = 0; i < VM_LANES; i++) {                                              \
                if (mask >> i & 1) {                                                               \
                    __VA_ARGS__;                                                                   \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    } while (0)

/* Functions d = f(a), f(a, b), f(a, b, c) with rows of types R (result) and A, B, C. */
#define VM_OP1(name, R, A, expression)                                                             \
    static void name(vm_warp *w, const vm_instr *in, uint32_t mask) {                              \
        R *d = vm_row(w, in->ref[0]);                                                              \
        const A *a = vm_row(w, in->ref[1]);                                                        \
        VM_EACH_LANE(d[i] = (R)(expression));                                                      \
    }
#define VM_OP2(name, R, A, B, expression)                                                          \
    static void name(vm_warp *w, const vm_instr *in, uint32_t mask) {                              \
        R *d = vm_row(w, in->ref[0]);                                                              \
        const A *a = vm_row(w, in->ref[1]);                                                        \
        const B *b = vm_row(w, in->ref[2]);                                                        \
        VM_EACH_LANE(d[i] = (R)(expression));                                                      \
    }
#define VM_OP3(name, R, A, B, C, expression)                                                       \
    static void name(vm_warp *w, const vm_instr *in, uint32_t mask) {                              \
        R *d = vm_row(w, in->ref[0]);                                                              \
        const A *a = vm_row(w, in->ref[1]);                                                        \
        const B *b = vm_row(w, in->ref[2]);                                                        \
        const C *c = vm_row(w, in->ref[3]);                                                        \
        VM_EACH_LANE(d[i] = (R)(expression));                                                      \
    }

/* Whether the lanes that execute a .sync instruction are those that each of them names. A lane that
 * exited may be named. Reports and gives false otherwise. */
bool vm_check_members(vm_warp *w, const vm_instr *in, uint32_t mask, const uint32_t *members);
/* The same for instructions that all 32 lanes must execute. */
bool vm_check_whole(vm_warp *w, const vm_instr *in, uint32_t mask);

/* The bits of new where mask has them, of old elsewhere. */
static inline uint32_t vm_merge(uint32_t old, uint32_t new, uint32_t mask) {
    return (old & ~mask) | (new &mask);
}

#endif
