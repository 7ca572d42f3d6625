/* cvt between all types in all modes, against long double, which holds every number of every type:
 * 64 bits of mantissa. */
#include <fenv.h>
#include <math.h>
#include <stdio.h>

#include "half_twin.h"
#include "op_support.h"
#include "test_support.h"

typedef enum type { U8, S8, U16, S16, U32, S32, U64, S64, F16, BF16, F32, F64, TYPES } type;
static const struct {
    const char *name;
    int bits, is_signed, is_float;
    char letter; /* of the register */
} types[TYPES] = {
    {"u8", 8, 0, 0, 'h'},   {"s8", 8, 1, 0, 'h'},    {"u16", 16, 0, 0, 'h'}, {"s16", 16, 1, 0, 'h'},
    {"u32", 32, 0, 0, 'w'}, {"s32", 32, 1, 0, 'w'},  {"u64", 64, 0, 0, 'd'}, {"s64", 64, 1, 0, 'd'},
    {"f16", 16, 1, 1, 'h'}, {"bf16", 16, 1, 1, 'h'}, {"f32", 32, 1, 1, 'w'}, {"f64", 64, 1, 1, 'd'},
};
static const char *const modes[] = {"rn", "rz", "rm", "rp"};
static const int cpu_modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};

static long double value_of(type t, uint64_t bits) {
    float single;
    double wide;
    uint32_t low = (uint32_t)bits;

    switch (t) {
    case F16:
    case BF16:
        return (long double)half_value(bits & 0xffff, t == BF16);
    case F32:
        memcpy(&single, &low, sizeof(single));
        return (long double)single;
    case F64:
        memcpy(&wide, &bits, sizeof(wide));
        return (long double)wide;
    default:
        bits <<= 64 - types[t].bits;
        return types[t].is_signed ? (long double)((int64_t)bits >> (64 - types[t].bits))
                                  : (long double)(bits >> (64 - types[t].bits));
    }
}

/* An integer value (or infinity, or NaN), clamped into an integer type. */
static uint64_t to_integer(type t, long double x) {
    long double most = ldexpl(1.0L, types[t].bits - types[t].is_signed) - 1;
    long double least = types[t].is_signed ? -most - 1 : 0;
    uint64_t mask = types[t].bits == 64 ? ~(uint64_t)0 : ((uint64_t)1 << types[t].bits) - 1;

    if (isnan(x)) {
        return 0;
    }
    x = x > most ? most : x < least ? least : x;
    return (x < 0 ? (uint64_t)(int64_t)x : (uint64_t)x) & mask;
}

static uint64_t to_float(type t, long double x, int mode) {
    volatile long double exact = x;
    volatile float single;
    volatile double wide;
    uint32_t low;
    uint64_t bits;
    float plain;
    double plain_wide;

    if (t == F16 || t == BF16) { /* cut to an odd f64 first: half_round takes one */
        fesetround(FE_TOWARDZERO);
        wide = (double)exact;
        fesetround(FE_TONEAREST);
        plain_wide = wide;
        if ((long double)plain_wide != x && !isnan(x)) {
            memcpy(&bits, &plain_wide, sizeof(bits));
            bits |= 1;
            memcpy(&plain_wide, &bits, sizeof(bits));
        }
        return half_round(plain_wide, t == BF16, mode);
    }
    fesetround(cpu_modes[mode]);
    single = (float)exact;
    wide = (double)exact;
    fesetround(FE_TONEAREST);
    plain = single;
    plain_wide = wide;
    memcpy(&low, &plain, sizeof(low));
    memcpy(&bits, &plain_wide, sizeof(bits));
    return t == F32 ? (isnan(plain) ? 0x7fffffff : low) : bits;
}

static long double integral(long double x, int mode) {
    return mode == TO_NEAREST ? rintl(x)
           : mode == TO_ZERO  ? truncl(x)
           : mode == TO_DOWN  ? floorl(x)
                              : ceill(x);
}

/* The bits that the destination register shows: an integer is extended to it. */
static uint64_t in_register(type t, uint64_t bits) {
    uint64_t mask = types[t].letter == 'h' ? 0xffff : types[t].letter == 'w' ? 0xffffffff : ~0ull;

    if (types[t].is_signed && !types[t].is_float) {
        bits = (uint64_t)((int64_t)(bits << (64 - types[t].bits)) >> (64 - types[t].bits));
    }
    return bits & mask;
}

