/* Numbers of 16 bits by the definition of their formats, without any trick: the twin of half.h. */
#ifndef VM_HALF_TWIN_H
#define VM_HALF_TWIN_H
#include <stdint.h>

enum { TO_NEAREST, TO_ZERO, TO_DOWN, TO_UP };

double half_value(uint64_t bits, int brain); /* brain 0: f16, 1: bf16 */

/* x rounded to the format. It is found by bisection over the positive numbers, which are ordered by
 * their bits; past half a step above the largest number lies infinity. NaN gives 0x7fff. */
uint64_t half_round(double x, int brain, int mode);

#endif
