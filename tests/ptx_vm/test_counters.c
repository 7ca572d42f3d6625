/* Counts of accesses whose cost one can work out by hand. */
#include "test_support.h"

static cudaLibrary_t library;
static vm_stride s;

static const vm_counters *run(const char *kernel, unsigned blocks, unsigned threads, size_t shared,
                              int stride, int shift) {
    size_t bytes = 1 << 20;

    library = load_compiled("counters");
    s = (vm_stride){device_alloc(bytes), device_alloc(bytes), stride, shift};
    ck_cuda(cudaMemset((void *)(uintptr_t)s.in, 0, bytes));
    vm_counters_clear();
    launch_clean(library, kernel, dims(blocks, 1, 1), dims(threads, 1, 1), shared, &s);
    return vm_counters_of(kernel);
}

/* Per warp of 32 floats: 4 sectors in a row, one more when shifted, 8 with every second float, 32
 * from 8 floats apart, 1 when all read the same. */
START_TEST(counts_sectors) {
    static const struct {
        int stride, shift, sectors, distinct, coalesced;
    } cases[] = {{1, 0, 4, 1024 * 4, 1}, {1, 1, 5, 1024 * 4, 0},    {1, 8, 4, 1024 * 4, 1},
                 {2, 0, 8, 1024 * 4, 0}, {8, 0, 32, 1024 * 4, 0},   {100, 0, 32, 1024 * 4, 0},
                 {0, 5, 1, 4, 1},        {-1, 1023, 4, 1024 * 4, 1}};
    const vm_counters *c = run("strided", 4, 256, 0, cases[_i].stride, cases[_i].shift);

    ck_assert_uint_eq(c->launches, 1);
    ck_assert_uint_eq(c->blocks, 4);
    ck_assert_uint_eq(c->load.requests, 32);
    ck_assert_uint_eq(c->load.bytes, 4096);
    ck_assert_int_eq((int)c->load.sectors, 32 * cases[_i].sectors);
    ck_assert_int_eq((int)c->load.distinct, cases[_i].distinct);
    ck_assert_int_eq((int)c->load.coalesced, 32 * cases[_i].coalesced);
    ck_assert_uint_eq(c->store.requests, 32);
    ck_assert_uint_eq(c->store.sectors, 128);
    ck_assert_uint_eq(c->store.coalesced, 32);
    ck_assert_uint_eq(c->store.distinct, 4096);
    ck_assert_uint_eq(c->instructions[VM_CLASS_GLOBAL], 2048);
}
END_TEST

START_TEST(counts_wide_accesses) {
    const vm_counters *c = run("wide", 2, 64, 0, 1 + _i, 0);

    ck_assert_uint_eq(c->load.requests, 4);
    ck_assert_uint_eq(c->load.bytes, 2048);
    ck_assert_int_eq((int)c->load.sectors, 4 * (_i ? 32 : 16));
    ck_assert_int_eq((int)c->load.coalesced, _i ? 0 : 4);
    ck_assert_uint_eq(c->store.sectors, 64);
}
END_TEST

/* Two requests, the store and the load. Stride n meets gcd(n, 32) lanes in one bank. */
START_TEST(counts_bank_conflicts) {
    static const int cases[][2] = {{1, 1}, {2, 2},   {3, 1},  {4, 4},
                                   {8, 8}, {32, 32}, {33, 1}, {48, 16}};
    const vm_counters *c = run("banks", 1, 32, 32 * 4 * 50, cases[_i][0], 0);

    ck_assert_uint_eq(c->shared_requests, 2);
    ck_assert_uint_eq(c->shared_ideal, 2);
    ck_assert_int_eq((int)c->shared_wavefronts, 2 * cases[_i][1]);
    ck_assert_int_eq((int)c->shared_worst_ways, cases[_i][1]);
}
END_TEST

/* 16 bytes a lane take four passes of 8 lanes. The load is of one word only: one pass. */
START_TEST(counts_wide_bank_conflicts) {
    static const int cases[][3] = {{1, 4, 4}, {2, 8, 8}, {8, 32, 32}, {9, 4, 4}};
    const vm_counters *c = run("wide_banks", 1, 32, 32 * 16 * 10, cases[_i][0], 0);

    ck_assert_uint_eq(c->shared_ideal, 4 + 1);
    ck_assert_int_eq((int)c->shared_wavefronts, cases[_i][1] + cases[_i][2]);
}
END_TEST