static uint64_t twin(type to, type from, uint64_t bits, int mode, int saturate) {
    long double x = value_of(from, bits);

    if (!types[to].is_float) {
        if (types[from].is_float || saturate) {
            return in_register(to, to_integer(to, integral(x, mode)));
        }
        bits = types[from].is_signed ? (uint64_t)(int64_t)x : (uint64_t)x;
        bits &= types[to].bits == 64 ? ~0ull : (1ull << types[to].bits) - 1;
        return in_register(to, bits);
    }
    if (saturate) {
        x = x > 0 ? (x < 1 ? x : 1) : 0;
    }
    return to_float(to, x, mode);
}

/* Forms that the manual leaves out are left out: a real assembler refuses them, and these tests run
 * on a GPU too (tests/vm_on_gpu). */
static int exists(type to, type from, int saturate) {
    int brain = to == BF16 || from == BF16;

    if (!saturate || brain) { /* bf16 has no .sat, and no bytes */
        return !saturate && !(brain && (types[to].bits == 8 || types[from].bits == 8));
    }
    if (types[to].is_float || types[from].is_float) {
        return 1;
    }
    return types[to].is_signed == types[from].is_signed
               ? types[to].bits < types[from].bits
               : types[from].is_signed || types[to].bits <= types[from].bits;
}

/* ---- running -------------------------------------------------------------------------------- */

enum { COUNT = 700 };

static void check(type to, type from, const char *opcode, int mode, int saturate) {
    static uint64_t in[COUNT], out[COUNT];
    const uint64_t *given[OP_INPUTS] = {in};
    uint64_t seed = 4242, mask = types[from].letter == 'h'   ? 0xffff
                                 : types[from].letter == 'w' ? 0xffffffff
                                                             : ~0ull;
    char shape[] = {types[to].letter, '=', types[from].letter, '\0'}, body[96];
    size_t i, edges = op_edges(types[from].letter, 1, in, COUNT);

    if (!exists(to, from, saturate)) {
        return;
    }
    edges += op_edges(types[from].letter, 0, in + edges, COUNT - edges);
    for (i = edges; i < COUNT; i++) {
        in[i] = next_random(&seed) & mask;
        if (types[from].is_float && i % 2) { /* values of the size of integers */
            float x = ldexpf(next_float(&seed), (int)(next_random(&seed) % 70));

            in[i] = to_float(from, (long double)x, TO_NEAREST);
        } else if (i % 4 == 2) {
            in[i] >>= next_random(&seed) % (uint64_t)(types[from].bits);
        }
    }
    snprintf(body, sizeof(body), "%s %%d, %%a;", opcode);
    op_run(body, shape, COUNT, given, out, (int)(seed % 2));
    for (i = 0; i < COUNT; i++) {
        uint64_t wanted = twin(to, from, in[i], mode, saturate);
        int nan = to == F64 && isnan((double)value_of(F64, wanted)) &&
                  isnan((double)value_of(F64, out[i]));

        ck_assert_msg(out[i] == wanted || nan || out[i] == 0xdead, "%s(%llx) = %llx, expected %llx",
                      opcode, (unsigned long long)in[i], (unsigned long long)out[i],
                      (unsigned long long)wanted);
    }
}

/* Every mode of every pair with destination _i. */
START_TEST(converts) {
    type to = (type)_i;
    int from, mode;
    char opcode[64];

    for (from = 0; from < TYPES; from++) {
        const char *a = types[to].name, *b = types[from].name;
        int rounds = types[to].is_float &&
                     (!types[from].is_float || types[to].bits < types[from].bits ||
                      (types[to].bits == 16 && types[from].bits == 16 && (int)to != from));

        for (mode = 0; mode < 4; mode++) {
            if (rounds || (!types[to].is_float && types[from].is_float)) {
                snprintf(opcode, sizeof(opcode), "cvt.%s%s.%s.%s", modes[mode], rounds ? "" : "i",
                         a, b);
                check(to, (type)from, opcode, mode, 0);
                snprintf(opcode, sizeof(opcode), "cvt.%s%s.sat.%s.%s", modes[mode],
                         rounds ? "" : "i", a, b);
                check(to, (type)from, opcode, mode, 1);
            }
        }
        if (!rounds && types[to].is_float == types[from].is_float) {
            snprintf(opcode, sizeof(opcode), "cvt.%s.%s", a, b);
            check(to, (type)from, opcode, 0, 0);
            snprintf(opcode, sizeof(opcode), "cvt.sat.%s.%s", a, b);
            check(to, (type)from, opcode, 0, 1);
        }
    }
}
END_TEST

