/* PTX text: what loads, what is refused with its name and line, and that nothing crashes. */
#include <stdio.h>

#include "fixture_support.h"

START_TEST(runs_the_fixture) {
    cudaLibrary_t library = load_fixture("fixture");
    uint32_t in[100], out[100], i;
    fixture_arguments a = {.n = 100, .which = 3, .bias = 7};

    for (i = 0; i < 100; i++) {
        in[i] = i * i;
    }
    a.in = device_copy(in, sizeof(in));
    a.out = device_alloc(sizeof(out));
    launch_clean(library, "scale", dims(2, 1, 1), dims(64, 1, 1), 0, &a);
    fetch(out, a.out, sizeof(out));
    for (i = 0; i < 100; i++) {
        ck_assert_uint_eq(out[i], i * i * 16 + 7);
    }
    launch_clean(library, "reverse", dims(1, 1, 1), dims(96, 1, 1), 96 * 4, &a);
    fetch(out, a.out, sizeof(out));
    for (i = 0; i < 96; i++) {
        ck_assert_uint_eq(out[i], (95 - i) * (95 - i));
    }
}
END_TEST

START_TEST(initialises_variables) {
    static const unsigned char wanted[11] = {0, 0, 0, 0x3f, 0, 0, 0x20, 0x40, 104, 105, 0};
    fixture_arguments a = {.out = device_alloc(64)};
    unsigned char out[11];

    launch_clean(load_fixture("fixture"), "constants", dims(1, 1, 1), dims(1, 1, 1), 0, &a);
    fetch(out, a.out, sizeof(out));
    ck_assert_mem_eq(out, wanted, sizeof(wanted));
}
END_TEST

static cudaError_t load(const char *text) {
    cudaLibrary_t library = NULL;
    cudaError_t error;

    vm_report_clear();
    error = cudaLibraryLoadData(&library, text, NULL, NULL, 0, NULL, NULL, 0);
    ck_assert((error == cudaSuccess) == (library != NULL));
    ck_assert((error == cudaSuccess) == (vm_report_count() == 0));
    if (library) {
        ck_cuda(cudaLibraryUnload(library));
    }
    return error;
}

/* Every beginning of the fixture: refused, or a whole module by chance. */
START_TEST(survives_truncation) {
    char *text = read_text(VM_FIXTURE_DIR, "fixture");
    size_t length = strlen(text), k;
    int refused = 0;

    vm_report_quiet(true);
    for (k = 0; k < length; k++) {
        char *part = malloc(k + 1); /* of its own size, for the address sanitizer */

        memcpy(part, text, k);
        part[k] = '\0';
        refused += load(part) != cudaSuccess;
        free(part);
    }
    ck_assert_int_gt(refused, (int)length * 8 / 10);
    free(text);
}
END_TEST

/* One byte changed at a time. */
START_TEST(survives_damage) {
    static const char bytes[] = "{};,%.[]9x@\"\x80\n";
    char *text = read_text(VM_FIXTURE_DIR, "fixture");
    size_t length = strlen(text), k;
    uint64_t seed = 3;

    vm_report_quiet(true);
    for (k = 0; k < length; k++) {
        char old = text[k];

        text[k] = bytes[next_random(&seed) % (sizeof(bytes) - 1)];
        load(text);
        text[k] = old;
    }
    free(text);
}
END_TEST

#define HEAD ".version 8.0\n.target sm_80\n.address_size 64\n"
#define BODY(text)                                                                                 \
    HEAD ".visible .entry k(.param .align 8 .b8 p[16])\n{\n.reg .b32 %r<4>; .reg .b64 %d<4>;"      \
         ".reg .pred %p; .reg .b16 %h; .reg .f32 %f;\n" text "\nret;\n}\n"

