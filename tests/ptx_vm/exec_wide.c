/* Integer arithmetic with results of another width, and with a carry between instructions. */
#include "exec.h"

typedef uint16_t u16;
typedef int16_t s16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;
__extension__ typedef unsigned __int128 u128;

VM_OP2(mulwide_u16, u32, u16, u16, (u32)a[i] * b[i])
VM_OP2(mulwide_s16, u32, s16, s16, (s32)a[i] * b[i])
VM_OP2(mulwide_u32, u64, u32, u32, (u64)a[i] * b[i])
VM_OP2(mulwide_s32, u64, s32, s32, (s64)a[i] * b[i])
VM_OP3(madwide_u16, u32, u16, u16, u32, (u32)a[i] * b[i] + c[i])
VM_OP3(madwide_s16, u32, s16, s16, u32, (u32)((s32)a[i] * b[i]) + c[i])
VM_OP3(madwide_u32, u64, u32, u32, u64, (u64)a[i] * b[i] + c[i])
VM_OP3(madwide_s32, u64, s32, s32, u64, (u64)((s64)a[i] * b[i]) + c[i])

/* ---- the carry flag: one bit for each lane -------------------------------------------------- */

/* d = a + b + carry-in; the new carry is kept where the opcode has .cc. A borrow is the missing
 * carry of a + ~b + 1, as the hardware has it. */
#define CARRY(name, T, W, bits, second, carry_in, keep)                                            \
    static void name(vm_warp *w, const vm_instr *in, uint32_t mask) {                              \
        T *d = vm_row(w, in->ref[0]);                                                              \
        const T *a = vm_row(w, in->ref[1]), *b = vm_row(w, in->ref[2]);                            \
        uint32_t carry = w->carry;                                                                 \
                                                                                                   \
        for (uint32_t i = 0; i < VM_LANES; i++) {                                                  \
            if (mask >> i & 1) {                                                                   \
                W sum = (W)a[i] + (W)(T)(second) + (carry_in);                                     \
                                                                                                   \
                d[i] = (T)sum;                                                                     \
                carry = (carry & ~(1u << i)) | (uint32_t)(sum >> (bits)&1) << i;                   \
            }                                                                                      \
        }                                                                                          \
        if (keep) {                                                                                \
            w->carry = carry;                                                                      \
        }                                                                                          \
    }
#define CARRIES(T, W, bits)                                                                        \
    CARRY(addcc_##bits, T, W, bits, b[i], 0, true)                                                 \
    CARRY(addc_##bits, T, W, bits, b[i], carry >> i & 1, false)                                    \
    CARRY(addccc_##bits, T, W, bits, b[i], carry >> i & 1, true)                                   \
    CARRY(subcc_##bits, T, W, bits, ~b[i], 1, true)                                                \
    CARRY(subc_##bits, T, W, bits, ~b[i], carry >> i & 1, false)                                   \
    CARRY(subccc_##bits, T, W, bits, ~b[i], carry >> i & 1, true)
CARRIES(u32, u64, 32)
CARRIES(u64, u128, 64)

/* d = half of a * b, + c + carry-in. */
#define MULTIPLY(name, half, carry_in, keep)                                                       \
    static void name(vm_warp *w, const vm_instr *in, uint32_t mask) {                              \
        u32 *d = vm_row(w, in->ref[0]);                                                            \
        const u32 *a = vm_row(w, in->ref[1]), *b = vm_row(w, in->ref[2]);                          \
        const u32 *c = vm_row(w, in->ref[3]);                                                      \
        uint32_t carry = w->carry;                                                                 \
                                                                                                   \
        for (uint32_t i = 0; i < VM_LANES; i++) {                                                  \
            if (mask >> i & 1) {                                                                   \
                u64 sum = (u64)(u32)((u64)a[i] * b[i] >> (half)) + c[i] + (carry_in);              \
                                                                                                   \
                d[i] = (u32)sum;                                                                   \
                carry = (carry & ~(1u << i)) | (uint32_t)(sum >> 32 & 1) << i;                     \
            }                                                                                      \
        }                                                                                          \
        if (keep) {                                                                                \
            w->carry = carry;                                                                      \
        }                                                                                          \
    }
MULTIPLY(madlocc, 0, 0, true)
MULTIPLY(madhicc, 32, 0, true)
MULTIPLY(madclo, 0, carry >> i & 1, false)
MULTIPLY(madchi, 32, carry >> i & 1, false)
MULTIPLY(madcclo, 0, carry >> i & 1, true)
MULTIPLY(madcchi, 32, carry >> i & 1, true)

#define BOTH(op, bits, function, shape)                                                            \
    {op ".u" #bits, function, shape, VM_CLASS_INTEGER}, {                                          \
        op ".s" #bits, function, shape, VM_CLASS_INTEGER                                           \
    }

static const vm_form forms[] = {
    {"mul.wide.u16", mulwide_u16, "w=hh", VM_CLASS_INTEGER},
    {"mul.wide.s16", mulwide_s16, "w=hh", VM_CLASS_INTEGER},
    {"mul.wide.u32", mulwide_u32, "d=ww", VM_CLASS_INTEGER},
    {"mul.wide.s32", mulwide_s32, "d=ww", VM_CLASS_INTEGER},
    {"mad.wide.u16", madwide_u16, "w=hhw", VM_CLASS_INTEGER},
    {"mad.wide.s16", madwide_s16, "w=hhw", VM_CLASS_INTEGER},
    {"mad.wide.u32", madwide_u32, "d=wwd", VM_CLASS_INTEGER},
    {"mad.wide.s32", madwide_s32, "d=wwd", VM_CLASS_INTEGER},
    BOTH("add.cc", 32, addcc_32, "w=ww"),
    BOTH("addc", 32, addc_32, "w=ww"),
    BOTH("addc.cc", 32, addccc_32, "w=ww"),
    BOTH("sub.cc", 32, subcc_32, "w=ww"),
    BOTH("subc", 32, subc_32, "w=ww"),
    BOTH("subc.cc", 32, subccc_32, "w=ww"),
    BOTH("add.cc", 64, addcc_64, "d=dd"),
    BOTH("addc", 64, addc_64, "d=dd"),
    BOTH("addc.cc", 64, addccc_64, "d=dd"),
    BOTH("sub.cc", 64, subcc_64, "d=dd"),
    BOTH("subc", 64, subc_64, "d=dd"),
    BOTH("subc.cc", 64, subccc_64, "d=dd"),
    {"mad.lo.cc.u32", madlocc, "w=www", VM_CLASS_INTEGER},
    {"mad.hi.cc.u32", madhicc, "w=www", VM_CLASS_INTEGER},
    {"madc.lo.u32", madclo, "w=www", VM_CLASS_INTEGER},
    {"madc.hi.u32", madchi, "w=www", VM_CLASS_INTEGER},
    {"madc.lo.cc.u32", madcclo, "w=www", VM_CLASS_INTEGER},
    {"madc.hi.cc.u32", madcchi, "w=www", VM_CLASS_INTEGER},
};

const vm_form_list vm_wide_forms = {forms, sizeof(forms) / sizeof(*forms)};
