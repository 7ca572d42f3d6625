/* Diverging and meeting again, and barriers. */
#include <stdio.h>

#include "kernels/control_functions.h"
#include "op_support.h"
#include "test_support.h"

enum { COUNT = 4000 };
static uint32_t in[COUNT], out[COUNT];

static uint32_t mixed(uint32_t x) {
    uint32_t y = 0, k;

    for (k = 0; k < x % 20; k++) {
        y += k % 3 == 0 ? nested(x + k) : k % 3 == 1 ? searches(x ^ k) : returns_early(x * k);
    }
    return y;
}

static uint32_t (*const functions[])(uint32_t) = {collatz,  nested, searches, returns_early,
                                                  switches, sorts,  mixed};

START_TEST(follows_every_lane) {
    cudaLibrary_t library = load_compiled("control");
    vm_control c = {NULL, device_alloc(sizeof(out)), COUNT, (uint32_t)_i};
    uint64_t seed = 55;
    int i;

    for (i = 0; i < COUNT; i++) {
        in[i] = i % 2 ? (uint32_t)i : (uint32_t)(next_random(&seed) % 100000);
    }
    c.in = device_copy(in, sizeof(in));
    launch_clean(library, "control", dims(COUNT / 256 + 1, 1, 1), dims(256, 1, 1), 0, &c);
    fetch(out, c.out, sizeof(out));
    for (i = 0; i < COUNT; i++) {
        ck_assert_msg(out[i] == functions[_i](in[i]), "function %d of %u: %u, expected %u", _i,
                      in[i], out[i], functions[_i](in[i]));
    }
}
END_TEST

START_TEST(meets_at_barriers) {
    cudaLibrary_t library = load_compiled("control");
    uint32_t threads = _i ? 1024 : 96, i, sum = 0;
    vm_control c = {NULL, device_alloc(sizeof(out)), COUNT, 0};

    for (i = 0; i < COUNT; i++) {
        in[i] = i * 7 % 13;
    }
    c.in = device_copy(in, sizeof(in));
    launch_clean(library, "prefix_sum", dims(3, 1, 1), dims(threads, 1, 1), threads * 4, &c);
    fetch(out, c.out, threads * 3 * 4);
    for (i = 0; i < threads * 3; i++) {
        sum = i % threads ? sum + in[i] : in[i];
        ck_assert_uint_eq(out[i], sum);
    }
}
END_TEST

START_TEST(counts_at_barriers) {
    cudaLibrary_t library = load_compiled("control");
    vm_control c = {NULL, device_alloc(sizeof(out)), 150, 77};
    uint32_t i, k;

    for (i = 0; i < 300; i++) {
        in[i] = i % 200;
    }
    c.in = device_copy(in, sizeof(in));
    launch_clean(library, "counts", dims(3, 1, 1), dims(100, 1, 1), 0, &c);
    fetch(out, c.out, 300 * 4);
    for (i = 0; i < 300; i++) {
        uint32_t n = 0, all = 1, some = 0;

        for (k = i / 100 * 100; k < i / 100 * 100 + 100; k++) {
            n += in[k] % 3 == 0;
            all &= in[k] < 150;
            some |= in[k] == 77;
        }
        ck_assert_uint_eq(out[i], n * 4 + all * 2 + some);
    }
}
END_TEST

