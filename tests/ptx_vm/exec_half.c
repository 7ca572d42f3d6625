/* Arithmetic of f16, bf16 and their pairs. Sums and products of two such numbers are computed in
 * f32, which has more than twice their bits, and rounded once more without harm; a fused
 * multiply-add goes through f64 with rounding to odd (half.h). */
#include "exec.h"
#include "half.h"

typedef uint16_t u16;
typedef uint32_t u32;

#define SCALARS(type)                                                                              \
    static inline u16 add_##type(u16 a, u16 b) {                                                   \
        return vm_to_##type(vm_from_##type(a) + vm_from_##type(b));                                \
    }                                                                                              \
    static inline u16 sub_##type(u16 a, u16 b) {                                                   \
        return vm_to_##type(vm_from_##type(a) - vm_from_##type(b));                                \
    }                                                                                              \
    static inline u16 mul_##type(u16 a, u16 b) {                                                   \
        return vm_to_##type(vm_from_##type(a) * vm_from_##type(b));                                \
    }                                                                                              \
    static inline u16 fma_##type(u16 a, u16 b, u16 c) {                                            \
        double product = (double)vm_from_##type(a) * (double)vm_from_##type(b);                    \
                                                                                                   \
        return vm_to_##type(vm_narrow_odd(vm_sum_odd(product, (double)vm_from_##type(c))));        \
    }                                                                                              \
    static inline bool nan_##type(u16 a) {                                                         \
        return vm_from_##type(a) != vm_from_##type(a);                                             \
    }                                                                                              \
    static inline u16 min_##type(u16 a, u16 b) {                                                   \
        float x = vm_from_##type(a), y = vm_from_##type(b);                                        \
        u16 least = x < y ? a : x == y ? (u16)(a | b) : b;                                         \
                                                                                                   \
        least = x != x ? b : y != y ? a : least;                                                   \
        return x != x && y != y ? 0x7fff : least;                                                  \
    }                                                                                              \
    static inline u16 max_##type(u16 a, u16 b) {                                                   \
        float x = vm_from_##type(a), y = vm_from_##type(b);                                        \
        u16 most = x > y ? a : x == y ? (u16)(a & b) : b;                                          \
                                                                                                   \
        most = x != x ? b : y != y ? a : most;                                                     \
        return x != x && y != y ? 0x7fff : most;                                                   \
    }                                                                                              \
    static inline u16 minnan_##type(u16 a, u16 b) {                                                \
        return nan_##type(a) || nan_##type(b) ? 0x7fff : min_##type(a, b);                         \
    }                                                                                              \
    static inline u16 maxnan_##type(u16 a, u16 b) {                                                \
        return nan_##type(a) || nan_##type(b) ? 0x7fff : max_##type(a, b);                         \
    }                                                                                              \
    /* .relu: below zero is zero, NaN canonical; .sat: into [0, 1], NaN is zero. */                \
    static inline u16 relu_##type(u16 a) {                                                         \
        return nan_##type(a) ? 0x7fff : a & 0x8000 ? 0 : a;                                        \
    }                                                                                              \
    static inline u16 fmarelu_##type(u16 a, u16 b, u16 c) {                                        \
        return relu_##type(fma_##type(a, b, c));                                                   \
    }
SCALARS(f16)
SCALARS(bf16)

static inline u16 saturate(u16 a) {
    float x = vm_from_f16(a);

    return !(x > 0) ? 0 : x > 1 ? 0x3c00 : a;
}

/* .ftz of a half. */
static inline u16 ftz(u16 a) {
    return (a & 0x7c00) == 0 ? a & 0x8000 : a;
}

static inline u16 addsat_f16(u16 a, u16 b) {
    return saturate(add_f16(a, b));
}
static inline u16 subsat_f16(u16 a, u16 b) {
    return saturate(sub_f16(a, b));
}
static inline u16 mulsat_f16(u16 a, u16 b) {
    return saturate(mul_f16(a, b));
}
static inline u16 fmasat_f16(u16 a, u16 b, u16 c) {
    return saturate(fma_f16(a, b, c));
}
static inline u16 addftz_f16(u16 a, u16 b) {
    return ftz(add_f16(ftz(a), ftz(b)));
}
static inline u16 subftz_f16(u16 a, u16 b) {
    return ftz(sub_f16(ftz(a), ftz(b)));
}
static inline u16 mulftz_f16(u16 a, u16 b) {
    return ftz(mul_f16(ftz(a), ftz(b)));
}
static inline u16 fmaftz_f16(u16 a, u16 b, u16 c) {
    return ftz(fma_f16(ftz(a), ftz(b), ftz(c)));
}

