/* Floating-point arithmetic: 32 and 64 bits against the CPU, in the rounding mode of the CPU; 16
 * bits against sums in f64 that are rounded to odd by the CPU's inexact flag, then once to the
 * format (half_twin.h). NaN results must be NaN, and canonical where the manual says so. */
#include <fenv.h>
#include <math.h>
#include <stdio.h>

#include "half_twin.h"
#include "op_support.h"
#include "test_support.h"

#define UNUSED (void)a, (void)b, (void)c, (void)e
#define TWIN(name, expression)                                                                     \
    static uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {                         \
        UNUSED;                                                                                    \
        return expression;                                                                         \
    }

/* ---- 32 and 64 bits -----------------------------------------------------------------------------
 */

static float f(uint64_t bits) {
    uint32_t low = (uint32_t)bits;
    float x;

    memcpy(&x, &low, sizeof(x));
    return x;
}

static uint64_t bits_of(float x) {
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return x != x ? 0x7fffffff : bits;
}

static double d(uint64_t bits) {
    double x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

static uint64_t bits_of_double(double x) {
    uint64_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/* One operation in a rounding mode, kept in memory so that the compiler moves nothing. */
enum { ADD, SUB, MUL, DIV, FMA, RCP, SQRT };

static double in_mode(int op, double x, double y, double z, int mode, int single) {
    volatile double a = x, b = y, c = z, result;
    volatile float fa = (float)x, fb = (float)y, fc = (float)z, fresult;

    fesetround(mode);
    if (single) {
        fresult = op == ADD   ? fa + fb
                  : op == SUB ? fa - fb
                  : op == MUL ? fa * fb
                  : op == DIV ? fa / fb
                  : op == FMA ? fmaf(fa, fb, fc)
                  : op == RCP ? 1.0f / fa
                              : sqrtf(fa);
        result = (double)fresult;
    } else {
        result = op == ADD   ? a + b
                 : op == SUB ? a - b
                 : op == MUL ? a * b
                 : op == DIV ? a / b
                 : op == FMA ? fma(a, b, c)
                 : op == RCP ? 1.0 / a
                             : sqrt(a);
    }
    fesetround(FE_TONEAREST);
    return result;
}

static float flushed(float x) {
    return fabsf(x) < 0x1p-126f ? copysignf(0.0f, x) : x;
}

static float saturated(float x) {
    return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f;
}

#define SINGLE(op, mode) bits_of((float)in_mode(op, f(a), f(b), f(c), mode, 1))
#define DOUBLE(op, mode) bits_of_double(in_mode(op, d(a), d(b), d(c), mode, 0))
#define MODES(name, op)                                                                            \
    TWIN(name##_rn, SINGLE(op, FE_TONEAREST))                                                      \
    TWIN(name##_rz, SINGLE(op, FE_TOWARDZERO))                                                     \
    TWIN(name##_rm, SINGLE(op, FE_DOWNWARD))                                                       \
    TWIN(name##_rp, SINGLE(op, FE_UPWARD))                                                         \
    TWIN(name##d_rn, DOUBLE(op, FE_TONEAREST))                                                     \
    TWIN(name##d_rz, DOUBLE(op, FE_TOWARDZERO))                                                    \
    TWIN(name##d_rm, DOUBLE(op, FE_DOWNWARD))                                                      \
    TWIN(name##d_rp, DOUBLE(op, FE_UPWARD))
MODES(add, ADD)
MODES(sub, SUB)
MODES(mul, MUL)
MODES(div, DIV)
MODES(fma, FMA)
MODES(rcp, RCP)
MODES(sqrt, SQRT)
TWIN(add_ftz,
     bits_of(flushed((float)in_mode(ADD, flushed(f(a)), flushed(f(b)), 0, FE_TONEAREST, 1))))
TWIN(mul_ftz,
     bits_of(flushed((float)in_mode(MUL, flushed(f(a)), flushed(f(b)), 0, FE_TONEAREST, 1))))
TWIN(mul_sat, bits_of(saturated((float)in_mode(MUL, f(a), f(b), 0, FE_TONEAREST, 1))))
TWIN(fma_sat, bits_of(saturated((float)in_mode(FMA, f(a), f(b), f(c), FE_TONEAREST, 1))))
TWIN(fma_rm_ftz_sat, bits_of(saturated(flushed((float)in_mode(FMA, flushed(f(a)), flushed(f(b)),
                                                              flushed(f(c)), FE_DOWNWARD, 1)))))

/* The manual: of a number and a NaN, the number; +0 is larger than -0. */
static double lesser(double x, double y) {
    if (isnan(x) || isnan(y)) {
        return isnan(x) ? y : x;
    }
    return x < y || (x == y && signbit(x)) ? x : y;
}

static double greater(double x, double y) {
    if (isnan(x) || isnan(y)) {
        return isnan(x) ? y : x;
    }
    return x > y || (x == y && !signbit(x)) ? x : y;
}

TWIN(min_f32, bits_of((float)lesser(f(a), f(b))))
TWIN(max_f32, bits_of((float)greater(f(a), f(b))))
TWIN(min_nan, isnan(f(a)) || isnan(f(b)) ? 0x7fffffff : bits_of((float)lesser(f(a), f(b))))
TWIN(max_nan, isnan(f(a)) || isnan(f(b)) ? 0x7fffffff : bits_of((float)greater(f(a), f(b))))
TWIN(min_f64, bits_of_double(lesser(d(a), d(b))))
TWIN(max_f64, bits_of_double(greater(d(a), d(b))))
TWIN(abs_f32, a & 0x7fffffff)
TWIN(neg_f32, a ^ 0x80000000)
TWIN(abs_f64, a & 0x7fffffffffffffff)
TWIN(neg_f64, a ^ 0x8000000000000000)
TWIN(copysign_f32, (b & 0x7fffffff) | (a & 0x80000000))
TWIN(copysign_f64, (b & 0x7fffffffffffffff) | (a & 0x8000000000000000))

static int both_nan(uint64_t got, uint64_t wanted) {
    return isnan(d(got)) && isnan(d(wanted));
}

#define MODE_CASES(op, name, s)                                                                    \
    {op ".rn.f32", s, name##_rn}, {op ".rz.f32", s, name##_rz}, {op ".rm.f32", s, name##_rm}, {    \
        op ".rp.f32", s, name##_rp                                                                 \
    }
static const op_case singles[] = {
    MODE_CASES("add", add, "w=ww"),
    MODE_CASES("sub", sub, "w=ww"),
    MODE_CASES("mul", mul, "w=ww"),
    MODE_CASES("div", div, "w=ww"),
    MODE_CASES("fma", fma, "w=www"),
    MODE_CASES("rcp", rcp, "w=w"),
    MODE_CASES("sqrt", sqrt, "w=w"),
    {"add.f32", "w=ww", add_rn},
    {"sub.f32", "w=ww", sub_rn},
    {"mul.f32", "w=ww", mul_rn},
    {"add.ftz.f32", "w=ww", add_ftz},
    {"mul.ftz.f32", "w=ww", mul_ftz},
    {"mul.sat.f32", "w=ww", mul_sat},
    {"fma.rn.sat.f32", "w=www", fma_sat},
    {"fma.rm.ftz.sat.f32", "w=www", fma_rm_ftz_sat},
    {"min.f32", "w=ww", min_f32},
    {"max.f32", "w=ww", max_f32},
    {"min.NaN.f32", "w=ww", min_nan},
    {"max.NaN.f32", "w=ww", max_nan},
    {"abs.f32", "w=w", abs_f32},
    {"neg.f32", "w=w", neg_f32},
    {"copysign.f32", "w=ww", copysign_f32},
};

#define DOUBLE_CASES(op, name, s)                                                                  \
    {op ".rn.f64", s, name##d_rn}, {op ".rz.f64", s, name##d_rz}, {op ".rm.f64", s, name##d_rm}, { \
        op ".rp.f64", s, name##d_rp                                                                \
    }
static const op_case doubles[] = {
    DOUBLE_CASES("add", add, "d=dd"),  DOUBLE_CASES("sub", sub, "d=dd"),
    DOUBLE_CASES("mul", mul, "d=dd"),  DOUBLE_CASES("div", div, "d=dd"),
    DOUBLE_CASES("fma", fma, "d=ddd"), DOUBLE_CASES("rcp", rcp, "d=d"),
    DOUBLE_CASES("sqrt", sqrt, "d=d"), {"add.f64", "d=dd", addd_rn},
    {"mul.f64", "d=dd", muld_rn},      {"min.f64", "d=dd", min_f64},
    {"max.f64", "d=dd", max_f64},      {"abs.f64", "d=d", abs_f64},
    {"neg.f64", "d=d", neg_f64},       {"copysign.f64", "d=dd", copysign_f64},
};

START_TEST(single_agrees) {
    op_check(&singles[_i], 1, NULL);
}
END_TEST

START_TEST(double_agrees) {
    op_check(&doubles[_i], 1, both_nan);
}
END_TEST

/* ---- 16 bits ------------------------------------------------------------------------------------
 */

/* a op b in f64, rounded to odd: cut, with the last bit set where something was cut off. */
static double odd(double x, double y, double z, int op) {
    volatile double a = x, b = y, c = z, result;
    uint64_t bits;
    int inexact;

    feclearexcept(FE_ALL_EXCEPT);
    fesetround(FE_TOWARDZERO);
    result = op == ADD ? a + b : op == SUB ? a - b : op == MUL ? a * b : fma(a, b, c);
    inexact = fetestexcept(FE_INEXACT);
    fesetround(FE_TONEAREST);
    if (inexact) {
        double value = result;

        memcpy(&bits, &value, sizeof(bits));
        bits |= 1;
        memcpy(&value, &bits, sizeof(bits));
        return value;
    }
    /* An exact zero has the sign of rounding to nearest. */
    return result == 0 && op != FMA ? (op == ADD   ? x + y
                                       : op == SUB ? x - y
                                                   : x * y)
           : result == 0            ? fma(x, y, z)
                                    : result;
}

#define HALVES(t, brain)                                                                           \
    static uint64_t add1_##t(uint64_t a, uint64_t b) {                                             \
        return half_round(odd(half_value(a, brain), half_value(b, brain), 0, ADD), brain,          \
                          TO_NEAREST);                                                             \
    }                                                                                              \
    static uint64_t sub1_##t(uint64_t a, uint64_t b) {                                             \
        return half_round(odd(half_value(a, brain), half_value(b, brain), 0, SUB), brain,          \
                          TO_NEAREST);                                                             \
    }                                                                                              \
    static uint64_t mul1_##t(uint64_t a, uint64_t b) {                                             \
        return half_round(odd(half_value(a, brain), half_value(b, brain), 0, MUL), brain,          \
                          TO_NEAREST);                                                             \
    }                                                                                              \
    static uint64_t fma1_##t(uint64_t a, uint64_t b, uint64_t c) {                                 \
        return half_round(                                                                         \
            odd(half_value(a, brain), half_value(b, brain), half_value(c, brain), FMA), brain,     \
            TO_NEAREST);                                                                           \
    }                                                                                              \
    static uint64_t relu1_##t(uint64_t a, uint64_t b, uint64_t c) {                                \
        uint64_t r = fma1_##t(a, b, c);                                                            \
                                                                                                   \
        return r != 0x7fff && (r & 0x8000) ? 0 : r;                                                \
    }                                                                                              \
    static uint64_t min1_##t(uint64_t a, uint64_t b) {                                             \
        return half_round(lesser(half_value(a, brain), half_value(b, brain)), brain, TO_NEAREST);  \
    }                                                                                              \
    static uint64_t max1_##t(uint64_t a, uint64_t b) {                                             \
        return half_round(greater(half_value(a, brain), half_value(b, brain)), brain, TO_NEAREST); \
    }                                                                                              \
    static uint64_t maxnan1_##t(uint64_t a, uint64_t b) {                                          \
        return isnan(half_value(a, brain)) || isnan(half_value(b, brain)) ? 0x7fff                 \
                                                                          : max1_##t(a, b);        \
    }                                                                                              \
    PAIRS(add, t)                                                                                  \
    PAIRS(sub, t)                                                                                  \
    PAIRS(mul, t)                                                                                  \
    PAIRS(min, t)                                                                                  \
    PAIRS(max, t)                                                                                  \
    PAIRS(maxnan, t)                                                                               \
    TWIN(fma_##t, fma1_##t(a, b, c))                                                               \
    TWIN(fma2_##t,                                                                                 \
         fma1_##t(a & 0xffff, b & 0xffff, c & 0xffff) | fma1_##t(a >> 16, b >> 16, c >> 16) << 16) \
    TWIN(relu_##t, relu1_##t(a, b, c))
#define PAIRS(op, t)                                                                               \
    TWIN(op##_##t, op##1_##t(a, b))                                                                \
    TWIN(op##2_##t, op##1_##t(a & 0xffff, b & 0xffff) | op##1_##t(a >> 16, b >> 16) << 16)
HALVES(f16, 0)
HALVES(bf16, 1)
TWIN(neg_half, a ^ 0x8000)
TWIN(abs_halves, a & 0x7fff7fff)

#define HALF_CASES(t)                                                                              \
    {"add." #t, "h=hh", add_##t}, {"add.rn." #t "x2", "w=ww", add2_##t},                           \
        {"sub." #t, "h=hh", sub_##t}, {"sub." #t "x2", "w=ww", sub2_##t},                          \
        {"mul." #t, "h=hh", mul_##t}, {"mul." #t "x2", "w=ww", mul2_##t},                          \
        {"fma.rn." #t, "h=hhh", fma_##t}, {"fma.rn." #t "x2", "w=www", fma2_##t},                  \
        {"fma.rn.relu." #t, "h=hhh", relu_##t}, {"min." #t, "h=hh", min_##t},                      \
        {"max." #t, "h=hh", max_##t}, {"min." #t "x2", "w=ww", min2_##t},                          \
        {"max.NaN." #t, "h=hh", maxnan_##t}, {"max." #t "x2", "w=ww", max2_##t},                   \
        {"max.NaN." #t "x2", "w=ww", maxnan2_##t}, {"neg." #t, "h=h", neg_half}, {                 \
        "abs." #t "x2", "w=w", abs_halves                                                          \
    }
static const op_case halves[] = {HALF_CASES(f16), HALF_CASES(bf16)};

/* min and max hand a NaN input on as they like. */
static int same_half(uint64_t got, uint64_t wanted) {
    return wanted == 0x7fff && got == 0x7fff;
}

START_TEST(half_agrees) {
    op_check(&halves[_i], 1, same_half);
}
END_TEST

/* ---- approximations: within the manual's bound of the true function ------------------------- */

static const struct {
    const char *opcode;
    double (*function)(double);
    double low, high, relative, absolute;
} approximations[] = {
    {"ex2.approx.f32", exp2, -120, 120, 0x1p-22, 0},
    {"ex2.approx.ftz.f32", exp2, -120, 120, 0x1p-22, 0},
    {"lg2.approx.f32", log2, 0x1p-100, 1e6, 0x1p-22, 0x1p-22},
    {"sin.approx.f32", sin, -3.1, 3.1, 0, 0x1p-20},
    {"cos.approx.f32", cos, -3.1, 3.1, 0, 0x1p-20},
    {"tanh.approx.f32", tanh, -9, 9, 0x1p-10, 0},
};

START_TEST(approximates) {
    enum { COUNT = 1000 };
    uint64_t in[COUNT], out[COUNT], seed = 77;
    const uint64_t *given[OP_INPUTS] = {in};
    double low = approximations[_i].low, high = approximations[_i].high;
    char body[64];
    int i;

    for (i = 0; i < COUNT; i++) {
        float x = (float)(low + (high - low) * ((double)next_float(&seed) + 1) / 2);

        in[i] = bits_of(x);
    }
    snprintf(body, sizeof(body), "%s %%d, %%a;", approximations[_i].opcode);
    op_run(body, "w=w", COUNT, given, out, 0);
    for (i = 0; i < COUNT; i++) {
        double truth = approximations[_i].function((double)f(in[i]));
        double error = fabs((double)f(out[i]) - truth);

        ck_assert_double_le(error, approximations[_i].absolute +
                                       approximations[_i].relative * fabs(truth));
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_float");
    TCase *tcase = tcase_create("instructions");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, single_agrees, 0, sizeof(singles) / sizeof(*singles));
    tcase_add_loop_test(tcase, double_agrees, 0, sizeof(doubles) / sizeof(*doubles));
    tcase_add_loop_test(tcase, half_agrees, 0, sizeof(halves) / sizeof(*halves));
    tcase_add_loop_test(tcase, approximates, 0, sizeof(approximations) / sizeof(*approximations));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
