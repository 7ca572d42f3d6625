/* x86-64 with AVX2, FMA and F16C (compiled with these flags): vectors of eight floats. */
#include "cpu/kernels.h"
#define LEVEL v3
#define FEW_ROWS 24
static bool supported(void) {
    /* (Every processor with AVX2 has F16C, which older compilers cannot ask for.) */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#include "cpu/isa/kernels.inc"