/* Rows of an ldmatrix: 16 bytes apart is ideal, 128 puts all eight rows into the same banks. */
START_TEST(counts_conflicts_of_matrices) {
    static const int cases[][2] = {{16, 1}, {32, 2}, {64, 4}, {128, 8}, {144, 1}};
    const vm_counters *c = run("matrix_banks", 1, 32, (size_t)(32 * cases[_i][0]), cases[_i][0], 0);
    uint64_t stores = (uint64_t)(32 * cases[_i][0] / 16 / 32) * 4;

    ck_assert_uint_eq(c->shared_ideal, stores + 4);
    ck_assert_uint_eq(c->shared_wavefronts, stores + 4 * (uint64_t)cases[_i][1]);
}
END_TEST

/* The GEMM of matrix.cu is free of conflicts and reads with full sectors. */
START_TEST(counts_a_gemm) {
    vm_gemm g = {device_alloc(256 * 128 * 2),
                 device_alloc(128 * 128 * 2),
                 device_alloc(256 * 128 * 4),
                 256,
                 128,
                 128};
    const vm_counters *c;

    ck_cuda(cudaMemset((void *)(uintptr_t)g.a, 0, 256 * 128 * 2));
    ck_cuda(cudaMemset((void *)(uintptr_t)g.b, 0, 128 * 128 * 2));
    vm_counters_clear();
    launch_clean(load_compiled("matrix"), "gemm", dims(1, 2, 1), dims(256, 1, 1), 0, &g);
    c = vm_counters_of("gemm");
    ck_assert_uint_eq(c->mma, 256 / 16 * (128 / 8) * (128 / 16));
    ck_assert_uint_eq(c->shared_wavefronts, c->shared_ideal);
    ck_assert_uint_eq(c->load.coalesced, c->load.requests);
    ck_assert_uint_eq(c->load.distinct, (256 + 128) * 128 * 2);
    ck_assert_uint_eq(c->load.bytes, (256 + 2 * 128) * 128 * 2); /* b is read by both blocks */
    ck_assert_uint_eq(c->store.distinct, 256 * 128 * 4);
}
END_TEST

START_TEST(adds_up_over_launches_and_threads) {
    const vm_counters *c;
    uint64_t warp_instructions;

    vm_set_threads(1);
    c = run("strided", 16, 256, 0, 1, 0);
    warp_instructions = c->warp_instructions;
    ck_assert_uint_gt(warp_instructions, 0);
    vm_set_threads(4);
    launch_clean(library, "strided", dims(16, 1, 1), dims(256, 1, 1), 0, &s);
    ck_assert_uint_eq(c->launches, 2);
    ck_assert_uint_eq(c->warp_instructions, 2 * warp_instructions);
    ck_assert_uint_eq(c->load.distinct, 2 * 4096 * 4);
    ck_assert_uint_eq(vm_counters_count(), 1);
    ck_assert_ptr_null(vm_counters_of("nobody"));
    vm_counters_clear();
    ck_assert_uint_eq(vm_counters_count(), 0);
}
END_TEST

START_TEST(counts_the_host) {
    uint64_t live = vm_host()->live_bytes;
    void *a = device_alloc(1000), *b = device_alloc(500);

    ck_assert_uint_eq(vm_host()->allocations, 2);
    ck_assert_uint_eq(vm_host()->live_bytes, live + 1500);
    ck_cuda(cudaFree(a));
    ck_cuda(cudaFree(b));
    ck_assert_uint_eq(vm_host()->frees, 2);
    ck_assert_uint_eq(vm_host()->live_bytes, live);
    ck_assert_uint_eq(vm_host()->peak_bytes, live + 1500);
    ck_assert_uint_eq(vm_host()->synchronisations, 0);
    ck_cuda(cudaStreamSynchronize(NULL));
    ck_assert_uint_eq(vm_host()->synchronisations, 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_counters");
    TCase *tcase = tcase_create("counters");

    tcase_add_loop_test(tcase, counts_sectors, 0, 8);
    tcase_add_loop_test(tcase, counts_wide_accesses, 0, 2);
    tcase_add_loop_test(tcase, counts_bank_conflicts, 0, 8);
    tcase_add_loop_test(tcase, counts_wide_bank_conflicts, 0, 4);
    tcase_add_loop_test(tcase, counts_conflicts_of_matrices, 0, 5);
    tcase_add_test(tcase, counts_a_gemm);
    tcase_add_test(tcase, adds_up_over_launches_and_threads);
    tcase_add_test(tcase, counts_the_host);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
