/* Every checker on a kernel with one planted mistake, which must be found with its place, and on
 * the same kernel without it, where nothing may be found. */
#include <stdio.h>

#include "test_support.h"

enum { N = 256, ANY = -1 };

static const struct {
    const char *kernel;
    vm_finding finding;
    unsigned blocks, threads, shared;
    int block, warp, lane; /* of the first fault */
    cudaError_t error;
} bugs[] = {
    {"past_the_end", VM_OUT_OF_BOUNDS, 3, 96, 0, 2, 2, 0, cudaErrorIllegalAddress},
    {"reads_past_the_end", VM_OUT_OF_BOUNDS, 1, 64, 0, 0, 1, 5, cudaErrorIllegalAddress},
    {"null_pointer", VM_OUT_OF_BOUNDS, 1, 32, 0, 0, 0, 0, cudaErrorIllegalAddress},
    {"past_shared", VM_OUT_OF_BOUNDS, 1, 64, 256, 0, 1, 8, cudaErrorIllegalAddress},
    {"past_local", VM_OUT_OF_BOUNDS, 1, 32, 0, 0, 0, 3, cudaErrorIllegalAddress},
    {"misaligned", VM_MISALIGNED, 1, 32, 0, 0, 0, 0, cudaErrorMisalignedAddress},
    {"misaligned_shared", VM_MISALIGNED, 1, 32, 0, 0, 0, 1, cudaErrorMisalignedAddress},
    {"unwritten_global", VM_UNDEFINED_MEMORY, 1, 64, 0, 0, 0, 9, cudaErrorLaunchFailure},
    {"unwritten_shared", VM_UNDEFINED_MEMORY, 1, 64, 0, 0, 0, 13, cudaErrorLaunchFailure},
    {"unwritten_local", VM_UNDEFINED_MEMORY, 1, 32, 0, 0, 0, 0, cudaErrorLaunchFailure},
    {"race_read_after_write", VM_RACE, 1, 64, 0, 0, 1, 0, cudaErrorLaunchFailure},
    {"race_write_after_read", VM_RACE, 1, 64, 0, 0, ANY, ANY, cudaErrorLaunchFailure},
    {"race_write_after_write", VM_RACE, 1, 64, 0, 0, 1, 0, cudaErrorLaunchFailure},
    {"race_in_a_warp", VM_RACE, 1, 32, 0, 0, 0, 0, cudaErrorLaunchFailure},
    {"race_at_once", VM_RACE, 1, 32, 0, 0, 0, ANY, cudaErrorLaunchFailure},
    {"race_with_other_readers", VM_RACE, 1, 32, 0, 0, 0, 0, cudaErrorLaunchFailure},
    {"race_with_first_readers", VM_RACE, 1, 32, 0, 0, 0, 31, cudaErrorLaunchFailure},
    {"race_with_atomic", VM_RACE, 1, 64, 0, 0, 0, 1, cudaErrorLaunchFailure},
    {"barrier_in_a_branch", VM_DIVERGENT_BARRIER, 2, 64, 0, ANY, 1, 8, cudaErrorLaunchFailure},
    {"barrier_missed_by_a_warp", VM_DIVERGENT_BARRIER, 1, 96, 0, 0, 0, 0, cudaErrorLaunchFailure},
    {"wrong_mask", VM_MEMBER_MASK, 1, 64, 0, 0, 0, 0, cudaErrorLaunchFailure},
    {"not_in_own_mask", VM_MEMBER_MASK, 1, 32, 0, 0, 0, 31, cudaErrorLaunchFailure},
    {"reads_an_absent_lane", VM_MEMBER_MASK, 1, 32, 0, 0, 0, 0, cudaErrorLaunchFailure},
    {"forgets_to_wait", VM_ASYNC_NOT_WAITED, 1, 32, 0, 0, 0, 0, cudaErrorLaunchFailure},
    {"waits_for_too_few", VM_ASYNC_NOT_WAITED, 1, 32, 0, 0, 0, 0, cudaErrorLaunchFailure},
    {"waits_without_barrier", VM_RACE, 1, 64, 0, 0, ANY, ANY, cudaErrorLaunchFailure},
    {"trapped", VM_TRAP, 1, 64, 0, 0, 1, 1, cudaErrorLaunchTimeout},
    {"endless", VM_TRAP, 1, 32, 0, 0, 0, 0, cudaErrorLaunchTimeout},
    {"inlined", VM_OUT_OF_BOUNDS, 1, 32, 0, 0, 0, 0, cudaErrorIllegalAddress},
};

