/* Any processor: vectors of four floats. */
#include "cpu/kernels.h"
#define LEVEL base
static bool supported(void) {
    return true;
}
#include "cpu/isa/kernels.inc"