/* line 0: any */
static const struct {
    const char *text, *message;
    int line;
} refusals[] = {
    {"", "no PTX", 1},
    {"\x7f\x45\x4c\x46", "no PTX", 1},
    {"hello", "no PTX", 1},
    {".version 8.0 .target sm_80 .address_size 32", "64-bit", 1},
    {HEAD ".func f() { ret; }", "functions", 4},
    {HEAD ".visible .entry k() { .reg .b128 %q; ret; }", "b128", 4},
    {HEAD ".global .texref t;", "texref", 4},
    {HEAD ".global .b32 x[2] = {1, 2, 3};", "more initial values", 4},
    {HEAD ".shared .align 3 .b8 s[4];", "power of two", 4},
    {HEAD ".global .b8 huge[99999][99999][99999];", "too large", 4},
    {HEAD "/* a comment without end", "comment", 4},
    {BODY("wgmma.fence.sync.aligned;"), "wgmma.fence.sync.aligned", 7},
    {BODY("nop.weird %r0;"), "nop.weird", 7},
    {BODY("add.u32 %r0, %r1;"), "2 operands where 3", 7},
    {BODY("add.u32 %r0, %r1, %d1;"), "wrong size", 7},
    {BODY("add.u32 %r0, %r1, %unknown;"), "%unknown", 7},
    {BODY("add.u32 %r0, %r1, nowhere;"), "nowhere", 7},
    {BODY("add.u32 5, %r1, %r2;"), "destination", 7},
    {BODY("mov.u32 %r0,\n %clock64;"), "%clock64", 7},
    {BODY("@%r0 bra L; L:"), "no predicate", 7},
    {BODY("bra L;"), "not declared", 7},
    {BODY("ld.global.u32 %r0, %d0;"), "brackets", 7},
    {BODY("ld.global.v4.u32 {%r0, %r1}, [%d0];"), "2 registers where 4", 7},
    {BODY("ld.global.u64 %r0, [%d0];"), "too small", 7},
    {BODY("ld.param.u32 %r0, [p+16];"), "outside", 7},
    {BODY("ld.param.u64 %d0, [p+4];"), "misaligned", 7},
    {BODY("st.param.u32 [p], %r0;"), "only read", 7},
    {BODY("tex.2d.v4.f32.s32 {%r0, %r1, %r2, %r3}, [p, {%r0, %r1}];"), "", 7},
    {BODY("shfl.up.b32 %r0, %r1, 1, 0;"), ".sync", 7},
    {BODY("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%r0}, {%r1}, {%r2}, {%r3};"), "mma", 7},
    {BODY("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r0,%r1,%r2,%r3}, {%r0,%r1}, "
          "{%r0,%r1}, {%r0,%r1,%r2,%r3};"),
     "2 registers where 4", 7},
    {BODY("cp.async.cg.shared.global [%r0], [%d0], 8;"), "copy of 8 bytes", 7},
    {BODY("cvt.s32.f32 %r0, %f;"), "rounding", 7},
    {BODY("atom.global.add.b32 %r0, [%d0], %r1;"), "atom.global.add.b32", 7},
    {BODY("call.uni (%r0), printf, (%r1);"), "printf", 7},
    {BODY("add.u32 %r0, %r1, 12z;"), "'12'", 7},
    {BODY("mov.f32 %f, 0f3F80;"), "0f3F80", 7},
    {BODY("{ { { { .reg .b32 %x;"), "ends", 0},
    {BODY("mov.b32 %r0, {{{{{{%h}}}}}};"), "nested", 7},
    {BODY("setp.eq.u32 %p|%p|%p, %r0, %r1;"), "';'", 7},
    {BODY("setp.eq.u32 %p|_|_, %r0, %r1;"), "';'", 7},
    {BODY("setp.eq.u32 %p|p, %r0, %r1;"), "follow '|'", 7},
    {BODY(".reg .b32 %many<99999999>;"), "too many", 7},
    {BODY("add.sat.ftz.u32 %r0, %r1, %r2;"), "add.sat.ftz.u32", 7},
    {BODY("ld.global.L2::cache_hint.u32 %r0, [%d0], %d1;"), "3 operands", 7},
};