/* The number of the line that ends in "// MARK name". */
static int marked_line(const char *name) {
    char path[1024], line[512], mark[128];
    FILE *file;
    int number = 0, found = 0;

    snprintf(path, sizeof(path), "%s/bugs.cu", VM_FIXTURE_DIR);
    snprintf(mark, sizeof(mark), "// MARK %s\n", name);
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof(line), file)) {
        const char *at = strstr(line, mark);

        number++;
        found = at ? number : found;
    }
    fclose(file);
    ck_assert_int_gt(found, 0);
    return found;
}

static vm_bug arguments(int bug) {
    float *zeros = calloc(N, sizeof(*zeros));
    vm_bug b = {.n = N, .bug = bug};

    b.in = device_copy(zeros, N * sizeof(*zeros));
    b.out = device_alloc(N * sizeof(*zeros));
    b.scratch = device_alloc(N * sizeof(*zeros));
    free(zeros);
    return b;
}

/* A missing barrier shows in several ways (the other side is not written yet, both sides race): the
 * one at the mark must be among them, and none may be elsewhere. */
static const vm_report *report_at_mark(const char *kernel, vm_finding finding) {
    const vm_report *found = NULL;
    size_t i;

    for (i = 0; i < vm_report_count(); i++) {
        const vm_report *r = vm_report_at(i);

        ck_assert_str_eq(r->kernel, kernel);
        if (r->finding == finding && r->line == marked_line(kernel)) {
            found = r;
        } else {
            ck_assert_msg(
                finding == VM_RACE && (r->finding == VM_RACE || r->finding == VM_UNDEFINED_MEMORY),
                "%s, line %d (expected %d): %s", kernel, r->line, marked_line(kernel), r->text);
        }
    }
    ck_assert_msg(found != NULL, "%s: nothing at line %d", kernel, marked_line(kernel));
    return found;
}

START_TEST(finds_the_bug) {
    cudaLibrary_t library = load_compiled("bugs");
    vm_bug b = arguments(1);
    const vm_report *r;
    cudaError_t error;

    vm_report_quiet(true);
    vm_set_threads(1);
    vm_set_warp_limit(100000);
    error = launch(library, bugs[_i].kernel, dims(bugs[_i].blocks, 1, 1),
                   dims(bugs[_i].threads, 1, 1), bugs[_i].shared, &b);
    ck_assert_int_eq(error, bugs[_i].error);
    r = report_at_mark(bugs[_i].kernel, bugs[_i].finding);
    ck_assert_ptr_nonnull(strstr(r->file, "bugs.cu"));
    ck_assert_int_gt(r->ptx_line, 0);
    ck_assert(bugs[_i].block == ANY || (int)r->block[0] == bugs[_i].block);
    ck_assert_msg(bugs[_i].warp == ANY || (int)r->warp == bugs[_i].warp, "%s: warp %u",
                  bugs[_i].kernel, r->warp);
    ck_assert_msg(bugs[_i].lane == ANY || (int)r->lane == bugs[_i].lane, "%s: lane %u",
                  bugs[_i].kernel, r->lane);
    /* The error sticks. */
    ck_assert_int_eq(cudaStreamSynchronize(NULL), bugs[_i].error);
    ck_assert_int_eq(cudaGetLastError(), bugs[_i].error);
    ck_assert_int_eq(cudaGetLastError(), bugs[_i].error);
}
END_TEST

START_TEST(passes_the_clean_twin) {
    cudaLibrary_t library = load_compiled("bugs");
    vm_bug b = arguments(0);

    launch_clean(library, bugs[_i].kernel, dims(bugs[_i].blocks, 1, 1),
                 dims(bugs[_i].threads, 1, 1), bugs[_i].shared, &b);
}
END_TEST

START_TEST(names_the_inner_line) {
    cudaLibrary_t library = load_compiled("bugs");
    vm_bug b = arguments(1);

    vm_report_quiet(true);
    launch(library, "inlined", dims(1, 1, 1), dims(32, 1, 1), 0, &b);
    ck_assert_int_eq(vm_report_at(0)->inner_line, marked_line("inner"));
    ck_assert_uint_eq(vm_report_at(0)->address, (uint64_t)(uintptr_t)(b.in + 1000000));
    ck_assert_uint_eq(vm_report_at(0)->count, 32);
}
END_TEST

/* What a GPU does with a stray write is anybody's guess; here nothing else is touched. */
START_TEST(keeps_neighbours_whole) {
    cudaLibrary_t library = load_compiled("bugs");
    vm_bug b = arguments(1);
    float scratch[N], *other = device_alloc(sizeof(scratch));

    vm_report_quiet(true);
    ck_cuda(cudaMemset(other, 0, sizeof(scratch)));
    launch(library, "past_the_end", dims(100, 1, 1), dims(96, 1, 1), 0, &b);
    vm_report_clear();
    ck_assert_int_eq(cudaMemcpy(scratch, other, sizeof(scratch), cudaMemcpyDeviceToHost),
                     cudaErrorIllegalAddress);
}
END_TEST

