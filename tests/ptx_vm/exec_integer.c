/* Integer arithmetic of one width. Overflow wraps, so most of it is done unsigned; shapes and names
 * are those of the manual's "Integer Arithmetic Instructions". */
#include <string.h>

#include "exec.h"

typedef uint16_t u16;
typedef int16_t s16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;
__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

/* ---- add, sub, mul, mad, neg: the same bits for both signs ---------------------------------- */

#define RING(bits, T, W)                                                                           \
    VM_OP2(add_##bits, T, T, T, a[i] + b[i])                                                       \
    VM_OP2(sub_##bits, T, T, T, a[i] - b[i])                                                       \
    VM_OP2(mul_##bits, T, T, T, (W)a[i] * b[i])                                                    \
    VM_OP3(mad_##bits, T, T, T, T, (W)a[i] * b[i] + c[i])                                          \
    VM_OP1(neg_##bits, T, T, 0u - a[i])
RING(16, u16, u32)
RING(32, u32, u32)
RING(64, u64, u64)

/* ---- where the sign matters ----------------------------------------------------------------- */

/* Division by zero gives all ones, its remainder the dividend, as GPUs do (the manual leaves it
 * open); the one overflow of signed division wraps. */
#define DIVIDE(type, T, W)                                                                         \
    VM_OP2(div_##type, T, T, T, b[i] == 0 ? (T)-1 : (T)((W)a[i] / (W)b[i]))                        \
    VM_OP2(rem_##type, T, T, T, b[i] == 0 ? a[i] : (T)((W)a[i] % (W)b[i]))
#define ORDERED(type, T)                                                                           \
    VM_OP2(min_##type, T, T, T, a[i] < b[i] ? a[i] : b[i])                                         \
    VM_OP2(max_##type, T, T, T, a[i] > b[i] ? a[i] : b[i])
#define HIGH(type, T, W, bits)                                                                     \
    VM_OP2(mulhi_##type, T, T, T, ((W)a[i] * (W)b[i]) >> (bits))                                   \
    VM_OP3(madhi_##type, T, T, T, T, (((W)a[i] * (W)b[i]) >> (bits)) + (W)c[i])
#define ABSOLUTE(type, T, U) VM_OP1(abs_##type, U, T, a[i] < 0 ? (U)0 - (U)a[i] : (U)a[i])

DIVIDE(u16, u16, u32)
DIVIDE(s16, s16, s32)
DIVIDE(u32, u32, u32)
DIVIDE(s32, s32, s64)
DIVIDE(u64, u64, u64)
DIVIDE(s64, s64, s128)
ORDERED(u16, u16)
ORDERED(s16, s16)
ORDERED(u32, u32)
ORDERED(s32, s32)
ORDERED(u64, u64)
ORDERED(s64, s64)
HIGH(u16, u16, u32, 16)
HIGH(s16, s16, s32, 16)
HIGH(u32, u32, u64, 32)
HIGH(s32, s32, s64, 32)
HIGH(u64, u64, u128, 64)
HIGH(s64, s64, s128, 64)
ABSOLUTE(s16, s16, u16)
ABSOLUTE(s32, s32, u32)
ABSOLUTE(s64, s64, u64)

VM_OP3(sad_u32, u32, u32, u32, u32, c[i] + (a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]))
VM_OP3(sad_s32, u32, s32, s32, u32,
       c[i] + (a[i] > b[i] ? (u32)a[i] - (u32)b[i] : (u32)b[i] - (u32)a[i]))
VM_OP2(mul24_u32, u32, u32, u32, (a[i] & 0xffffff) * (b[i] & 0xffffff))

VM_OP2(mul24_s32, u32, u32, u32, (u32)((s32)(a[i] << 8) >> 8) * (u32)((s32)(b[i] << 8) >> 8))

static s32 clamp_s32(s64 value) {
    return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : (s32)value;
}

VM_OP2(addsat_s32, s32, s32, s32, clamp_s32((s64)a[i] + b[i]))
VM_OP2(subsat_s32, s32, s32, s32, clamp_s32((s64)a[i] - b[i]))

/* ---- packed bytes --------------------------------------------------------------------------- */

static u32 dot4(u32 a, u32 b, u32 c, bool a_signed, bool b_signed) {
    int k;

    for (k = 0; k < 32; k += 8) {
        u32 x = a >> k & 0xff, y = b >> k & 0xff;

        x = a_signed ? (u32)(int8_t)x : x;
        y = b_signed ? (u32)(int8_t)y : y;
        c += x * y;
    }
    return c;
}

VM_OP3(dp4a_uu, u32, u32, u32, u32, dot4(a[i], b[i], c[i], false, false))
VM_OP3(dp4a_us, u32, u32, u32, u32, dot4(a[i], b[i], c[i], false, true))
VM_OP3(dp4a_su, u32, u32, u32, u32, dot4(a[i], b[i], c[i], true, false))
VM_OP3(dp4a_ss, u32, u32, u32, u32, dot4(a[i], b[i], c[i], true, true))

/* Halves of a by the low or the high two bytes of b. */
static u32 dot2(u32 a, u32 b, u32 c, bool a_signed, bool b_signed) {
    int k;

    for (k = 0; k < 2; k++) {
        u32 x = a >> 16 * k & 0xffff, y = b >> 8 * k & 0xff;

        x = a_signed ? (u32)(int16_t)x : x;
        y = b_signed ? (u32)(int8_t)y : y;
        c += x * y;
    }
    return c;
}

#define DOT2(name, a_signed, b_signed)                                                             \
    VM_OP3(dp2a_lo_##name, u32, u32, u32, u32, dot2(a[i], b[i], c[i], a_signed, b_signed))         \
    VM_OP3(dp2a_hi_##name, u32, u32, u32, u32, dot2(a[i], b[i] >> 16, c[i], a_signed, b_signed))
DOT2(uu, false, false)
DOT2(us, false, true)
DOT2(su, true, false)
DOT2(ss, true, true)

#define BOTH(op, bits, function, shape)                                                            \
    {op ".u" #bits, function, shape, VM_CLASS_INTEGER}, {                                          \
        op ".s" #bits, function, shape, VM_CLASS_INTEGER                                           \
    }
#define EACH(op, name, bits, shape)                                                                \
    {op ".u" #bits, name##_u##bits, shape, VM_CLASS_INTEGER}, {                                    \
        op ".s" #bits, name##_s##bits, shape, VM_CLASS_INTEGER                                     \
    }

static const vm_form forms[] = {
    BOTH("add", 16, add_16, "h=hh"),
    BOTH("add", 32, add_32, "w=ww"),
    BOTH("add", 64, add_64, "d=dd"),
    BOTH("sub", 16, sub_16, "h=hh"),
    BOTH("sub", 32, sub_32, "w=ww"),
    BOTH("sub", 64, sub_64, "d=dd"),
    BOTH("mul.lo", 16, mul_16, "h=hh"),
    BOTH("mul.lo", 32, mul_32, "w=ww"),
    BOTH("mul.lo", 64, mul_64, "d=dd"),
    BOTH("mad.lo", 16, mad_16, "h=hhh"),
    BOTH("mad.lo", 32, mad_32, "w=www"),
    BOTH("mad.lo", 64, mad_64, "d=ddd"),
    EACH("mul.hi", mulhi, 16, "h=hh"),
    EACH("mul.hi", mulhi, 32, "w=ww"),
    EACH("mul.hi", mulhi, 64, "d=dd"),
    EACH("mad.hi", madhi, 16, "h=hhh"),
    EACH("mad.hi", madhi, 32, "w=www"),
    EACH("mad.hi", madhi, 64, "d=ddd"),
    EACH("div", div, 16, "h=hh"),
    EACH("div", div, 32, "w=ww"),
    EACH("div", div, 64, "d=dd"),
    EACH("rem", rem, 16, "h=hh"),
    EACH("rem", rem, 32, "w=ww"),
    EACH("rem", rem, 64, "d=dd"),
    EACH("min", min, 16, "h=hh"),
    EACH("min", min, 32, "w=ww"),
    EACH("min", min, 64, "d=dd"),
    EACH("max", max, 16, "h=hh"),
    EACH("max", max, 32, "w=ww"),
    EACH("max", max, 64, "d=dd"),
    {"neg.s16", neg_16, "h=h", VM_CLASS_INTEGER},
    {"neg.s32", neg_32, "w=w", VM_CLASS_INTEGER},
    {"neg.s64", neg_64, "d=d", VM_CLASS_INTEGER},
    {"abs.s16", abs_s16, "h=h", VM_CLASS_INTEGER},
    {"abs.s32", abs_s32, "w=w", VM_CLASS_INTEGER},
    {"abs.s64", abs_s64, "d=d", VM_CLASS_INTEGER},
    EACH("sad", sad, 32, "w=www"),
    {"mul24.lo.u32", mul24_u32, "w=ww", VM_CLASS_INTEGER},
    {"mul24.lo.s32", mul24_s32, "w=ww", VM_CLASS_INTEGER},
    {"add.sat.s32", addsat_s32, "w=ww", VM_CLASS_INTEGER},
    {"sub.sat.s32", subsat_s32, "w=ww", VM_CLASS_INTEGER},
    {"dp4a.u32.u32", dp4a_uu, "w=www", VM_CLASS_INTEGER},
    {"dp4a.u32.s32", dp4a_us, "w=www", VM_CLASS_INTEGER},
    {"dp4a.s32.u32", dp4a_su, "w=www", VM_CLASS_INTEGER},
    {"dp4a.s32.s32", dp4a_ss, "w=www", VM_CLASS_INTEGER},
    {"dp2a.lo.u32.u32", dp2a_lo_uu, "w=www", VM_CLASS_INTEGER},
    {"dp2a.lo.u32.s32", dp2a_lo_us, "w=www", VM_CLASS_INTEGER},
    {"dp2a.lo.s32.u32", dp2a_lo_su, "w=www", VM_CLASS_INTEGER},
    {"dp2a.lo.s32.s32", dp2a_lo_ss, "w=www", VM_CLASS_INTEGER},
    {"dp2a.hi.u32.u32", dp2a_hi_uu, "w=www", VM_CLASS_INTEGER},
    {"dp2a.hi.u32.s32", dp2a_hi_us, "w=www", VM_CLASS_INTEGER},
    {"dp2a.hi.s32.u32", dp2a_hi_su, "w=www", VM_CLASS_INTEGER},
    {"dp2a.hi.s32.s32", dp2a_hi_ss, "w=www", VM_CLASS_INTEGER},
};

const vm_form_list vm_integer_forms = {forms, sizeof(forms) / sizeof(*forms)};
