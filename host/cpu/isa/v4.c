/* x86-64 with AVX-512 (compiled with these flags): vectors of sixteen floats. */
#include "cpu/kernels.h"
#define LEVEL v4
#define FEW_ROWS 36
static bool supported(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("fma");
}
#include "cpu/isa/kernels.inc"