/* Named barriers: one warp produces, the other consumes, each waiting only where it must. */
static const char producer_text[] =
    ".version 8.0\n.target sm_80\n.address_size 64\n"
    ".visible .entry pass(.param .align 8 .b8 p[8])\n{\n"
    ".reg .b64 %out, %at; .reg .b32 %t, %x, %i, %s; .reg .pred %q;\n"
    ".shared .align 4 .b8 box[128];\n"
    "ld.param.u64 %out, [p];\nmov.u32 %t, %tid.x;\nand.b32 %x, %t, 31;\nshl.b32 %s, %x, 2;\n"
    "mov.u32 %i, box;\nadd.u32 %s, %s, %i;\nmov.u32 %i, 0;\nsetp.ge.u32 %q, %t, 32;\n"
    "@%q bra CONSUMER;\n"
    "PRODUCER:\nbar.sync 2, 64;\nmad.lo.u32 %x, %i, 100, %t;\nst.shared.u32 [%s], %x;\n"
    "bar.arrive 1, 64;\nadd.u32 %i, %i, 1;\nsetp.lt.u32 %q, %i, 10;\n@%q bra PRODUCER;\nret;\n"
    "CONSUMER:\nbar.arrive 2, 64;\nbar.sync 1, 64;\nld.shared.u32 %x, [%s];\n"
    "mad.lo.u32 %t, %i, 32, 0;\nmul.wide.u32 %at, %t, 4;\nadd.s64 %at, %at, %out;\n"
    "cvt.u64.u32 %out, %s;\nand.b64 %out, %out, 127;\nadd.s64 %at, %at, %out;\n"
    "st.global.u32 [%at], %x;\nld.param.u64 %out, [p];\nadd.u32 %i, %i, 1;\n"
    "setp.lt.u32 %q, %i, 10;\n@%q bra CONSUMER;\nret;\n}\n";

START_TEST(passes_by_named_barriers) {
    uint32_t values[320], i;
    struct {
        void *out;
    } arguments = {device_alloc(sizeof(values))};

    launch_clean(load_text(producer_text), "pass", dims(1, 1, 1), dims(64, 1, 1), 0, &arguments);
    fetch(values, arguments.out, sizeof(values));
    for (i = 0; i < 320; i++) {
        ck_assert_uint_eq(values[i], i / 32 * 100 + i % 32);
    }
}
END_TEST

/* An indexed branch, with a target that two indices share. */
START_TEST(branches_by_index) {
    enum { N = 320 };
    uint64_t a[N], result[N];
    const uint64_t *given[OP_INPUTS] = {a};
    int i;

    for (i = 0; i < N; i++) {
        a[i] = (uint64_t)(i * 5 % 4);
    }
    op_run("{ table: .branchtargets ZERO, ONE, ZERO, THREE;\n"
           "add.u32 %a, %a, 0;\nbrx.idx %a, table;\n"
           "ZERO: mov.u32 %d, 100; bra.uni MEET;\nONE: mov.u32 %d, 101; bra.uni MEET;\n"
           "THREE: mov.u32 %d, 103;\nMEET: add.u32 %d, %d, 1000; }",
           "w=w", N, given, result, 0);
    for (i = 0; i < N; i++) {
        ck_assert_uint_eq(result[i], a[i] == 1 ? 1101u : a[i] == 3 ? 1103u : 1100u);
    }
}
END_TEST

/* Predicated exits and a predicated result. */
START_TEST(guards_single_instructions) {
    enum { N = 100 };
    uint64_t a[N], b[N], result[N];
    const uint64_t *given[OP_INPUTS] = {a, b};
    int i;

    for (i = 0; i < N; i++) {
        a[i] = (uint64_t)i % 3 == 0;
        b[i] = (uint64_t)i;
    }
    op_run(
        "mov.u32 %d, 5; @%a add.u32 %d, %d, %b; @!%a sub.u32 %d, %d, 1; @%a mul.lo.u32 %d, %d, 3;",
        "w=pw", N, given, result, 0);
    for (i = 0; i < N; i++) {
        ck_assert_uint_eq(result[i], i % 3 == 0 ? (uint64_t)(5 + i) * 3 : 4);
    }
}
END_TEST

