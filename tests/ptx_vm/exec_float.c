/* Floating-point arithmetic of 32 and 64 bits. Plain round-to-nearest is computed as it stands (the
 * CPU is an IEEE machine, and this library is compiled without contraction); the other rounding
 * modes, which nvcc uses inside expf and divisions, switch the CPU's mode around the loop. Rows are
 * memory that the switching function might touch, so the compiler keeps the order. */
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "exec.h"
#include "half.h"

enum { NEAREST, ZERO, DOWN, UP, FLUSH = 4, SATURATE = 8 };

static void rounding(uint32_t option) {
    static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};

    fesetround(modes[option & 3]);
}

/* .ftz: subnormal numbers become zeros of their sign. */
static inline float flush(float value, uint32_t option) {
    uint32_t bits = vm_bits(value);

    return (option & FLUSH) && (bits & 0x7f800000) == 0 ? vm_float(bits & 0x80000000) : value;
}

/* .sat: into [0, 1], NaN to 0. */
static inline float finish(float value, uint32_t option) {
    value = flush(value, option);
    if (option & SATURATE) {
        return value > 0 ? (value < 1 ? value : 1.0f) : 0.0f;
    }
    return vm_canonical(value);
}

/* x, y, z are the operands after flushing. */
#define GENERAL(name, expression)                                                                  \
    static void name##_general(vm_warp *w, const vm_instr *in, uint32_t mask) {                    \
        float *d = vm_row(w, in->ref[0]);                                                          \
        const float *a = vm_row(w, in->ref[1]);                                                    \
        const float *b = vm_row(w, in->ref[in->ref_count > 2 ? 2 : 1]);                            \
        const float *c = vm_row(w, in->ref[in->ref_count > 3 ? 3 : 1]);                            \
        uint32_t option = in->option;                                                              \
                                                                                                   \
        if (option & 3) {                                                                          \
            rounding(option);                                                                      \
        }                                                                                          \
        VM_EACH_LANE(const float x = flush(a[i], option); const float y = flush(b[i], option);     \
                     const float z = flush(c[i], option); (void)y; (void)z;                        \
                     d[i] = finish(expression, option));                                           \
        if (option & 3) {                                                                          \
            rounding(NEAREST);                                                                     \
        }                                                                                          \
    }
#define WIDE(name, expression)                                                                     \
    static void name##_f64(vm_warp *w, const vm_instr *in, uint32_t mask) {                        \
        double *d = vm_row(w, in->ref[0]);                                                         \
        const double *a = vm_row(w, in->ref[1]);                                                   \
        const double *b = vm_row(w, in->ref[in->ref_count > 2 ? 2 : 1]);                           \
        const double *c = vm_row(w, in->ref[in->ref_count > 3 ? 3 : 1]);                           \
                                                                                                   \
        if (in->option & 3) {                                                                      \
            rounding(in->option);                                                                  \
        }                                                                                          \
        VM_EACH_LANE(const double x = a[i]; const double y = b[i]; const double z = c[i]; (void)y; \
                     (void)z; d[i] = expression);                                                  \
        if (in->option & 3) {                                                                      \
            rounding(NEAREST);                                                                     \
        }                                                                                          \
    }

VM_OP2(add_fast, float, float, float, vm_canonical(a[i] + b[i]))
VM_OP2(sub_fast, float, float, float, vm_canonical(a[i] - b[i]))
VM_OP2(mul_fast, float, float, float, vm_canonical(a[i] * b[i]))
VM_OP2(div_fast, float, float, float, vm_canonical(a[i] / b[i]))
VM_OP3(fma_fast, float, float, float, float, vm_canonical(fmaf(a[i], b[i], c[i])))
VM_OP1(rcp_fast, float, float, vm_canonical(1.0f / a[i]))
VM_OP1(sqrt_fast, float, float, vm_canonical(sqrtf(a[i])))
GENERAL(add, x + y)
GENERAL(sub, x - y)
GENERAL(mul, x *y)
GENERAL(div, x / y)
GENERAL(fma, fmaf(x, y, z))
GENERAL(rcp, 1.0f / x)
GENERAL(sqrt, sqrtf(x))
WIDE(add, x + y)
WIDE(sub, x - y)
WIDE(mul, x *y)
WIDE(div, x / y)
WIDE(fma, fma(x, y, z))
WIDE(rcp, 1.0 / x)
WIDE(sqrt, sqrt(x))