START_TEST(refuses) {
    const vm_report *r;

    vm_report_quiet(true);
    ck_assert_int_eq(load(refusals[_i].text), cudaErrorInvalidPtx);
    r = vm_report_at(0);
    ck_assert_int_eq(r->finding, VM_UNSUPPORTED);
    ck_assert_msg(strstr(r->text, refusals[_i].message) != NULL, "%s", r->text);
    ck_assert_msg(refusals[_i].line == 0 || r->ptx_line == refusals[_i].line, "line %d: %s",
                  r->ptx_line, r->text);
}
END_TEST

START_TEST(bounds_nesting) {
    size_t depth = 1000000, at;
    char *text = malloc(depth + sizeof(HEAD) + 64);

    at = (size_t)sprintf(text, HEAD ".visible .entry k()\n");
    memset(text + at, '{', depth);
    text[at + depth] = '\0';
    vm_report_quiet(true);
    ck_assert_int_eq(load(text), cudaErrorInvalidPtx);
    ck_assert_ptr_nonnull(strstr(vm_report_at(0)->text, "nested too deep"));
    free(text);
}
END_TEST

/* A refused kernel takes the whole module with it, and is named. */
START_TEST(names_the_kernel) {
    vm_report_quiet(true);
    load(BODY("nop.weird;"));
    ck_assert_str_eq(vm_report_at(0)->kernel, "k");
}
END_TEST

/* Odd but legal. */
static const char *const accepted[] = {
    BODY(""),
    BODY("{ .reg.b32 x; mov.b32 x, 5; { .reg .b64 x; mov.u64 x, 1; } add.u32 %r0, x, 1; }"),
    BODY("mov.u32 %r0, 0x1F; mov.u32 %r0, 017; mov.u32 %r0, 0b101; mov.u32 %r0, 7U;"
         "mov.f32 %f, 0f3F800000; mov.f32 %f, 1.5e-3; mov.u32 %r0, -1; mov.u32 %r0, WARP_SZ;"),
    BODY("L: /* a label */ bra M; M: N: bra.uni N;"),
    BODY("{ { bra OUT; } AGAIN: bra AGAIN; } { AGAIN: bra AGAIN; } OUT:"),
    BODY(".pragma \"nounroll\"; // and a comment\n ;;"),
    BODY("ld.global.L1::no_allocate.L2::128B.u32 %r0, [%d0+-8]; ld.volatile.global.u8 %h, [%d0];"
         "ld.relaxed.gpu.global.u32 %r0, [%d0]; st.global.wb.u32 [%d0-4], 5;"),
    BODY("mov.u32 %r0, %laneid; mov.u32 %r1, %lanemask_lt; mov.u32 %r2, %clock; mov.u64 %d0, "
         "%globaltimer; add.u32 %r0, %nctaid.x, %ctaid.z;"),
    HEAD ".global .align 16 .v4 .f32 v[2] = {{0f00000000, 1.0, 2.0, 3.0}, {4, 5, 6, 7}};"
         ".visible .entry none() { ret; }",
    HEAD ".section .debug_info { .b8 1,2,3 \n .b32 .debug_str+5 { nested } }",
};

START_TEST(accepts) {
    ck_assert_msg(load(accepted[_i]) == cudaSuccess, "%s", accepted[_i]);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_parser");
    TCase *tcase = tcase_create("text");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, runs_the_fixture);
    tcase_add_test(tcase, initialises_variables);
    tcase_add_test(tcase, survives_truncation);
    tcase_add_test(tcase, survives_damage);
    tcase_add_loop_test(tcase, refuses, 0, sizeof(refusals) / sizeof(*refusals));
    tcase_add_test(tcase, bounds_nesting);
    tcase_add_test(tcase, names_the_kernel);
    tcase_add_loop_test(tcase, accepts, 0, sizeof(accepted) / sizeof(*accepted));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