/* ---- to integral values, to pairs, to tf32 -------------------------------------------------- */

static uint64_t rni(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)b, (void)c, (void)e;
    return to_float(F32, integral(value_of(F32, a), TO_NEAREST), TO_NEAREST);
}
static uint64_t rzi(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)b, (void)c, (void)e;
    return to_float(F32, integral(value_of(F32, a), TO_ZERO), TO_NEAREST);
}
static uint64_t rmi(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)b, (void)c, (void)e;
    return to_float(F32, integral(value_of(F32, a), TO_DOWN), TO_NEAREST);
}
static uint64_t rpi(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)b, (void)c, (void)e;
    return to_float(F32, integral(value_of(F32, a), TO_UP), TO_NEAREST);
}
static uint64_t f16x2(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)c, (void)e;
    return to_float(F16, value_of(F32, a), 0) << 16 | to_float(F16, value_of(F32, b), 0);
}
static uint64_t bf16x2(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)c, (void)e;
    return to_float(BF16, value_of(F32, a), 0) << 16 | to_float(BF16, value_of(F32, b), 0);
}
static uint64_t bf16x2_relu(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    long double x = value_of(F32, a), y = value_of(F32, b);

    (void)c, (void)e;
    return to_float(BF16, x < 0 || x == 0 ? 0 : x, 0) << 16 |
           to_float(BF16, y < 0 || y == 0 ? 0 : y, 0);
}
/* 10 bits of mantissa, ties away from zero. */
static uint64_t tf32(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    long double x = value_of(F32, a), step;
    int exponent;

    (void)b, (void)c, (void)e;
    if (isnan(x) || isinf(x) || x == 0) {
        return isnan(x) ? 0x7fffffff : a;
    }
    frexpl(x, &exponent);
    step = ldexpl(1, (exponent < -125 ? -125 : exponent) - 11);
    return to_float(F32, roundl(x / step) * step, TO_NEAREST);
}

/* .ftz: a subnormal f32 counts as zero, before and after. */
static uint64_t flushed(uint64_t a) {
    return (a & 0x7f800000) == 0 ? a & 0x80000000 : a;
}
static uint64_t rpi_ftz(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)b, (void)c, (void)e;
    return to_integer(S32, integral(value_of(F32, flushed(a)), TO_UP));
}
static uint64_t f16_ftz(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)b, (void)c, (void)e;
    return to_float(F16, value_of(F32, flushed(a)), TO_UP);
}
static uint64_t f32_ftz(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {
    (void)b, (void)c, (void)e;
    return flushed(to_float(F32, value_of(F64, a), TO_NEAREST));
}

static const op_case others[] = {
    {"cvt.rni.f32.f32", "w=w", rni},
    {"cvt.rzi.f32.f32", "w=w", rzi},
    {"cvt.rmi.f32.f32", "w=w", rmi},
    {"cvt.rpi.f32.f32", "w=w", rpi},
    {"cvt.rn.f16x2.f32", "w=ww", f16x2},
    {"cvt.rn.bf16x2.f32", "w=ww", bf16x2},
    {"cvt.rn.relu.bf16x2.f32", "w=ww", bf16x2_relu},
    {"cvt.rna.tf32.f32", "w=w", tf32},
    {"cvt.rpi.ftz.s32.f32", "w=w", rpi_ftz},
    {"cvt.rp.ftz.f16.f32", "h=w", f16_ftz},
    {"cvt.rn.ftz.f32.f64", "w=d", f32_ftz},
};

START_TEST(converts_specially) {
    op_check(&others[_i], 1, NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_convert");
    TCase *tcase = tcase_create("instructions");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, converts, 0, TYPES);
    tcase_add_loop_test(tcase, converts_specially, 0, sizeof(others) / sizeof(*others));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
