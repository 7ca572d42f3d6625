/* mma, ldmatrix and stmatrix, lane by lane against the fragment tables of the PTX manual ("Matrix
 * Fragments for mma.m16n8k..."): the formulas for row and column stand here as the manual has them.
 * Inputs are small integers, so every sum is exact and must agree to the bit. */
#include <stdarg.h>
#include <stdio.h>

#include "half_twin.h"
#include "test_support.h"

/* ---- who holds what ------------------------------------------------------------------------- */

typedef struct place {
    int row, col;
} place;
typedef place (*fragment)(int lane, int i);

#define FRAGMENT(name, row_formula, col_formula)                                                   \
    static place name(int lane, int i) {                                                           \
        int group = lane >> 2, thread = lane % 4;                                                  \
                                                                                                   \
        (void)group, (void)thread, (void)i;                                                        \
        return (place){row_formula, col_formula};                                                  \
    }
/* m16n8k16, f16 and bf16 */
FRAGMENT(a_k16, (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8,
         i < 4 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8)
FRAGMENT(b_k16, i < 2 ? thread * 2 + (i & 1) : thread * 2 + (i & 1) + 8, group)
/* m16n8k8, f16 and bf16 */
FRAGMENT(a_k8, i < 2 ? group : group + 8, thread * 2 + (i & 1))
FRAGMENT(b_k8, thread * 2 + i, group)
/* tf32 */
FRAGMENT(a_k8_tf32, i == 0 || i == 2 ? group : group + 8, i < 2 ? thread : thread + 4)
FRAGMENT(b_k8_tf32, i == 0 ? thread : thread + 4, group)
FRAGMENT(a_k4_tf32, i == 0 ? group : group + 8, thread)
FRAGMENT(b_k4_tf32, thread, group)
/* int8 */
FRAGMENT(a_k16_int8, i < 4 ? group : group + 8, thread * 4 + (i & 3))
FRAGMENT(b_k16_int8, thread * 4 + i, group)
FRAGMENT(a_k32_int8, (0 <= i && i < 4) || (8 <= i && i < 12) ? group : group + 8,
         i < 8 ? thread * 4 + (i & 3) : thread * 4 + (i & 3) + 16)
FRAGMENT(b_k32_int8, i < 4 ? thread * 4 + (i & 3) : thread * 4 + (i & 3) + 16, group)
/* accumulators of all of them */
FRAGMENT(c_all, i < 2 ? group : group + 8, thread * 2 + (i & 1))

typedef enum kind { F16, BF16, TF32, S8, U8, F32, S32 } kind;
static const int per_register[] = {2, 2, 1, 4, 4, 1, 1};

static const struct {
    const char *opcode;
    int k;
    kind a_kind, b_kind, c_kind;
    int a_count, b_count; /* elements of a lane */
    fragment a, b;
} mmas[] = {
    {"m16n8k16.row.col.f32.f16.f16.f32", 16, F16, F16, F32, 8, 4, a_k16, b_k16},
    {"m16n8k16.row.col.f16.f16.f16.f16", 16, F16, F16, F16, 8, 4, a_k16, b_k16},
    {"m16n8k16.row.col.f32.bf16.bf16.f32", 16, BF16, BF16, F32, 8, 4, a_k16, b_k16},
    {"m16n8k8.row.col.f32.f16.f16.f32", 8, F16, F16, F32, 4, 2, a_k8, b_k8},
    {"m16n8k8.row.col.f16.f16.f16.f16", 8, F16, F16, F16, 4, 2, a_k8, b_k8},
    {"m16n8k8.row.col.f32.bf16.bf16.f32", 8, BF16, BF16, F32, 4, 2, a_k8, b_k8},
    {"m16n8k8.row.col.f32.tf32.tf32.f32", 8, TF32, TF32, F32, 4, 2, a_k8_tf32, b_k8_tf32},
    {"m16n8k4.row.col.f32.tf32.tf32.f32", 4, TF32, TF32, F32, 2, 1, a_k4_tf32, b_k4_tf32},
    {"m16n8k16.row.col.s32.s8.s8.s32", 16, S8, S8, S32, 8, 4, a_k16_int8, b_k16_int8},
    {"m16n8k16.row.col.s32.u8.s8.s32", 16, U8, S8, S32, 8, 4, a_k16_int8, b_k16_int8},
    {"m16n8k32.row.col.s32.s8.s8.s32", 32, S8, S8, S32, 16, 8, a_k32_int8, b_k32_int8},
    {"m16n8k32.row.col.s32.u8.u8.s32", 32, U8, U8, S32, 16, 8, a_k32_int8, b_k32_int8},
    {"m16n8k32.row.col.s32.s8.u8.s32", 32, S8, U8, S32, 16, 8, a_k32_int8, b_k32_int8},
    {"m16n8k32.row.col.satfinite.s32.s8.s8.s32", 32, S8, S8, S32, 16, 8, a_k32_int8, b_k32_int8},
};

/* The bits of a small integer in each type. */
static uint32_t encode(kind kind, int value) {
    float single = (float)value;
    uint32_t bits;

    switch (kind) {
    case F16:
        return (uint32_t)half_round(value, 0, TO_NEAREST);
    case BF16:
        return (uint32_t)half_round(value, 1, TO_NEAREST);
    case S8:
    case U8:
        return (uint32_t)value & 0xff;
    case S32:
        return (uint32_t)value;
    default:
        memcpy(&bits, &single, sizeof(bits));
        return bits;
    }
}

/* ---- a kernel of one instruction ------------------------------------------------------------ */

static char text[8192];
static size_t used;

static void add(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void add(const char *format, ...) {
    va_list list;

    va_start(list, format);
    used += (size_t)vsnprintf(text + used, sizeof(text) - used, format, list);
    va_end(list);
    ck_assert_uint_lt(used, sizeof(text));
}

static void add_vector(char name, int count) {
    int i;

    for (i = 0; i < count; i++) {
        add("%s%%%c%d", i ? ", " : "{", name, i);
    }
    add("}");
}

static void add_loads(char name, int count, int *at) {
    int i;

    for (i = 0; i < count; i++, *at += 4) {
        add("ld.global.b32 %%%c%d, [%%in+%d];\n", name, i, *at);
    }
}

/* Lane i reads its registers one after the other at in + 64 i and writes them at out + 64 i. */
static void begin_kernel(void) {
    used = 0;
    add(".version 8.0\n.target sm_80\n.address_size 64\n"
        ".visible .entry one(.param .align 8 .b8 p[16])\n{\n.reg .b64 %%in, %%out, %%at;\n"
        ".reg .b32 %%t, %%s, %%a<8>, %%b<8>, %%c<8>, %%d<8>;\n"
        ".shared .align 16 .b8 tile[512];\n"
        "ld.param.u64 %%in, [p];\nld.param.u64 %%out, [p+8];\nmov.u32 %%t, %%tid.x;\n"
        "mul.wide.u32 %%at, %%t, 64;\nadd.s64 %%in, %%in, %%at;\nadd.s64 %%out, %%out, %%at;\n");
}

static void end_kernel(int results) {
    int i;

    for (i = 0; i < results; i++) {
        add("st.global.b32 [%%out+%d], %%d%d;\n", 4 * i, i);
    }
    add("ret;\n}\n");
}

static void run_kernel(const uint32_t in[32][16], uint32_t out[32][16]) {
    struct {
        void *in, *out;
    } arguments = {device_copy(in, 2048), device_alloc(2048)};

    ck_cuda(cudaMemset(arguments.out, 0, 2048));
    launch_clean(load_text(text), "one", dims(1, 1, 1), dims(32, 1, 1), 0, &arguments);
    fetch(out, arguments.out, 2048);
}

/* ---- mma ------------------------------------------------------------------------------------ */

static void put(uint32_t *registers, kind kind, int i, int value) {
    int n = per_register[kind], bits = 32 / n;

    registers[i / n] |= encode(kind, value) << bits * (i % n);
}

START_TEST(multiplies_as_the_manual_says) {
    int a[16][32], b[32][8], c[16][8], lane, i, k;
    int na = mmas[_i].a_count / per_register[mmas[_i].a_kind];
    int nb = mmas[_i].b_count / per_register[mmas[_i].b_kind];
    int nc = 4 / per_register[mmas[_i].c_kind], at = 0;
    uint32_t in[32][16] = {0}, out[32][16], wanted[32][16] = {0};
    uint64_t seed = 99;

    for (i = 0; i < 16 * 32; i++) { /* unsigned types take no negative numbers */
        a[i / 32][i % 32] = (int)(next_random(&seed) % 15) - (mmas[_i].a_kind == U8 ? 0 : 7);
        b[i % 32][i / 32 % 8] = (int)(next_random(&seed) % 15) - (mmas[_i].b_kind == U8 ? 0 : 7);
        c[i / 32][i % 8] = (int)(next_random(&seed) % 100) - 50;
    }
    for (lane = 0; lane < 32; lane++) {
        for (i = 0; i < mmas[_i].a_count; i++) {
            place p = mmas[_i].a(lane, i);

            put(in[lane], mmas[_i].a_kind, i, a[p.row][p.col]);
        }
        for (i = 0; i < mmas[_i].b_count; i++) {
            place p = mmas[_i].b(lane, i);

            put(in[lane] + na, mmas[_i].b_kind, i, b[p.row][p.col]);
        }
        for (i = 0; i < 4; i++) {
            place p = c_all(lane, i);
            int sum = c[p.row][p.col];

            put(in[lane] + na + nb, mmas[_i].c_kind, i, sum);
            for (k = 0; k < mmas[_i].k; k++) {
                sum += a[p.row][k] * b[k][p.col];
            }
            put(wanted[lane], mmas[_i].c_kind, i, sum);
        }
    }
    begin_kernel();
    add_loads('a', na, &at);
    add_loads('b', nb, &at);
    add_loads('c', nc, &at);
    add("mma.sync.aligned.%s ", mmas[_i].opcode);
    add_vector('d', nc);
    add(", ");
    add_vector('a', na);
    add(", ");
    add_vector('b', nb);
    add(", ");
    add_vector('c', nc);
    add(";\n");
    end_kernel(nc);
    run_kernel(in, out);
    for (lane = 0; lane < 32; lane++) {
        for (i = 0; i < nc; i++) {
            ck_assert_msg(out[lane][i] == wanted[lane][i],
                          "%s lane %d register %d: %x, expected %x", mmas[_i].opcode, lane, i,
                          out[lane][i], wanted[lane][i]);
        }
    }
}
END_TEST

/* Integer sums wrap, or stop at the ends with .satfinite. */
START_TEST(saturates) {
    uint32_t in[32][16] = {0}, out[32][16];
    int lane, i, at = 0;

    for (lane = 0; lane < 32; lane++) {
        for (i = 0; i < 6; i++) {
            in[lane][i] = 0x7f7f7f7f;
        }
        for (i = 0; i < 4; i++) {
            in[lane][6 + i] = 0x7ffffff0;
        }
    }
    begin_kernel();
    add_loads('a', 4, &at);
    add_loads('b', 2, &at);
    add_loads('c', 4, &at);
    add("mma.sync.aligned.m16n8k32.row.col.%ss32.s8.s8.s32 {%%d0, %%d1, %%d2, %%d3}, "
        "{%%a0, %%a1, %%a2, %%a3}, {%%b0, %%b1}, {%%c0, %%c1, %%c2, %%c3};\n",
        _i ? "satfinite." : "");
    end_kernel(4);
    run_kernel(in, out);
    ck_assert_uint_eq(out[7][2], _i ? 0x7fffffffu : 0x7ffffff0u + 32 * 127 * 127);
}
END_TEST

/* ---- ldmatrix, stmatrix --------------------------------------------------------------------- */

/* Element (row, column) of matrix k is 1000 k + 10 row + column. Matrix k stands at 128 (3 - k),
 * its rows in descending order, so that addresses and not positions decide. */
static void address_of_row(void) {
    add("and.b32 %%s, %%t, 7;\nsub.u32 %%s, 7, %%s;\nshl.b32 %%s, %%s, 4;\n"
        "shr.u32 %%a0, %%t, 3;\nsub.u32 %%a0, 3, %%a0;\nshl.b32 %%a0, %%a0, 7;\n"
        "add.u32 %%s, %%s, %%a0;\nmov.u32 %%a1, tile;\nadd.u32 %%s, %%s, %%a1;\n");
}

START_TEST(loads_matrices) {
    int count = 1 << _i % 3, transposed = _i / 3, lane, k, row, col, i;
    uint32_t in[32][16] = {0}, out[32][16];
    uint16_t tile[256];

    for (k = 0; k < 4; k++) {
        for (row = 0; row < 8; row++) {
            for (col = 0; col < 8; col++) {
                tile[64 * (3 - k) + 8 * (7 - row) + col] = (uint16_t)(1000 * k + 10 * row + col);
            }
        }
    }
    for (lane = 0; lane < 32; lane++) { /* each lane fills 16 bytes */
        memcpy(in[lane], tile + 8 * lane, 16);
    }
    begin_kernel();
    i = 0;
    add_loads('b', 4, &i);
    add("shl.b32 %%s, %%t, 4;\nmov.u32 %%a1, tile;\nadd.u32 %%s, %%s, %%a1;\n"
        "st.shared.v4.b32 [%%s], {%%b0, %%b1, %%b2, %%b3};\nbar.sync 0;\n");
    address_of_row();
    add("ldmatrix.sync.aligned.m8n8.x%d%s.shared.b16 ", count, transposed ? ".trans" : "");
    add_vector('d', count);
    add(", [%%s];\n");
    end_kernel(count);
    run_kernel(in, out);
    for (lane = 0; lane < 32; lane++) {
        for (k = 0; k < count; k++) {
            for (i = 0; i < 2; i++) {
                int r = transposed ? lane % 4 * 2 + i : lane / 4;
                int c = transposed ? lane / 4 : lane % 4 * 2 + i;

                ck_assert_uint_eq(out[lane][k] >> 16 * i & 0xffff,
                                  (unsigned)(1000 * k + 10 * r + c));
            }
        }
    }
}
END_TEST

/* What stmatrix stores, ldmatrix with the same options loads back; and it lies where it should. */
START_TEST(stores_matrices) {
    int transposed = _i, lane, k, i;
    uint32_t in[32][16] = {0}, out[32][16];

    for (lane = 0; lane < 32; lane++) {
        for (k = 0; k < 4; k++) {
            for (i = 0; i < 2; i++) {
                int r = transposed ? lane % 4 * 2 + i : lane / 4;
                int c = transposed ? lane / 4 : lane % 4 * 2 + i;

                in[lane][k] |= (uint32_t)(1000 * k + 10 * r + c) << 16 * i;
            }
        }
    }
    begin_kernel();
    i = 0;
    add_loads('b', 4, &i);
    address_of_row();
    add("stmatrix.sync.aligned.m8n8.x4%s.shared.b16 [%%s], {%%b0, %%b1, %%b2, %%b3};\n"
        "bar.sync 0;\nshl.b32 %%s, %%t, 4;\nadd.u32 %%s, %%s, %%a1;\n"
        "ld.shared.v4.b32 {%%d0, %%d1, %%d2, %%d3}, [%%s];\n",
        transposed ? ".trans" : "");
    end_kernel(4);
    run_kernel(in, out);
    for (lane = 0; lane < 32;
         lane++) { /* piece `lane` is row 7 - lane % 8 of matrix 3 - lane / 8 */
        for (i = 0; i < 8; i++) {
            int wanted = 1000 * (3 - lane / 8) + 10 * (7 - lane % 8) + i;

            ck_assert_uint_eq(out[lane][i / 2] >> 16 * (i % 2) & 0xffff, (unsigned)wanted);
        }
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_matrix");
    TCase *tcase = tcase_create("instructions");

    tcase_add_loop_test(tcase, multiplies_as_the_manual_says, 0, sizeof(mmas) / sizeof(*mmas));
    tcase_add_loop_test(tcase, saturates, 0, 2);
    tcase_add_loop_test(tcase, loads_matrices, 0, 6);
    tcase_add_loop_test(tcase, stores_matrices, 0, 2);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