static const struct {
    const char *name;
    uint32_t operands;
    vm_run fast, general, wide;
    vm_class class;
} operations[] = {
    {"add", 2, add_fast, add_general, add_f64, VM_CLASS_FLOAT},
    {"sub", 2, sub_fast, sub_general, sub_f64, VM_CLASS_FLOAT},
    {"mul", 2, mul_fast, mul_general, mul_f64, VM_CLASS_FLOAT},
    {"fma", 3, fma_fast, fma_general, fma_f64, VM_CLASS_FLOAT},
    {"mad", 3, fma_fast, fma_general, fma_f64, VM_CLASS_FLOAT}, /* since sm_20 */
    {"div", 2, div_fast, div_general, div_f64, VM_CLASS_SPECIAL},
    {"rcp", 1, rcp_fast, rcp_general, rcp_f64, VM_CLASS_SPECIAL},
    {"sqrt", 1, sqrt_fast, sqrt_general, sqrt_f64, VM_CLASS_SPECIAL},
};

/* op{.rn .rz .rm .rp | .approx .full}{.ftz}{.sat}.{f32 f64}: approximations are computed exactly
 * rounded, which is within their documented error except that a GPU's div.approx gives 0 for
 * divisors above 2^126. */
static bool decode_arithmetic(vm_decoder *d) {
    static const char *const modes[] = {"rn", "rz", "rm", "rp"};
    static const char *const loose[] = {"approx", "full"};
    uint32_t i = 0, count = sizeof(operations) / sizeof(*operations);
    int mode = vm_take_of(d, modes, 4);
    bool approximate = mode < 0 && vm_take_of(d, loose, 2) >= 0, wide, ok;
    uint16_t option = (uint16_t)(mode < 0 ? 0 : mode);
    vm_width width;

    while (i < count && strcmp(operations[i].name, d->word[0]) != 0) {
        i++;
    }
    option |= vm_take(d, "ftz") ? FLUSH : 0;
    option |= vm_take(d, "sat") ? SATURATE : 0;
    wide = vm_take(d, "f64");
    if (i == count || (!wide && !vm_take(d, "f32")) || (wide && (option & ~3u || approximate)) ||
        (approximate && operations[i].class != VM_CLASS_SPECIAL) ||
        !vm_want(d, 1 + operations[i].operands)) {
        return false;
    }
    width = wide ? VM_B64 : VM_B32;
    d->in->option = option;
    d->in->class = (uint8_t)operations[i].class;
    d->in->run = wide ? operations[i].wide : option ? operations[i].general : operations[i].fast;
    ok = vm_dst(d, &d->statement->operands[0], width);
    for (uint32_t k = 1; ok && k <= operations[i].operands; k++) {
        ok = vm_src(d, &d->statement->operands[k], width);
    }
    return ok;
}

static const vm_family families[] = {
    {"add", decode_arithmetic}, {"sub", decode_arithmetic},  {"mul", decode_arithmetic},
    {"fma", decode_arithmetic}, {"mad", decode_arithmetic},  {"div", decode_arithmetic},
    {"rcp", decode_arithmetic}, {"sqrt", decode_arithmetic},
};

const vm_family_list vm_float_families = {families, sizeof(families) / sizeof(*families)};

/* ---- signs, minimum and maximum ------------------------------------------------------------- */

