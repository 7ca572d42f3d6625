/* Any processor: vectors of four floats. */
#include "cpu/kernels.h"
#define LEVEL base
#define FEW_ROWS 3
static bool supported(void) {
    return true;
}
#include "cpu/isa/kernels.inc"
