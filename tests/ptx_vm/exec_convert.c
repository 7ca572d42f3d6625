/* cvt. One general function reads any type as an integer or as an f64 (both hold every value of
 * every type exactly), rounds once and stores; conversions that kernels live on have their own. */
#include <fenv.h>
#include <math.h>
#include <string.h>

#include "exec.h"
#include "half.h"

typedef enum type { U8, S8, U16, S16, U32, S32, U64, S64, F16, BF16, F32, F64, TYPES } type;
static const char *const type_names[] = {"u8",  "s8",  "u16", "s16",  "u32", "s32",
                                         "u64", "s64", "f16", "bf16", "f32", "f64"};
static const uint32_t type_sizes[] = {1, 1, 2, 2, 4, 4, 8, 8, 2, 2, 4, 8};

/* option: destination, source, rounding, flags. */
enum { TO = 0, FROM = 4, MODE = 8, SATURATE = 1 << 10, FLUSH = 1 << 11, INTEGRAL = 1 << 12 };
enum { RN, RZ, RM, RP };

static bool is_float(type t) {
    return t >= F16;
}

static bool is_signed(type t) {
    return t < F16 && t % 2 == 1;
}

/* ---- one value ------------------------------------------------------------------------------ */

static double read_float(type t, uint64_t bits, bool flush) {
    float single;
    double wide;

    switch (t) {
    case F16:
        return (double)vm_from_f16((uint16_t)bits);
    case BF16:
        return (double)vm_from_bf16((uint16_t)bits);
    case F32:
        single = vm_float((uint32_t)bits);
        return (double)(flush && fabsf(single) < 0x1p-126f ? copysignf(0, single) : single);
    default:
        memcpy(&wide, &bits, sizeof(wide));
        return wide;
    }
}

static uint64_t read_integer(type t, uint64_t bits) {
    uint32_t unused = 64 - 8 * type_sizes[t];

    bits = bits << unused;
    return is_signed(t) ? (uint64_t)((int64_t)bits >> unused) : bits >> unused;
}

/* The nearest smaller-format neighbours of an f32 value, for the directed modes: the 16-bit formats
 * are reached by rounding to nearest and stepping back where that went the wrong way. */
static uint16_t narrow(double value, bool brain, uint32_t mode) {
    float odd = vm_narrow_odd(value);
    uint16_t h = brain ? vm_to_bf16(odd) : vm_to_f16(odd);
    double back = (double)(brain ? vm_from_bf16(h) : vm_from_f16(h));
    bool away = fabs(back) > fabs(value), toward = fabs(back) < fabs(value);
    bool negative = signbit(value);

    if (value != value || mode == RN || isinf(value)) {
        return h;
    }
    if (away && (mode == RZ || (mode == RM && !negative) || (mode == RP && negative))) {
        h--;
    } else if (toward && ((mode == RM && negative) || (mode == RP && !negative))) {
        h++;
    }
    return h;
}

static uint64_t write_float(type t, double value, uint32_t option) {
    static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    uint32_t mode = option >> MODE & 3;
    volatile double exact = value;
    volatile float single;
    uint64_t bits;

    if (option & SATURATE) {
        exact = value > 0 ? (value < 1 ? value : 1.0) : 0.0;
    }
    switch (t) {
    case F16:
    case BF16:
        return narrow(exact, t == BF16, mode);
    case F32:
        fesetround(modes[mode]);
        single = (float)exact;
        fesetround(FE_TONEAREST);
        if ((option & FLUSH) && fabsf(single) < 0x1p-126f) {
            single = copysignf(0, single);
        }
        return vm_bits(vm_canonical(single));
    default:
        value = exact;
        memcpy(&bits, &value, sizeof(bits));
        return bits;
    }
}

static double round_integral(double value, uint32_t mode) {
    return mode == RN   ? rint(value)
           : mode == RZ ? trunc(value)
           : mode == RM ? floor(value)
                        : ceil(value);
}

/* Floating to integer always clamps; NaN becomes 0. */
static uint64_t to_integer(type t, double value, uint32_t mode) {
    int bits = (int)(8 * type_sizes[t]) - is_signed(t);
    double limit = ldexp(1.0, bits);

    if (value != value) {
        return 0;
    }
    value = round_integral(value, mode);
    if (value >= limit) {
        return ~(uint64_t)0 >> (64 - bits);
    }
    if (!is_signed(t)) {
        return value <= 0 ? 0 : (uint64_t)value;
    }
    return value <= -limit ? (uint64_t)1 << bits | (~(uint64_t)0 << bits)
                           : (uint64_t)(int64_t)value;
}

/* .sat between integers. */
static uint64_t clamp(type to, type from, uint64_t value) {
    bool negative = is_signed(from) && (int64_t)value < 0;
    uint32_t bits = 8 * type_sizes[to] - is_signed(to);
    uint64_t most = ~(uint64_t)0 >> (64 - bits);

    if (negative) {
        if (!is_signed(to)) {
            return 0;
        }
        return (int64_t)value < -(int64_t)most - 1 ? ~most : value;
    }
    return value > most ? most : value;
}

