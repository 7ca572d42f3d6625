/* What a GPU's special function unit approximates: computed here by the C library, that is with an
 * error far below the one that the manual allows (ex2, lg2: 2^-22; rsqrt 2^-22.9; sin, cos:
 * absolute 2^-20.9 within a turn; tanh: relative 2^-11). A kernel must therefore not be tested for
 * being closer to the truth than those bounds. */
#include <math.h>
#include <string.h>

#include "exec.h"
#include "half.h"

static inline float ftz(float value) {
    uint32_t bits = vm_bits(value);

    return (bits & 0x7f800000) == 0 ? vm_float(bits & 0x80000000) : value;
}

#define APPROXIMATE(name, expression)                                                              \
    static inline float name##_of(float x) {                                                       \
        return vm_canonical(expression);                                                           \
    }                                                                                              \
    VM_OP1(name##_f32, float, float, name##_of(a[i]))
#define FLUSHING(name) VM_OP1(name##_ftz, float, float, ftz(name##_of(ftz(a[i]))))

APPROXIMATE(ex2, exp2f(x))
APPROXIMATE(lg2, log2f(x))
APPROXIMATE(rsqrt, (float)(1.0 / sqrt((double)x)))
APPROXIMATE(sine, sinf(x))
APPROXIMATE(cosine, cosf(x))
APPROXIMATE(tanh, tanhf(x))
FLUSHING(ex2)
FLUSHING(lg2)
FLUSHING(rsqrt)
FLUSHING(sine)
FLUSHING(cosine)

#define HALF(name, from, to)                                                                       \
    VM_OP1(name##_x1, uint16_t, uint16_t, to(name##_of(from(a[i]))))                               \
    VM_OP1(name##_x2, uint32_t, uint32_t,                                                          \
           to(name##_of(from((uint16_t)a[i]))) |                                                   \
               (uint32_t)to(name##_of(from((uint16_t)(a[i] >> 16)))) << 16)
#define ex2_f16_of ex2_of
#define ex2_bf16_of ex2_of
#define tanh_f16_of tanh_of
#define tanh_bf16_of tanh_of
HALF(ex2_f16, vm_from_f16, vm_to_f16)
HALF(ex2_bf16, vm_from_bf16, vm_to_bf16)
HALF(tanh_f16, vm_from_f16, vm_to_f16)
HALF(tanh_bf16, vm_from_bf16, vm_to_bf16)

/* The 64-bit approximations give the upper 32 bits only. */
static double upper_half(double value) {
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    bits &= ~(uint64_t)0xffffffff;
    memcpy(&value, &bits, sizeof(bits));
    return value;
}

VM_OP1(rcp_f64, double, double, upper_half(1.0 / a[i]))
VM_OP1(rsqrt_f64, double, double, upper_half(1.0 / sqrt(a[i])))

#define FORM(opcode, function, shape)                                                              \
    { opcode, function, shape, VM_CLASS_SPECIAL }

static const vm_form forms[] = {
    FORM("ex2.approx.f32", ex2_f32, "w=w"),
    FORM("ex2.approx.ftz.f32", ex2_ftz, "w=w"),
    FORM("lg2.approx.f32", lg2_f32, "w=w"),
    FORM("lg2.approx.ftz.f32", lg2_ftz, "w=w"),
    FORM("rsqrt.approx.f32", rsqrt_f32, "w=w"),
    FORM("rsqrt.approx.ftz.f32", rsqrt_ftz, "w=w"),
    FORM("sin.approx.f32", sine_f32, "w=w"),
    FORM("sin.approx.ftz.f32", sine_ftz, "w=w"),
    FORM("cos.approx.f32", cosine_f32, "w=w"),
    FORM("cos.approx.ftz.f32", cosine_ftz, "w=w"),
    FORM("tanh.approx.f32", tanh_f32, "w=w"),
    FORM("ex2.approx.f16", ex2_f16_x1, "h=h"),
    FORM("ex2.approx.f16x2", ex2_f16_x2, "w=w"),
    FORM("ex2.approx.ftz.bf16", ex2_bf16_x1, "h=h"),
    FORM("ex2.approx.ftz.bf16x2", ex2_bf16_x2, "w=w"),
    FORM("tanh.approx.f16", tanh_f16_x1, "h=h"),
    FORM("tanh.approx.f16x2", tanh_f16_x2, "w=w"),
    FORM("tanh.approx.bf16", tanh_bf16_x1, "h=h"),
    FORM("tanh.approx.bf16x2", tanh_bf16_x2, "w=w"),
    FORM("rcp.approx.ftz.f64", rcp_f64, "d=d"),
    FORM("rsqrt.approx.f64", rsqrt_f64, "d=d"),
    FORM("rsqrt.approx.ftz.f64", rsqrt_f64, "d=d"),
};

const vm_form_list vm_special_forms = {forms, sizeof(forms) / sizeof(*forms)};