/* Functions for one and for two numbers in a register. */
#define HIGH(x) (u16)((x) >> 16)
#define PAIR2(f) f((u16)a[i], (u16)b[i]) | (u32)f(HIGH(a[i]), HIGH(b[i])) << 16
#define PAIR3(f)                                                                                   \
    f((u16)a[i], (u16)b[i], (u16)c[i]) | (u32)f(HIGH(a[i]), HIGH(b[i]), HIGH(c[i])) << 16
#define RUN2(f)                                                                                    \
    VM_OP2(f##_x1, u16, u16, u16, f(a[i], b[i]))                                                   \
    VM_OP2(f##_x2, u32, u32, u32, PAIR2(f))
#define RUN3(f)                                                                                    \
    VM_OP3(f##_x1, u16, u16, u16, u16, f(a[i], b[i], c[i]))                                        \
    VM_OP3(f##_x2, u32, u32, u32, u32, PAIR3(f))
#define RUNS(type)                                                                                 \
    RUN2(add_##type)                                                                               \
    RUN2(sub_##type)                                                                               \
    RUN2(mul_##type)                                                                               \
    RUN3(fma_##type)                                                                               \
    RUN3(fmarelu_##type) RUN2(min_##type) RUN2(max_##type) RUN2(minnan_##type) RUN2(maxnan_##type)
RUNS(f16)
RUNS(bf16)
RUN2(addsat_f16)
RUN2(subsat_f16)
RUN2(mulsat_f16)
RUN3(fmasat_f16)
RUN2(addftz_f16)
RUN2(subftz_f16)
RUN2(mulftz_f16)
RUN3(fmaftz_f16)
VM_OP1(neg_x1, u16, u16, a[i] ^ 0x8000)
VM_OP1(neg_x2, u32, u32, a[i] ^ 0x80008000)
VM_OP1(abs_x1, u16, u16, a[i] & 0x7fff)
VM_OP1(abs_x2, u32, u32, a[i] & 0x7fff7fff)

#define TWO(opcode, type, f)                                                                       \
    {opcode "." #type, f##_x1, "h=hh", VM_CLASS_FLOAT}, {                                          \
        opcode "." #type "x2", f##_x2, "w=ww", VM_CLASS_FLOAT                                      \
    }
#define THREE(opcode, type, f)                                                                     \
    {opcode "." #type, f##_x1, "h=hhh", VM_CLASS_FLOAT}, {                                         \
        opcode "." #type "x2", f##_x2, "w=www", VM_CLASS_FLOAT                                     \
    }
#define ONE(opcode, type, f)                                                                       \
    {opcode "." #type, f##_x1, "h=h", VM_CLASS_FLOAT}, {                                           \
        opcode "." #type "x2", f##_x2, "w=w", VM_CLASS_FLOAT                                       \
    }
#define COMMON(type)                                                                               \
    TWO("add", type, add_##type), TWO("add.rn", type, add_##type), TWO("sub", type, sub_##type),   \
        TWO("sub.rn", type, sub_##type), TWO("mul", type, mul_##type),                             \
        TWO("mul.rn", type, mul_##type), THREE("fma.rn", type, fma_##type),                        \
        THREE("fma.rn.relu", type, fmarelu_##type), TWO("min", type, min_##type),                  \
        TWO("max", type, max_##type), TWO("min.NaN", type, minnan_##type),                         \
        TWO("max.NaN", type, maxnan_##type), ONE("neg", type, neg), ONE("abs", type, abs)

static const vm_form forms[] = {
    COMMON(f16),
    COMMON(bf16),
    TWO("add.sat", f16, addsat_f16),
    TWO("add.rn.sat", f16, addsat_f16),
    TWO("sub.sat", f16, subsat_f16),
    TWO("sub.rn.sat", f16, subsat_f16),
    TWO("mul.sat", f16, mulsat_f16),
    TWO("mul.rn.sat", f16, mulsat_f16),
    THREE("fma.rn.sat", f16, fmasat_f16),
    TWO("add.ftz", f16, addftz_f16),
    TWO("sub.ftz", f16, subftz_f16),
    TWO("mul.ftz", f16, mulftz_f16),
    THREE("fma.rn.ftz", f16, fmaftz_f16),
};

const vm_form_list vm_half_forms = {forms, sizeof(forms) / sizeof(*forms)};