/* -0 is less than +0; a NaN loses against a number, or wins with .NaN. */
static inline float smaller(float a, float b) {
    uint32_t equal = vm_bits(a) | vm_bits(b);
    float least = a < b ? a : a == b ? vm_float(equal) : b;

    return vm_canonical(a != a ? b : b != b ? a : least);
}

static inline float larger(float a, float b) {
    uint32_t equal = vm_bits(a) & vm_bits(b);
    float most = a > b ? a : a == b ? vm_float(equal) : b;

    return vm_canonical(a != a ? b : b != b ? a : most);
}

static inline float with_nan(float a, float b, float result) {
    return a != a || b != b ? vm_float(0x7fffffff) : result;
}

VM_OP2(min_f32, float, float, float, smaller(a[i], b[i]))
VM_OP2(max_f32, float, float, float, larger(a[i], b[i]))
VM_OP2(min_ftz, float, float, float, smaller(flush(a[i], FLUSH), flush(b[i], FLUSH)))
VM_OP2(max_ftz, float, float, float, larger(flush(a[i], FLUSH), flush(b[i], FLUSH)))
VM_OP2(min_nan, float, float, float, with_nan(a[i], b[i], smaller(a[i], b[i])))
VM_OP2(max_nan, float, float, float, with_nan(a[i], b[i], larger(a[i], b[i])))
VM_OP2(min_f64, double, double, double,
       a[i] == b[i] ? (signbit(a[i]) ? a[i] : b[i]) : fmin(a[i], b[i]))
VM_OP2(max_f64, double, double, double,
       a[i] == b[i] ? (signbit(a[i]) ? b[i] : a[i]) : fmax(a[i], b[i]))
VM_OP1(abs_f32, uint32_t, uint32_t, a[i] & 0x7fffffff)
VM_OP1(neg_f32, uint32_t, uint32_t, a[i] ^ 0x80000000)
VM_OP1(abs_ftz, float, float, flush(vm_float(vm_bits(a[i]) & 0x7fffffff), FLUSH))
VM_OP1(neg_ftz, float, float, flush(vm_float(vm_bits(a[i]) ^ 0x80000000), FLUSH))
VM_OP1(abs_f64, uint64_t, uint64_t, a[i] & ~((uint64_t)1 << 63))
VM_OP1(neg_f64, uint64_t, uint64_t, a[i] ^ (uint64_t)1 << 63)
/* The sign of a on the value of b. */
VM_OP2(copysign_f32, uint32_t, uint32_t, uint32_t, (a[i] & 0x80000000) | (b[i] & 0x7fffffff))
VM_OP2(copysign_f64, double, double, double, copysign(b[i], a[i]))

#define FORM(opcode, function, shape)                                                              \
    { opcode, function, shape, VM_CLASS_FLOAT }

static const vm_form forms[] = {
    FORM("min.f32", min_f32, "w=ww"),
    FORM("max.f32", max_f32, "w=ww"),
    FORM("min.ftz.f32", min_ftz, "w=ww"),
    FORM("max.ftz.f32", max_ftz, "w=ww"),
    FORM("min.NaN.f32", min_nan, "w=ww"),
    FORM("max.NaN.f32", max_nan, "w=ww"),
    FORM("min.f64", min_f64, "d=dd"),
    FORM("max.f64", max_f64, "d=dd"),
    FORM("abs.f32", abs_f32, "w=w"),
    FORM("neg.f32", neg_f32, "w=w"),
    FORM("abs.ftz.f32", abs_ftz, "w=w"),
    FORM("neg.ftz.f32", neg_ftz, "w=w"),
    FORM("abs.f64", abs_f64, "d=d"),
    FORM("neg.f64", neg_f64, "d=d"),
    FORM("copysign.f32", copysign_f32, "w=ww"),
    FORM("copysign.f64", copysign_f64, "d=dd"),
};

const vm_form_list vm_float_forms = {forms, sizeof(forms) / sizeof(*forms)};
