/* How fast the VM is: thread-instructions per second of kernels of several kinds, on one thread.
 * Not a test; run it by hand: ptx_vm_speed [threads] */
#include <stdio.h>

#include "test_support.h"

static void show(const char *what, const char *kernel) {
    const vm_counters *c = vm_counters_of(kernel);
    uint64_t total = 0;
    int i;

    for (i = 0; i < VM_CLASS_COUNT; i++) {
        total += c->instructions[i];
    }
    printf("%-28s %8.1f M instructions %7.3f s %8.1f M/s", what, (double)total * 1e-6, c->seconds,
           (double)total * 1e-6 / c->seconds);
    if (c->mma) {
        printf(" %7.1f k mma/s", (double)c->mma * 1e-3 / c->seconds);
    }
    printf("\n");
    vm_counters_clear();
}

static void *zeros(size_t bytes) {
    void *memory = device_alloc(bytes);

    ck_cuda(cudaMemset(memory, 0, bytes));
    return memory;
}

static unsigned threads = 1;

START_TEST(speed) {
    cudaLibrary_t simple = load_compiled("simple"), matrix = load_compiled("matrix");
    cudaLibrary_t attention = load_compiled("attention");
    int n = 1 << 20;
    vm_vectors v = {zeros(4 << 20), zeros(4 << 20), zeros(4 << 20), n, 0.5f};
    vm_matrix m = {zeros(4 << 20), zeros(4 << 20), 1024, 1024};
    vm_gemm g = {zeros(512 * 512 * 2), zeros(512 * 512 * 2), zeros(512 * 512 * 4), 512, 512, 512};
    vm_attention p = {zeros(1024 * 128),
                      zeros(1024 * 128),
                      zeros(1024 * 128),
                      zeros(1024 * 128),
                      256,
                      256,
                      0.125f,
                      0};

    vm_set_threads(threads);
    launch_clean(simple, "vector_add", dims(4096, 1, 1), dims(256, 1, 1), 0, &v);
    show("vector_add 1M", "vector_add");
    launch_clean(simple, "vector_loop", dims(256, 1, 1), dims(256, 1, 1), 0, &v);
    show("vector_loop 1M x 100", "vector_loop");
    launch_clean(simple, "row_sums", dims(1024, 1, 1), dims(256, 1, 1), 0, &m);
    show("row_sums 1024 x 1024", "row_sums");
    launch_clean(simple, "transpose", dims(32, 32, 1), dims(32, 8, 1), 0, &m);
    show("transpose 1024 x 1024", "transpose");
    launch_clean(matrix, "gemm", dims(4, 4, 1), dims(256, 1, 1), 0, &g);
    show("gemm 512^3 f16", "gemm");
    launch_clean(attention, "attention", dims(4, 4, 1), dims(128, 1, 1), 3 * 64 * 128, &p);
    show("attention 4 x 256 x 256 x 64", "attention");
    fflush(stdout);
}
END_TEST

int main(int argc, char **argv) { /* a suite, since the helpers assert */
    Suite *suite = suite_create("ptx_vm_speed");
    TCase *tcase = tcase_create("kernels");

    threads = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
    tcase_set_timeout(tcase, 0);
    tcase_add_test(tcase, speed);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
