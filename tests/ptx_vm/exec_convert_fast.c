/* Conversions that inner loops are made of, and those of two numbers at once. */
#include <math.h>

#include "exec.h"
#include "half.h"

typedef uint16_t u16;
typedef int16_t s16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;

VM_OP1(f32_f16, float, u16, vm_canonical(vm_from_f16(a[i])))
VM_OP1(f32_bf16, float, u16, vm_canonical(vm_from_bf16(a[i])))
VM_OP1(f16_f32, u16, float, vm_to_f16(a[i]))
VM_OP1(bf16_f32, u16, float, vm_to_bf16(a[i]))
VM_OP1(f32_s32, float, s32, a[i])
VM_OP1(f32_u32, float, u32, a[i])
VM_OP1(f64_f32, double, float, a[i])
VM_OP1(f32_f64, float, double, vm_canonical((float)a[i]))
VM_OP1(u64_u32, u64, u32, a[i])
VM_OP1(s64_s32, u64, s32, (s64)a[i])
VM_OP1(u32_u64, u32, u64, a[i])
VM_OP1(u32_u16, u32, u16, a[i])
VM_OP1(s32_s16, u32, s16, (s32)a[i])
VM_OP1(u16_u32, u16, u32, a[i])

/* Saturating: 2^31 is no s32, but is the first float beyond. */
static inline s32 clamp_s32(float x) {
    float inside = x >= 0x1p31f || x != x ? 0 : x < -0x1p31f ? -0x1p31f : x;

    return x >= 0x1p31f ? INT32_MAX : (s32)inside;
}

VM_OP1(rzi_s32_f32, s32, float, clamp_s32(a[i]))
VM_OP1(rni_s32_f32, s32, float, clamp_s32(rintf(a[i])))
VM_OP1(rmi_s32_f32, s32, float, clamp_s32(floorf(a[i])))
VM_OP1(rni_f32_f32, float, float, vm_canonical(rintf(a[i])))
VM_OP1(rzi_f32_f32, float, float, vm_canonical(truncf(a[i])))
VM_OP1(rmi_f32_f32, float, float, vm_canonical(floorf(a[i])))
VM_OP1(rpi_f32_f32, float, float, vm_canonical(ceilf(a[i])))
VM_OP1(sat_f32_f32, float, float, a[i] > 0 ? (a[i] < 1 ? a[i] : 1.0f) : 0.0f)

/* Two numbers in one register: the first operand goes into the upper half. */
VM_OP2(f16x2_f32, u32, float, float, (u32)vm_to_f16(a[i]) << 16 | vm_to_f16(b[i]))
VM_OP2(bf16x2_f32, u32, float, float, (u32)vm_to_bf16(a[i]) << 16 | vm_to_bf16(b[i]))

static inline float relu(float x) {
    return x != x ? x : x > 0 ? x : 0.0f;
}

VM_OP2(f16x2_relu, u32, float, float, (u32)vm_to_f16(relu(a[i])) << 16 | vm_to_f16(relu(b[i])))
VM_OP2(bf16x2_relu, u32, float, float, (u32)vm_to_bf16(relu(a[i])) << 16 | vm_to_bf16(relu(b[i])))
VM_OP1(f16_relu, u16, float, vm_to_f16(relu(a[i])))
VM_OP1(bf16_relu, u16, float, vm_to_bf16(relu(a[i])))

/* tf32 is an f32 with 10 bits of mantissa; .rna: nearest, ties away from zero; .rn: ties to even.
 */
static inline u32 tf32(u32 bits, u32 half) {
    u32 a = bits & 0x7fffffff;

    return a > 0x7f800000 ? 0x7fffffff : (bits + half) & 0xffffe000;
}

VM_OP1(tf32_rna, u32, u32, tf32(a[i], 0x1000))
VM_OP1(tf32_rn, u32, u32, tf32(a[i], 0xfff + (a[i] >> 13 & 1)))

#define FORM(opcode, function, shape)                                                              \
    { opcode, function, shape, VM_CLASS_CONVERT }

static const vm_form forms[] = {
    FORM("cvt.f32.f16", f32_f16, "w=h"),
    FORM("cvt.f32.bf16", f32_bf16, "w=h"),
    FORM("cvt.rn.f16.f32", f16_f32, "h=w"),
    FORM("cvt.rn.bf16.f32", bf16_f32, "h=w"),
    FORM("cvt.rn.relu.f16.f32", f16_relu, "h=w"),
    FORM("cvt.rn.relu.bf16.f32", bf16_relu, "h=w"),
    FORM("cvt.rn.f32.s32", f32_s32, "w=w"),
    FORM("cvt.rn.f32.u32", f32_u32, "w=w"),
    FORM("cvt.f64.f32", f64_f32, "d=w"),
    FORM("cvt.rn.f32.f64", f32_f64, "w=d"),
    FORM("cvt.u64.u32", u64_u32, "d=w"),
    FORM("cvt.s64.s32", s64_s32, "d=w"),
    FORM("cvt.u32.u64", u32_u64, "w=d"),
    FORM("cvt.u32.u16", u32_u16, "w=h"),
    FORM("cvt.s32.s16", s32_s16, "w=h"),
    FORM("cvt.u16.u32", u16_u32, "h=w"),
    FORM("cvt.rzi.s32.f32", rzi_s32_f32, "w=w"),
    FORM("cvt.rni.s32.f32", rni_s32_f32, "w=w"),
    FORM("cvt.rmi.s32.f32", rmi_s32_f32, "w=w"),
    FORM("cvt.rni.f32.f32", rni_f32_f32, "w=w"),
    FORM("cvt.rzi.f32.f32", rzi_f32_f32, "w=w"),
    FORM("cvt.rmi.f32.f32", rmi_f32_f32, "w=w"),
    FORM("cvt.rpi.f32.f32", rpi_f32_f32, "w=w"),
    FORM("cvt.sat.f32.f32", sat_f32_f32, "w=w"),
    FORM("cvt.rn.f16x2.f32", f16x2_f32, "w=ww"),
    FORM("cvt.rn.bf16x2.f32", bf16x2_f32, "w=ww"),
    FORM("cvt.rn.relu.f16x2.f32", f16x2_relu, "w=ww"),
    FORM("cvt.rn.relu.bf16x2.f32", bf16x2_relu, "w=ww"),
    FORM("cvt.rna.tf32.f32", tf32_rna, "w=w"),
    FORM("cvt.rn.tf32.f32", tf32_rn, "w=w"),
};

const vm_form_list vm_convert_forms = {forms, sizeof(forms) / sizeof(*forms)};