/* 64-bit integers do not fit in f64: rounded to odd on the way, which is right for every smaller
 * format; f64 itself is converted in the mode asked for. */
static double from_integer(type from, uint64_t value, type to, uint32_t mode) {
    static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    bool negative = is_signed(from) && (int64_t)value < 0;
    uint64_t size = negative ? 0 - value : value;
    volatile double result;
    uint32_t excess = size >> 53 ? 11 - (uint32_t)__builtin_clzll(size) : 0;

    if (to == F64) {
        volatile int64_t s = (int64_t)value;
        volatile uint64_t u = value;

        fesetround(modes[mode]);
        result = is_signed(from) ? (double)s : (double)u;
        fesetround(FE_TONEAREST);
        return result;
    }
    if (excess) {
        uint64_t lost = size & (((uint64_t)1 << excess) - 1);

        size = (size >> excess | (lost != 0)) << excess;
    }
    result = (double)size;
    return negative ? -result : result;
}

static uint64_t convert(uint64_t bits, uint32_t option) {
    type to = option >> TO & 15, from = option >> FROM & 15;
    uint32_t mode = option >> MODE & 3;
    double value;

    if (!is_float(from) && !is_float(to)) {
        uint64_t integer = read_integer(from, bits);

        return option & SATURATE ? clamp(to, from, integer) : integer;
    }
    if (!is_float(from)) {
        return write_float(to, from_integer(from, read_integer(from, bits), to, mode), option);
    }
    value = read_float(from, bits, option & FLUSH);
    if (!is_float(to)) {
        return to_integer(to, value, mode);
    }
    if (option & INTEGRAL) {
        value = round_integral(value, mode);
        option &= ~(3u << MODE);
    }
    return write_float(to, value, option);
}

/* ---- one row -------------------------------------------------------------------------------- */

static uint64_t load(const uint8_t *row, uint32_t lane, vm_width width) {
    uint32_t bytes = 1u << width; /* VM_B16 is 1 */
    uint64_t value = 0;

    memcpy(&value, row + lane * bytes, bytes);
    return value;
}

static void cvt(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint8_t *d = vm_row(w, in->ref[0]);
    const uint8_t *a = vm_row(w, in->ref[1]);
    type to = in->option >> TO & 15;
    uint32_t i, bytes = 1u << in->width;

    for (i = 0; i < VM_LANES; i++) {
        if (mask >> i & 1) {
            uint64_t value = convert(load(a, i, in->elements), in->option);

            if (!is_float(to) && type_sizes[to] < bytes) { /* a wider register is extended */
                value = read_integer(to, value);
            }
            memcpy(d + i * bytes, &value, bytes);
        }
    }
}

/* Type and size of a register may differ: a wider one holds the number in its low bits. */
static bool width_for(vm_decoder *d, const ptx_operand *operand, type t, vm_width *width) {
    *width = vm_width_of(d, operand, vm_width_of_bytes(type_sizes[t]));
    return *width != VM_PRED && 1u << *width >= type_sizes[t] &&
           (!is_float(t) || 1u << *width == type_sizes[t]);
}

/* cvt{.mode}{.ftz}{.sat}.to.from */
static bool decode_cvt(vm_decoder *d) {
    static const char *const modes[] = {"rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi"};
    const ptx_operand *operands = d->statement->operands;
    int mode = vm_take_of(d, modes, 8), to, from;
    uint32_t option = mode < 0 ? 0 : (uint32_t)(mode & 3) << MODE;
    vm_width to_width, from_width;

    option |= mode >= 4 ? INTEGRAL : 0;
    option |= vm_take(d, "ftz") ? FLUSH : 0;
    option |= vm_take(d, "sat") ? SATURATE : 0;
    to = vm_take_of(d, type_names, TYPES);
    from = vm_take_of(d, type_names, TYPES);
    if (to < 0 || from < 0 || !vm_want(d, 2)) {
        return false;
    }
    if (is_float((type)from) && !is_float((type)to) && mode < 4) {
        return vm_refuse(d,
                         "an integer from a floating number needs a rounding .rni .rzi .rmi .rpi");
    }
    if (!width_for(d, &operands[0], (type)to, &to_width) ||
        !width_for(d, &operands[1], (type)from, &from_width)) {
        return vm_refuse(d, "a register has the wrong size");
    }
    d->in->class = VM_CLASS_CONVERT;
    d->in->run = cvt;
    d->in->option = (uint16_t)(option | (uint32_t)to << TO | (uint32_t)from << FROM);
    d->in->width = (uint8_t)to_width;
    d->in->elements = (uint8_t)from_width;
    return vm_dst(d, &operands[0], to_width) && vm_src(d, &operands[1], from_width);
}

static const vm_family families[] = {{"cvt", decode_cvt}};
const vm_family_list vm_convert_families = {families, sizeof(families) / sizeof(*families)};
