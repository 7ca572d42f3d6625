/* In place of kernels.c in a build without CUDA. */
#include "bench.h"

int kernels_main(int argc, char **argv) {
    (void)argc;
    return bench_complain("%s: this build has no CUDA device to measure; configure it with "
                          "-DBLIP2_CUDA=ON",
                          argv[0]);
}
