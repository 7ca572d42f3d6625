/* Integer instructions against twins that do it another way: in 128 bits, or bit by bit. */
#include "op_support.h"
#include "test_support.h"

__extension__ typedef unsigned __int128 u128;
__extension__ typedef __int128 s128;

/* ---- numbers of n bits as 128-bit integers -----------------------------------------------------
 */

static s128 sx(uint64_t value, int bits) { /* with sign */
    s128 x = value & (bits == 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1);

    return x >> (bits - 1) ? x - ((s128)1 << bits) : x;
}

static s128 zx(uint64_t value, int bits) {
    return (s128)(value & (bits == 64 ? ~(uint64_t)0 : ((uint64_t)1 << bits) - 1));
}

static uint64_t cut(s128 value, int bits) {
    return (uint64_t)((u128)value & (((u128)1 << bits) - 1));
}

#define UNUSED (void)a, (void)b, (void)c, (void)e
#define TWIN(name, expression)                                                                     \
    static uint64_t name(uint64_t a, uint64_t b, uint64_t c, uint64_t e) {                         \
        UNUSED;                                                                                    \
        return expression;                                                                         \
    }
#define RING(n)                                                                                    \
    TWIN(add_##n, cut(zx(a, n) + zx(b, n), n))                                                     \
    TWIN(sub_##n, cut(zx(a, n) - zx(b, n), n))                                                     \
    TWIN(mul_##n, cut((s128)((u128)zx(a, n) * (u128)zx(b, n)), n))                                 \
    TWIN(mad_##n, cut((s128)((u128)zx(a, n) * (u128)zx(b, n) + (u128)zx(c, n)), n))                \
    TWIN(neg_##n, cut(-sx(a, n), n))                                                               \
    TWIN(abs_##n, cut(sx(a, n) < 0 ? -sx(a, n) : sx(a, n), n))                                     \
    TWIN(not_##n, cut(-1 - zx(a, n), n))                                                           \
    TWIN(cnot_##n, zx(a, n) ? 0 : 1)                                                               \
    TWIN(and_##n, cut((s128)(a & b), n))                                                           \
    TWIN(or_##n, cut((s128)(a | b), n))                                                            \
    TWIN(xor_##n, cut((s128)(a ^ b), n))                                                           \
    TWIN(shl_##n, (uint32_t)b >= n ? 0 : cut((s128)((u128)zx(a, n) << (uint32_t)b), n))            \
    TWIN(shru_##n, (uint32_t)b >= n ? 0 : cut(zx(a, n) >> (uint32_t)b, n))                         \
    TWIN(shrs_##n, cut(sx(a, n) >> ((uint32_t)b >= n ? n - 1 : (uint32_t)b), n))                   \
    SIGNED(u##n, n, zx)                                                                            \
    SIGNED(s##n, n, sx)
#define SIGNED(t, n, get)                                                                          \
    TWIN(div_##t, zx(b, n) == 0 ? cut(-1, n) : cut(get(a, n) / get(b, n), n))                      \
    TWIN(rem_##t, zx(b, n) == 0 ? cut(zx(a, n), n) : cut(get(a, n) % get(b, n), n))                \
    TWIN(min_##t, cut(get(a, n) < get(b, n) ? get(a, n) : get(b, n), n))                           \
    TWIN(max_##t, cut(get(a, n) < get(b, n) ? get(b, n) : get(a, n), n))                           \
    TWIN(mulhi_##t, cut((s128)((u128)get(a, n) * (u128)get(b, n)) >> n, n))                        \
    TWIN(madhi_##t, cut(((s128)((u128)get(a, n) * (u128)get(b, n)) >> n) + get(c, n), n))
RING(16)
RING(32)
RING(64)

#define WIDE(t, n, get)                                                                            \
    TWIN(mulwide_##t, cut(get(a, n) * get(b, n), 2 * n))                                           \
    TWIN(madwide_##t, cut(get(a, n) * get(b, n) + get(c, 2 * n), 2 * n))
WIDE(u16, 16, zx)
WIDE(s16, 16, sx)
WIDE(u32, 32, zx)
WIDE(s32, 32, sx)

static s128 clamp32(s128 x) {
    return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : x;
}
static s128 distance(s128 x, s128 y) {
    return x > y ? x - y : y - x;
}
TWIN(addsat, cut(clamp32(sx(a, 32) + sx(b, 32)), 32))
TWIN(subsat, cut(clamp32(sx(a, 32) - sx(b, 32)), 32))
TWIN(sad_u, cut(distance(zx(a, 32), zx(b, 32)) + zx(c, 32), 32))
TWIN(sad_s, cut(distance(sx(a, 32), sx(b, 32)) + zx(c, 32), 32))
TWIN(mul24_u, cut(zx(a, 24) * zx(b, 24), 32))
TWIN(mul24_s, cut(sx(a, 24) * sx(b, 24), 32))
TWIN(dp4a_ss, cut(sx(a, 8) * sx(b, 8) + sx(a >> 8, 8) * sx(b >> 8, 8) +
                      sx(a >> 16, 8) * sx(b >> 16, 8) + sx(a >> 24, 8) * sx(b >> 24, 8) + sx(c, 32),
                  32))
TWIN(dp2a_lo_su, cut(sx(a, 16) * zx(b, 8) + sx(a >> 16, 16) * zx(b >> 8, 8) + sx(c, 32), 32))
TWIN(dp2a_hi_us, cut(zx(a, 16) * sx(b >> 16, 8) + zx(a >> 16, 16) * sx(b >> 24, 8) + sx(c, 32), 32))
TWIN(dp4a_us, cut(zx(a, 8) * sx(b, 8) + zx(a >> 8, 8) * sx(b >> 8, 8) +
                      zx(a >> 16, 8) * sx(b >> 16, 8) + zx(a >> 24, 8) * sx(b >> 24, 8) + sx(c, 32),
                  32))

/* ---- bit by bit --------------------------------------------------------------------------------
 */

static int bit(uint64_t x, int k) {
    return (int)(x >> k & 1);
}

static uint64_t count_ones(uint64_t x) {
    uint64_t n = 0;

    for (; x; x >>= 1) {
        n += x & 1;
    }
    return n;
}

static uint64_t zeros_above(uint64_t x, int bits) {
    int k = bits - 1;

    while (k >= 0 && !bit(x, k)) {
        k--;
    }
    return (uint64_t)(bits - 1 - k);
}

static uint64_t mirrored(uint64_t x, int bits) {
    uint64_t y = 0;
    int k;

    for (k = 0; k < bits; k++) {
        y |= (uint64_t)bit(x, k) << (bits - 1 - k);
    }
    return y;
}

/* The manual's pseudo code of bfind. */
static uint64_t found(uint64_t a, int bits, int is_signed, int shift) {
    uint64_t x = is_signed && bit(a, bits - 1) ? ~a : a;
    int k;

    for (k = bits - 1; k >= 0; k--) {
        if (bit(x, k)) {
            return (uint64_t)(shift ? bits - 1 - k : k);
        }
    }
    return 0xffffffff;
}

/* The manual's pseudo code of bfe and bfi. */
static uint64_t field(uint64_t a, uint64_t b, uint64_t c, int bits, int is_signed) {
    int pos = (int)(b & 0xff), len = (int)(c & 0xff), k, sbit;
    uint64_t d = 0;

    if (!is_signed || len == 0) {
        sbit = 0;
    } else {
        sbit = bit(a, pos + len - 1 < bits - 1 ? pos + len - 1 : bits - 1);
    }
    for (k = 0; k < bits; k++) {
        int value = k < len && pos + k <= bits - 1 ? bit(a, pos + k) : sbit;

        d |= (uint64_t)value << k;
    }
    return d;
}

static uint64_t put(uint64_t a, uint64_t b, uint64_t c, uint64_t e, int bits) {
    int pos = (int)(c & 0xff), len = (int)(e & 0xff), k;

    for (k = 0; k < len && pos + k <= bits - 1; k++) {
        b = (b & ~((uint64_t)1 << (pos + k))) | (uint64_t)bit(a, k) << (pos + k);
    }
    return b;
}

static uint64_t funnel(uint64_t a, uint64_t b, uint64_t n, int left) {
    uint64_t d = 0;
    int k;

    for (k = 0; k < 32; k++) { /* bit k of the result, from the 64 bits [b, a] */
        int from = left ? k + 32 - (int)n : k + (int)n;

        d |= (uint64_t)(from < 32 ? bit(a, from) : from < 64 ? bit(b, from - 32) : 0) << k;
    }
    return d;
}

static uint64_t bytes(uint64_t a, uint64_t b, uint64_t c) {
    uint64_t d = 0;
    int k;

    for (k = 0; k < 4; k++) {
        int choice = (int)(c >> 4 * k) & 7;
        uint64_t byte = (choice < 4 ? a >> 8 * choice : b >> 8 * (choice - 4)) & 0xff;

        if (bit(c, 4 * k + 3)) {
            byte = byte >= 0x80 ? 0xff : 0;
        }
        d |= byte << 8 * k;
    }
    return d;
}

/* The manual's table of the special modes, as selectors. */
static uint64_t mode_bytes(uint64_t a, uint64_t b, uint64_t c, const char *table) {
    uint64_t selector = 0;
    int k;

    for (k = 0; k < 4; k++) { /* four digits for each value of c, the highest byte first */
        selector = selector << 4 | (uint64_t)(table[(c & 3) * 5 + (uint64_t)k] - '0');
    }
    return bytes(a, b, selector);
}

TWIN(popc_32, count_ones((uint32_t)a))
TWIN(popc_64, count_ones(a))
TWIN(clz_32, zeros_above((uint32_t)a, 32))
TWIN(clz_64, zeros_above(a, 64))
TWIN(brev_32, mirrored(a, 32))
TWIN(brev_64, mirrored(a, 64))
TWIN(bfind_u32, found((uint32_t)a, 32, 0, 0))
TWIN(bfind_s32, found((uint32_t)a, 32, 1, 0))
TWIN(bfind_u64, found(a, 64, 0, 0))
TWIN(bfind_s64, found(a, 64, 1, 0))
TWIN(bfinds_u32, found((uint32_t)a, 32, 0, 1))
TWIN(bfinds_s32, found((uint32_t)a, 32, 1, 1))
TWIN(bfinds_u64, found(a, 64, 0, 1))
TWIN(bfe_u32, field(a, b, c, 32, 0))
TWIN(bfe_s32, field(a, b, c, 32, 1))
TWIN(bfe_u64, field(a, b, c, 64, 0))
TWIN(bfe_s64, field(a, b, c, 64, 1))
TWIN(bfi_32, put(a, b, c, e, 32))
TWIN(bfi_64, put(a, b, c, e, 64))
TWIN(shf_lw, funnel(a, b, c & 31, 1))
TWIN(shf_rw, funnel(a, b, c & 31, 0))
TWIN(shf_lc, funnel(a, b, (uint32_t)c > 32 ? 32 : (uint32_t)c, 1))
TWIN(shf_rc, funnel(a, b, (uint32_t)c > 32 ? 32 : (uint32_t)c, 0))
TWIN(prmt, bytes(a, b, c))
TWIN(prmt_f4e, mode_bytes(a, b, c, "3210 4321 5432 6543"))
TWIN(prmt_b4e, mode_bytes(a, b, c, "5670 6701 7012 0123"))
TWIN(prmt_rc8, mode_bytes(a, b, c, "0000 1111 2222 3333"))
TWIN(prmt_ecl, mode_bytes(a, b, c, "3210 3211 3222 3333"))
TWIN(prmt_ecr, mode_bytes(a, b, c, "0000 1110 2210 3210"))
TWIN(prmt_rc16, mode_bytes(a, b, c, "1010 3232 1010 3232"))
TWIN(lop3_ca, (a & b) | (~a & c & 0xffffffff))
TWIN(lop3_96, a ^ b ^ c)
TWIN(lop3_40, a &b & ~c)

/* ---- chains with a carry: 96-bit sums and a 64-bit product from 32-bit pieces -------------------
 */

TWIN(chain_add, cut((s128)(((u128)a + b) >> 32), 32))
TWIN(chain_sub, (uint64_t)((a - b) >> 32))
TWIN(chain_sub_plain, (uint64_t)((a - b) >> 32))
TWIN(chain_add_three, cut((s128)(((u128)a + b + ((u128)e << 32)) >> 64), 32))
TWIN(chain_sub_64, cut((s128)((u128)a - b) >> 64, 64))
TWIN(chain_mad_high, cut((s128)(((u128)zx(a, 32) * (u128)zx(b, 32) + ((u128)c << 32)) >> 64), 32))
TWIN(chain_mad, cut((s128)(((u128)zx(a, 32) * (u128)zx(b, 32) + (u128)c) >> 32), 32))

#define T3(op, name, n, l)                                                                         \
    {op ".u" #n, #l "=" #l #l, name##_##n}, {                                                      \
        op ".s" #n, #l "=" #l #l, name##_##n                                                       \
    }
#define TS(op, name, n, l)                                                                         \
    {op ".u" #n, #l "=" #l #l, name##_u##n}, {                                                     \
        op ".s" #n, #l "=" #l #l, name##_s##n                                                      \
    }
#define EACH(n, l)                                                                                 \
    T3("add", add, n, l), T3("sub", sub, n, l), T3("mul.lo", mul, n, l),                           \
        {"mad.lo.u" #n, #l "=" #l #l #l, mad_##n}, {"mad.lo.s" #n, #l "=" #l #l #l, mad_##n},      \
        {"neg.s" #n, #l "=" #l, neg_##n}, {"abs.s" #n, #l "=" #l, abs_##n},                        \
        {"not.b" #n, #l "=" #l, not_##n}, {"cnot.b" #n, #l "=" #l, cnot_##n},                      \
        {"and.b" #n, #l "=" #l #l, and_##n}, {"or.b" #n, #l "=" #l #l, or_##n},                    \
        {"xor.b" #n, #l "=" #l #l, xor_##n}, {"shl.b" #n, #l "=" #l "w", shl_##n},                 \
        {"shr.u" #n, #l "=" #l "w", shru_##n}, {"shr.b" #n, #l "=" #l "w", shru_##n},              \
        {"shr.s" #n, #l "=" #l "w", shrs_##n}, TS("div", div, n, l), TS("rem", rem, n, l),         \
        TS("min", min, n, l), TS("max", max, n, l), TS("mul.hi", mulhi, n, l),                     \
        {"mad.hi.u" #n, #l "=" #l #l #l, madhi_u##n}, {                                            \
        "mad.hi.s" #n, #l "=" #l #l #l, madhi_s##n                                                 \
    }

static const op_case cases[] = {
    EACH(16, h),
    EACH(32, w),
    EACH(64, d),
    {"mul.wide.u16", "w=hh", mulwide_u16},
    {"mul.wide.s16", "w=hh", mulwide_s16},
    {"mul.wide.u32", "d=ww", mulwide_u32},
    {"mul.wide.s32", "d=ww", mulwide_s32},
    {"mad.wide.u16", "w=hhw", madwide_u16},
    {"mad.wide.s16", "w=hhw", madwide_s16},
    {"mad.wide.u32", "d=wwd", madwide_u32},
    {"mad.wide.s32", "d=wwd", madwide_s32},
    {"add.sat.s32", "w=ww", addsat},
    {"sub.sat.s32", "w=ww", subsat},
    {"sad.u32", "w=www", sad_u},
    {"sad.s32", "w=www", sad_s},
    {"mul24.lo.u32", "w=ww", mul24_u},
    {"mul24.lo.s32", "w=ww", mul24_s},
    {"dp4a.s32.s32", "w=www", dp4a_ss},
    {"dp4a.u32.s32", "w=www", dp4a_us},
    {"dp2a.lo.s32.u32", "w=www", dp2a_lo_su},
    {"dp2a.hi.u32.s32", "w=www", dp2a_hi_us},
    {"popc.b32", "w=w", popc_32},
    {"popc.b64", "w=d", popc_64},
    {"clz.b32", "w=w", clz_32},
    {"clz.b64", "w=d", clz_64},
    {"brev.b32", "w=w", brev_32},
    {"brev.b64", "d=d", brev_64},
    {"bfind.u32", "w=w", bfind_u32},
    {"bfind.s32", "w=w", bfind_s32},
    {"bfind.u64", "w=d", bfind_u64},
    {"bfind.s64", "w=d", bfind_s64},
    {"bfind.shiftamt.u32", "w=w", bfinds_u32},
    {"bfind.shiftamt.s32", "w=w", bfinds_s32},
    {"bfind.shiftamt.u64", "w=d", bfinds_u64},
    {"bfe.u32", "w=www", bfe_u32},
    {"bfe.s32", "w=www", bfe_s32},
    {"bfe.u64", "d=dww", bfe_u64},
    {"bfe.s64", "d=dww", bfe_s64},
    {"bfi.b32", "w=wwww", bfi_32},
    {"bfi.b64", "d=ddww", bfi_64},
    {"shf.l.wrap.b32", "w=www", shf_lw},
    {"shf.r.wrap.b32", "w=www", shf_rw},
    {"shf.l.clamp.b32", "w=www", shf_lc},
    {"shf.r.clamp.b32", "w=www", shf_rc},
    {"prmt.b32", "w=www", prmt},
    {"prmt.b32.f4e", "w=www", prmt_f4e},
    {"prmt.b32.b4e", "w=www", prmt_b4e},
    {"prmt.b32.rc8", "w=www", prmt_rc8},
    {"prmt.b32.ecl", "w=www", prmt_ecl},
    {"prmt.b32.ecr", "w=www", prmt_ecr},
    {"prmt.b32.rc16", "w=www", prmt_rc16},
    {"lop3.b32 %d, %a, %b, %c, 0xca;", "w=www", lop3_ca},
    {"lop3.b32 %d, %a, %b, %c, 0x96;", "w=www", lop3_96},
    {"lop3.b32 %d, %a, %b, %c, 0x40;", "w=www", lop3_40},
    {"{ .reg .b32 al, ah, bl, bh, x; mov.b64 {al, ah}, %a; mov.b64 {bl, bh}, %b;"
     "add.cc.u32 x, al, bl; addc.u32 %d, ah, bh; }",
     "w=dd", chain_add},
    {"{ .reg .b32 al, ah, bl, bh, x; mov.b64 {al, ah}, %a; mov.b64 {bl, bh}, %b;"
     "sub.cc.u32 x, al, bl; subc.cc.u32 %d, ah, bh; }",
     "w=dd", chain_sub},
    {"{ .reg .b32 cl, ch, x; mov.b64 {cl, ch}, %c;"
     "mad.lo.cc.u32 x, %a, %b, cl; madc.hi.u32 %d, %a, %b, ch; }",
     "w=wwd", chain_mad},
    {"{ .reg .b32 al, ah, bl, bh, x; mov.b64 {al, ah}, %a; mov.b64 {bl, bh}, %b;"
     "sub.cc.u32 x, al, bl; subc.u32 %d, ah, bh; }",
     "w=dd", chain_sub_plain},
    {"{ .reg .b32 al, ah, bl, bh, x, y, z; mov.b64 {al, ah}, %a; mov.b64 {bl, bh}, %b;"
     "add.cc.u32 x, al, bl; addc.cc.u32 y, ah, bh; addc.u32 z, 0, 0;"
     "add.cc.u32 y, y, %e; addc.u32 %d, z, 0; .reg .b64 w; mov.b64 w, %c; }",
     "w=dddw", chain_add_three},
    {"{ .reg .b64 x; sub.cc.u64 x, %a, %b; subc.u64 %d, 0, 0; }", "d=dd", chain_sub_64},
    {"{ .reg .b32 x; mad.hi.cc.u32 x, %a, %b, %c; addc.u32 %d, 0, 0; }", "w=www", chain_mad_high},
};

START_TEST(agrees_with_its_twin) {
    op_check(&cases[_i], 0, NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_integer");
    TCase *tcase = tcase_create("instructions");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, agrees_with_its_twin, 0, sizeof(cases) / sizeof(*cases));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
