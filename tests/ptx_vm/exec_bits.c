/* Bits: logic, shifts, bit fields, permutation of bytes. Shifts clamp their amount at the width. */
#include "exec.h"

typedef uint16_t u16;
typedef int16_t s16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;

#define LOGIC(bits, T)                                                                             \
    VM_OP2(and_##bits, T, T, T, a[i] & b[i])                                                       \
    VM_OP2(or_##bits, T, T, T, a[i] | b[i])                                                        \
    VM_OP2(xor_##bits, T, T, T, a[i] ^ b[i])                                                       \
    VM_OP1(not_##bits, T, T, ~a[i])                                                                \
    VM_OP1(cnot_##bits, T, T, a[i] == 0)                                                           \
    VM_OP2(shl_##bits, T, T, u32, b[i] >= bits ? 0 : (u64)a[i] << b[i] % bits)                     \
    VM_OP2(shr_u##bits, T, T, u32, b[i] >= bits ? 0 : a[i] >> b[i] % bits)
#define SHIFT_SIGNED(bits, T)                                                                      \
    VM_OP2(shr_s##bits, T, T, u32, a[i] >> (b[i] >= bits ? bits - 1 : b[i]))

LOGIC(16, u16)
LOGIC(32, u32)
LOGIC(64, u64)
SHIFT_SIGNED(16, s16)
SHIFT_SIGNED(32, s32)
SHIFT_SIGNED(64, s64)

/* Predicates are one word of lanes. */
#define PREDICATE(name, expression)                                                                \
    static void name(vm_warp *w, const vm_instr *in, uint32_t mask) {                              \
        u32 *d = vm_row(w, in->ref[0]);                                                            \
        u32 a = *(const u32 *)vm_row(w, in->ref[1]);                                               \
        u32 b = *(const u32 *)vm_row(w, in->ref[in->ref_count - 1]);                               \
                                                                                                   \
        (void)b;                                                                                   \
        *d = vm_merge(*d, expression, mask);                                                       \
    }
PREDICATE(and_pred, a &b)
PREDICATE(or_pred, a | b)
PREDICATE(xor_pred, a ^ b)
PREDICATE(not_pred, ~a)

/* ---- counting ------------------------------------------------------------------------------- */

static u32 leading_zeros(u64 value, u32 bits) {
    return value == 0 ? bits : (u32)__builtin_clzll(value) - (64 - bits);
}

/* The highest bit that differs from the sign, as its number or as the shift that puts it on top. */
static u32 find_top(u64 value, bool negative, u32 bits, bool as_shift) {
    u64 wanted = (negative ? ~value : value) & (~(u64)0 >> (64 - bits));
    u32 zeros = leading_zeros(wanted, bits);

    return zeros == bits ? ~(u32)0 : as_shift ? zeros : bits - 1 - zeros;
}

static u64 reverse(u64 value) {
    u64 result = 0;
    int k;

    for (k = 0; k < 64; k++) {
        result = result << 1 | (value >> k & 1);
    }
    return result;
}

VM_OP1(popc_32, u32, u32, __builtin_popcount(a[i]))
VM_OP1(popc_64, u32, u64, __builtin_popcountll(a[i]))
VM_OP1(clz_32, u32, u32, leading_zeros(a[i], 32))
VM_OP1(clz_64, u32, u64, leading_zeros(a[i], 64))
VM_OP1(brev_32, u32, u32, reverse(a[i]) >> 32)
VM_OP1(brev_64, u64, u64, reverse(a[i]))
VM_OP1(bfind_u32, u32, u32, find_top(a[i], false, 32, false))
VM_OP1(bfind_s32, u32, s32, find_top((u32)a[i], a[i] < 0, 32, false))
VM_OP1(bfind_u64, u32, u64, find_top(a[i], false, 64, false))
VM_OP1(bfind_s64, u32, s64, find_top((u64)a[i], a[i] < 0, 64, false))
VM_OP1(bfinds_u32, u32, u32, find_top(a[i], false, 32, true))
VM_OP1(bfinds_s32, u32, s32, find_top((u32)a[i], a[i] < 0, 32, true))
VM_OP1(bfinds_u64, u32, u64, find_top(a[i], false, 64, true))
VM_OP1(bfinds_s64, u32, s64, find_top((u64)a[i], a[i] < 0, 64, true))

/* ---- fields --------------------------------------------------------------------------------- */

static u64 low_ones(u32 count) {
    return count >= 64 ? ~(u64)0 : ((u64)1 << count) - 1;
}

/* Bits position .. position+length of a, extended by zeros or by the top bit of the field (or of a
 * where the field reaches past it). Position and length are taken modulo 256. */
static u64 extract(u64 a, u32 position, u32 length, u32 bits, bool is_signed) {
    u64 field, top = 0;
    u32 last;

    position &= 0xff;
    length &= 0xff;
    last = position + length - 1 < bits - 1 ? position + length - 1 : bits - 1;
    if (is_signed && length != 0) {
        top = a >> last & 1;
    }
    field = position >= bits ? 0 : a >> position & low_ones(length);
    if (top) {
        u32 known = position >= bits ? 0 : last - position + 1;

        field |= ~low_ones(known);
    }
    return field & low_ones(bits);
}

static u64 insert(u64 a, u64 b, u32 position, u32 length, u32 bits) {
    u64 field;

    position &= 0xff;
    length &= 0xff;
    if (position >= bits) {
        return b;
    }
    field = low_ones(length) << position & low_ones(bits);
    return (b & ~field) | (a << position & field);
}

VM_OP3(bfe_u32, u32, u32, u32, u32, extract(a[i], b[i], c[i], 32, false))
VM_OP3(bfe_s32, u32, u32, u32, u32, extract(a[i], b[i], c[i], 32, true))
VM_OP3(bfe_u64, u64, u64, u32, u32, extract(a[i], b[i], c[i], 64, false))
VM_OP3(bfe_s64, u64, u64, u32, u32, extract(a[i], b[i], c[i], 64, true))

#define INSERT(bits, T)                                                                            \
    static void bfi_##bits(vm_warp *w, const vm_instr *in, uint32_t mask) {                        \
        T *d = vm_row(w, in->ref[0]);                                                              \
        const T *a = vm_row(w, in->ref[1]), *b = vm_row(w, in->ref[2]);                            \
        const u32 *c = vm_row(w, in->ref[3]), *e = vm_row(w, in->ref[4]);                          \
                                                                                                   \
        VM_EACH_LANE(d[i] = (T)insert(a[i], b[i], c[i], e[i], bits));                              \
    }
INSERT(32, u32)
INSERT(64, u64)

VM_OP2(bmsk_clamp, u32, u32, u32, a[i] >= 32 ? 0 : low_ones(b[i] >= 32 ? 32 : b[i]) << a[i])
VM_OP2(bmsk_wrap, u32, u32, u32, low_ones(b[i] & 31) << (a[i] & 31))

/* ---- funnel shifts, three-input logic ------------------------------------------------------- */

static u32 funnel(u32 low, u32 high, u32 amount, bool left) {
    u64 both = (u64)high << 32 | low;

    return left ? (u32)(both << amount >> 32) : (u32)(both >> amount);
}

VM_OP3(shf_lw, u32, u32, u32, u32, funnel(a[i], b[i], c[i] & 31, true))
VM_OP3(shf_rw, u32, u32, u32, u32, funnel(a[i], b[i], c[i] & 31, false))
VM_OP3(shf_lc, u32, u32, u32, u32, c[i] >= 32 ? a[i] : funnel(a[i], b[i], c[i], true))
VM_OP3(shf_rc, u32, u32, u32, u32, c[i] >= 32 ? b[i] : funnel(a[i], b[i], c[i], false))

/* Bit k of the table is the result where (a, b, c) read as a number is k. */
static void lop3(vm_warp *w, const vm_instr *in, uint32_t mask) {
    u32 *d = vm_row(w, in->ref[0]);
    const u32 *a = vm_row(w, in->ref[1]), *b = vm_row(w, in->ref[2]), *c = vm_row(w, in->ref[3]);
    u32 table = *(const u32 *)vm_row(w, in->ref[4]);
    u32 row[8];
    int k;

    for (k = 0; k < 8; k++) {
        row[k] = table >> k & 1 ? ~(u32)0 : 0;
    }
    VM_EACH_LANE(d[i] = (~a[i] & ((~b[i] & ((~c[i] & row[0]) | (c[i] & row[1]))) |
                                  (b[i] & ((~c[i] & row[2]) | (c[i] & row[3]))))) |
                        (a[i] & ((~b[i] & ((~c[i] & row[4]) | (c[i] & row[5]))) |
                                 (b[i] & ((~c[i] & row[6]) | (c[i] & row[7]))))));
}

/* ---- prmt ----------------------------------------------------------------------------------- */

static u32 permute(u32 a, u32 b, u32 selector) {
    u64 bytes = (u64)b << 32 | a;
    u32 result = 0;
    int k;

    for (k = 0; k < 4; k++) {
        u32 choice = selector >> 4 * k & 0xf;
        u32 byte = (u32)(bytes >> 8 * (choice & 7)) & 0xff;

        if (choice & 8) { /* the sign of the byte, repeated */
            byte = byte & 0x80 ? 0xff : 0;
        }
        result |= byte << 8 * k;
    }
    return result;
}

/* The selectors that the special modes stand for, by the two low bits of c. */
static const u32 forward[] = {0x3210, 0x4321, 0x5432, 0x6543};
static const u32 backward[] = {0x5670, 0x6701, 0x7012, 0x0123};
static const u32 replicate8[] = {0x0000, 0x1111, 0x2222, 0x3333};
static const u32 clamp_left[] = {0x3210, 0x3211, 0x3222, 0x3333};
static const u32 clamp_right[] = {0x0000, 0x1110, 0x2210, 0x3210};
static const u32 replicate16[] = {0x1010, 0x3232, 0x1010, 0x3232};

VM_OP3(prmt, u32, u32, u32, u32, permute(a[i], b[i], c[i]))
VM_OP3(prmt_f4e, u32, u32, u32, u32, permute(a[i], b[i], forward[c[i] & 3]))
VM_OP3(prmt_b4e, u32, u32, u32, u32, permute(a[i], b[i], backward[c[i] & 3]))
VM_OP3(prmt_rc8, u32, u32, u32, u32, permute(a[i], b[i], replicate8[c[i] & 3]))
VM_OP3(prmt_ecl, u32, u32, u32, u32, permute(a[i], b[i], clamp_left[c[i] & 3]))
VM_OP3(prmt_ecr, u32, u32, u32, u32, permute(a[i], b[i], clamp_right[c[i] & 3]))
VM_OP3(prmt_rc16, u32, u32, u32, u32, permute(a[i], b[i], replicate16[c[i] & 3]))

#define FORM(opcode, function, shape)                                                              \
    { opcode, function, shape, VM_CLASS_INTEGER }
#define WIDTHS(op, name, h, w, d)                                                                  \
    FORM(op ".b16", name##_16, h), FORM(op ".b32", name##_32, w), FORM(op ".b64", name##_64, d)

static const vm_form forms[] = {
    WIDTHS("and", and, "h=hh", "w=ww", "d=dd"),
    WIDTHS("or", or, "h=hh", "w=ww", "d=dd"),
    WIDTHS("xor", xor, "h=hh", "w=ww", "d=dd"),
    WIDTHS("not", not, "h=h", "w=w", "d=d"),
    WIDTHS("cnot", cnot, "h=h", "w=w", "d=d"),
    WIDTHS("shl", shl, "h=hw", "w=ww", "d=dw"),
    FORM("shr.b16", shr_u16, "h=hw"),
    FORM("shr.b32", shr_u32, "w=ww"),
    FORM("shr.b64", shr_u64, "d=dw"),
    FORM("shr.u16", shr_u16, "h=hw"),
    FORM("shr.u32", shr_u32, "w=ww"),
    FORM("shr.u64", shr_u64, "d=dw"),
    FORM("shr.s16", shr_s16, "h=hw"),
    FORM("shr.s32", shr_s32, "w=ww"),
    FORM("shr.s64", shr_s64, "d=dw"),
    FORM("and.pred", and_pred, "p=pp"),
    FORM("or.pred", or_pred, "p=pp"),
    FORM("xor.pred", xor_pred, "p=pp"),
    FORM("not.pred", not_pred, "p=p"),
    FORM("popc.b32", popc_32, "w=w"),
    FORM("popc.b64", popc_64, "w=d"),
    FORM("clz.b32", clz_32, "w=w"),
    FORM("clz.b64", clz_64, "w=d"),
    FORM("brev.b32", brev_32, "w=w"),
    FORM("brev.b64", brev_64, "d=d"),
    FORM("bfind.u32", bfind_u32, "w=w"),
    FORM("bfind.s32", bfind_s32, "w=w"),
    FORM("bfind.u64", bfind_u64, "w=d"),
    FORM("bfind.s64", bfind_s64, "w=d"),
    FORM("bfind.shiftamt.u32", bfinds_u32, "w=w"),
    FORM("bfind.shiftamt.s32", bfinds_s32, "w=w"),
    FORM("bfind.shiftamt.u64", bfinds_u64, "w=d"),
    FORM("bfind.shiftamt.s64", bfinds_s64, "w=d"),
    FORM("bfe.u32", bfe_u32, "w=www"),
    FORM("bfe.s32", bfe_s32, "w=www"),
    FORM("bfe.u64", bfe_u64, "d=dww"),
    FORM("bfe.s64", bfe_s64, "d=dww"),
    FORM("bfi.b32", bfi_32, "w=wwww"),
    FORM("bfi.b64", bfi_64, "d=ddww"),
    FORM("bmsk.clamp.b32", bmsk_clamp, "w=ww"),
    FORM("bmsk.wrap.b32", bmsk_wrap, "w=ww"),
    FORM("shf.l.wrap.b32", shf_lw, "w=www"),
    FORM("shf.r.wrap.b32", shf_rw, "w=www"),
    FORM("shf.l.clamp.b32", shf_lc, "w=www"),
    FORM("shf.r.clamp.b32", shf_rc, "w=www"),
    FORM("lop3.b32", lop3, "w=wwww"),
    FORM("prmt.b32", prmt, "w=www"),
    FORM("prmt.b32.f4e", prmt_f4e, "w=www"),
    FORM("prmt.b32.b4e", prmt_b4e, "w=www"),
    FORM("prmt.b32.rc8", prmt_rc8, "w=www"),
    FORM("prmt.b32.ecl", prmt_ecl, "w=www"),
    FORM("prmt.b32.ecr", prmt_ecr, "w=www"),
    FORM("prmt.b32.rc16", prmt_rc16, "w=www"),
};

const vm_form_list vm_bits_forms = {forms, sizeof(forms) / sizeof(*forms)};