/* ---- hand-written PTX: what nvcc does not write --------------------------------------------- */

static const char frame[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k(.param .align 8 .b8 p[16])\n"
    "{\n.reg .pred %%p<4>; .reg .b32 %%r<8>; .reg .b64 %%d<4>;\nld.param.u64 %%d0, [p];\n"
    "mov.u32 %%r0, %%tid.x;\n%s\nst.global.u32 [%%d0], %%r1;\nret;\n}\n";

static size_t found_in(const char *body, unsigned threads) {
    struct {
        void *out;
        uint64_t unused;
    } a = {device_alloc(64), 0};
    char text[2048];

    snprintf(text, sizeof(text), frame, body);
    vm_report_quiet(true);
    vm_report_clear();
    launch(load_text(text), "k", dims(1, 1, 1), dims(threads, 1, 1), 0, &a);
    return vm_report_count();
}

START_TEST(finds_unwritten_registers) {
    ck_assert_uint_eq(found_in("setp.lt.u32 %p0, %r0, 7; @%p0 mov.u32 %r2, 3;\n"
                               "@%p0 add.u32 %r1, %r2, 1; @!%p0 mov.u32 %r1, 0;",
                               32),
                      0);
    ck_assert_uint_eq(found_in("setp.lt.u32 %p0, %r0, 7; @%p0 mov.u32 %r2, 3;\n"
                               "add.u32 %r1, %r2, 1;",
                               32),
                      1);
    ck_assert_int_eq(vm_report_at(0)->finding, VM_UNDEFINED_REGISTER);
    ck_assert_int_eq(vm_report_at(0)->ptx_line, 10);
    ck_assert_uint_eq(vm_report_at(0)->lane, 7);
    ck_assert_uint_eq(vm_report_at(0)->count, 25);
}
END_TEST

/* Copying is no use, using the copy is. */
START_TEST(follows_copies_of_unwritten_registers) {
    ck_assert_uint_eq(found_in("mov.u32 %r3, %r2; mov.u32 %r1, 5;", 32), 0);
    ck_assert_uint_eq(found_in("mov.u32 %r3, %r2;\nadd.u32 %r1, %r3, 5;", 32), 1);
    ck_assert_int_eq(vm_report_at(0)->ptx_line, 10);
}
END_TEST

START_TEST(finds_unwritten_predicates) {
    ck_assert_uint_eq(found_in("mov.u32 %r1, 0;\n@%p1 mov.u32 %r1, 1;", 32), 1);
    ck_assert_int_eq(vm_report_at(0)->finding, VM_UNDEFINED_REGISTER);
    ck_assert_int_eq(vm_report_at(0)->ptx_line, 10);
}
END_TEST

START_TEST(wants_the_whole_warp_for_matrices) {
    ck_assert_uint_eq(found_in("mov.u32 %r1, 0; setp.eq.u32 %p0, %r0, 4; @%p0 bra OUT;\n"
                               "mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%r1, %r2}, "
                               "{%r1, %r1}, {%r1}, {%r1, %r1};\nOUT:",
                               32),
                      1);
    ck_assert_int_eq(vm_report_at(0)->finding, VM_MEMBER_MASK);
}
END_TEST

/* Two warps at two different barriers never meet, although each waits at barrier 0. */
START_TEST(tells_barriers_apart) {
    ck_assert_uint_eq(found_in("mov.u32 %r1, 0; setp.lt.u32 %p0, %r0, 32; @%p0 bra LOW;\n"
                               "bar.sync 0;\nbra OUT;\nLOW: bar.sync 0;\nOUT:",
                               64),
                      1);
    ck_assert_int_eq(vm_report_at(0)->finding, VM_DIVERGENT_BARRIER);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_checkers");
    TCase *tcase = tcase_create("checkers");
    int count = (int)(sizeof(bugs) / sizeof(*bugs));

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, finds_the_bug, 0, count);
    tcase_add_loop_test(tcase, passes_the_clean_twin, 0, count);
    tcase_add_test(tcase, names_the_inner_line);
    tcase_add_test(tcase, keeps_neighbours_whole);
    tcase_add_test(tcase, finds_unwritten_registers);
    tcase_add_test(tcase, follows_copies_of_unwritten_registers);
    tcase_add_test(tcase, finds_unwritten_predicates);
    tcase_add_test(tcase, wants_the_whole_warp_for_matrices);
    tcase_add_test(tcase, tells_barriers_apart);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