/* Every special register in blocks and grids of three dimensions. */
START_TEST(knows_where_it_is) {
    enum { THREADS = 5 * 4 * 3, BLOCKS = 2 * 3 * 4, VALUES = 21 };
    static const char *const names[VALUES] = {"%tid.x",       "%tid.y",       "%tid.z",
                                              "%ntid.x",      "%ntid.y",      "%ntid.z",
                                              "%ctaid.x",     "%ctaid.y",     "%ctaid.z",
                                              "%nctaid.x",    "%nctaid.y",    "%nctaid.z",
                                              "%laneid",      "%warpid",      "%nwarpid",
                                              "%lanemask_eq", "%lanemask_le", "%lanemask_lt",
                                              "%lanemask_ge", "%lanemask_gt", "%dynamic_smem_size"};
    static uint32_t values[BLOCKS * THREADS][VALUES];
    char text[4096];
    int used = 0, i, k;
    struct {
        void *out;
    } a = {device_alloc(sizeof(values))};

    used = snprintf(
        text, sizeof(text),
        ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry where(.param .b64 "
        "p)\n{ .reg .b64 %%o, %%d; .reg .b32 %%b, %%t, %%x;\nld.param.u64 %%o, [p];\n"
        "mov.u32 %%b, %%ctaid.z; mov.u32 %%x, %%ctaid.y; mad.lo.u32 %%b, %%b, 3, %%x;\n"
        "mov.u32 %%x, %%ctaid.x; mad.lo.u32 %%b, %%b, 2, %%x;\n"
        "mov.u32 %%t, %%tid.z; mov.u32 %%x, %%tid.y; mad.lo.u32 %%t, %%t, 4, %%x;\n"
        "mov.u32 %%x, %%tid.x; mad.lo.u32 %%t, %%t, 5, %%x;\n"
        "mad.lo.u32 %%t, %%b, %d, %%t; mul.wide.u32 %%d, %%t, %d; add.u64 %%o, %%o, %%d;\n",
        THREADS, 4 * VALUES);
    for (k = 0; k < VALUES; k++) {
        used += snprintf(text + used, sizeof(text) - (size_t)used,
                         "mov.u32 %%x, %s; st.global.u32 [%%o+%d], %%x;\n", names[k], 4 * k);
    }
    snprintf(text + used, sizeof(text) - (size_t)used, "ret; }\n");
    launch_clean(load_text(text), "where", dims(2, 3, 4), dims(5, 4, 3), 48, &a);
    fetch(values, a.out, sizeof(values));
    for (i = 0; i < BLOCKS * THREADS; i++) {
        uint32_t t = (uint32_t)i % THREADS, b = (uint32_t)i / THREADS, lane = t % 32;
        uint32_t wanted[VALUES] = {t % 5,
                                   t / 5 % 4,
                                   t / 20,
                                   5,
                                   4,
                                   3,
                                   b % 2,
                                   b / 2 % 3,
                                   b / 6,
                                   2,
                                   3,
                                   4,
                                   lane,
                                   t / 32,
                                   2,
                                   1u << lane,
                                   0xffffffffu >> (31 - lane),
                                   (1u << lane) - 1,
                                   0xffffffffu << lane,
                                   ~(0xffffffffu >> (31 - lane)),
                                   48};

        ck_assert_mem_eq(values[i], wanted, sizeof(wanted));
    }
}
END_TEST

/* Lanes that leave at once, by the branch or beside it. */
START_TEST(exits_beside_a_branch) {
    enum { N = 96 };
    uint64_t a[N], result[N];
    const uint64_t *given[OP_INPUTS] = {a};
    int i;

    for (i = 0; i < N; i++) {
        a[i] = (uint64_t)i;
    }
    op_run("{ .reg .pred p; .reg .b32 b; mov.u64 %wide, 77; st.global.u64 [%out], %wide;"
           "and.b32 b, %a, 3; setp.eq.u32 p, b, 1; @p bra GO; ret; GO: add.u32 %d, %a, 5;"
           "setp.gt.u32 p, %a, 40; @p exit; }",
           "w=w", N, given, result, 0);
    for (i = 0; i < N; i++) {
        ck_assert_uint_eq(result[i], i % 4 == 1 && i <= 40 ? (uint64_t)i + 5 : 77);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_control");
    TCase *tcase = tcase_create("control");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, follows_every_lane, 0, 7);
    tcase_add_loop_test(tcase, meets_at_barriers, 0, 2);
    tcase_add_test(tcase, counts_at_barriers);
    tcase_add_test(tcase, passes_by_named_barriers);
    tcase_add_test(tcase, branches_by_index);
    tcase_add_test(tcase, guards_single_instructions);
    tcase_add_test(tcase, knows_where_it_is);
    tcase_add_test(tcase, exits_beside_a_branch);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
