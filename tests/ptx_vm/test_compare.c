/* setp, set, selp, slct, testp, and mov with its packing. */
#include <math.h>
#include <stdio.h>

#include "half_twin.h"
#include "op_support.h"
#include "test_support.h"

/* Bodies that hold two comparisons in one: the predicate and its counterpart. */
static const struct {
    const char *name;
    char letter;
    int is_signed, floating; /* floating 2: bf16 */
} types[] = {
    {"u16", 'h', 0, 0}, {"s16", 'h', 1, 0}, {"b16", 'h', 0, 0},  {"u32", 'w', 0, 0},
    {"s32", 'w', 1, 0}, {"b32", 'w', 0, 0}, {"u64", 'd', 0, 0},  {"s64", 'd', 1, 0},
    {"b64", 'd', 0, 0}, {"f16", 'h', 1, 1}, {"bf16", 'h', 1, 2}, {"f32", 'w', 1, 1},
    {"f64", 'd', 1, 1},
};
#define TYPES (int)(sizeof(types) / sizeof(*types))
static const char *const comparisons[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",
                                          "lo",  "ls",  "hi",  "hs",  "equ", "neu",
                                          "ltu", "leu", "gtu", "geu", "num", "nan"};

/* Every 64-bit integer and every float is exact here. */
static long double value(int type, uint64_t bits) {
    float single;
    double wide;
    uint32_t low = (uint32_t)bits;
    int size = types[type].letter == 'h' ? 16 : types[type].letter == 'w' ? 32 : 64;

    if (types[type].floating && size == 16) {
        return (long double)half_value(bits & 0xffff, types[type].floating == 2);
    }
    if (types[type].floating && size == 32) {
        memcpy(&single, &low, sizeof(single));
        return (long double)single;
    }
    if (types[type].floating) {
        memcpy(&wide, &bits, sizeof(wide));
        return (long double)wide;
    }
    bits <<= 64 - size;
    return types[type].is_signed ? (long double)((int64_t)bits >> (64 - size))
                                 : (long double)(bits >> (64 - size));
}

static int compare(const char *name, long double x, long double y) {
    int nan = isnan(x) || isnan(y);
    size_t length = strlen(name);

    if (strcmp(name, "num") == 0 || strcmp(name, "nan") == 0) {
        return nan == (name[1] == 'a');
    }
    if (nan) { /* only the unordered comparisons hold */
        return length == 3;
    }
    switch (name[0] * 256 + name[1]) {
    case 'e' * 256 + 'q':
        return x == y;
    case 'n' * 256 + 'e':
        return x != y;
    case 'l' * 256 + 't':
    case 'l' * 256 + 'o':
        return x < y;
    case 'l' * 256 + 'e':
    case 'l' * 256 + 's':
        return x <= y;
    case 'g' * 256 + 't':
    case 'h' * 256 + 'i':
        return x > y;
    default:
        return x >= y;
    }
}

static int has(int type, int k) {
    if (types[type].floating) {
        return k < 6 || k >= 10;
    }
    if (types[type].name[0] == 'b') {
        return k < 2;
    }
    return types[type].is_signed ? k < 6 : k < 10;
}

enum { COUNT = 1200 };
static uint64_t a[COUNT], b[COUNT], c[COUNT], e[COUNT], out[COUNT];
static const uint64_t *const given[OP_INPUTS] = {a, b, c, e};

/* Pairs of edges, pairs of equals, random numbers; c and e are truths. */
static void fill(char letter, int floating) {
    uint64_t edges[64], seed = 31337,
                        mask = letter == 'h'   ? 0xffff
                               : letter == 'w' ? 0xffffffff
                                               : ~0ull;
    size_t count = op_edges(letter, floating, edges, 64), i;

    for (i = 0; i < COUNT; i++) {
        a[i] = i < count * count ? edges[i % count] : next_random(&seed) & mask;
        b[i] = i < count * count ? edges[i / count] : i % 4 ? next_random(&seed) & mask : a[i];
        c[i] = i % 2;
        e[i] = i / 2 % 2;
    }
}

/* setp alone, with each operator, and with a second destination. */
START_TEST(sets_predicates) {
    static const char *const forms[] = {
        "setp.%s.%s %%d, %%a, %%b;", "setp.%s.and.%s %%d, %%a, %%b, %%c;",
        "setp.%s.or.%s %%d, %%a, %%b, !%%c;", "setp.%s.or.%s %%q|%%d, %%a, %%b, %%c;",
        "setp.%s.xor.%s %%d|%%q, %%a, %%b, %%c;"};
    int half = types[_i].floating && types[_i].letter == 'h'; /* no second destination in PTX */
    int type = _i, k, form;
    size_t i;

    fill(types[type].letter, types[type].floating);
    for (k = 0; k < 18; k++) {
        for (form = 0; form < (half ? 3 : 5) && has(type, k); form++) {
            char body[128], shape[] = {'p', '=', types[type].letter, types[type].letter, 'p', '\0'};

            snprintf(body, sizeof(body), forms[form], comparisons[k], types[type].name);
            op_run(body, shape, COUNT, given, out, 0);
            for (i = 0; i < COUNT; i++) {
                int truth = compare(comparisons[k], value(type, a[i]), value(type, b[i]));
                int wanted = form == 0   ? truth
                             : form == 1 ? (truth && c[i])
                             : form == 2 ? (truth || !c[i])
                             : form == 3 ? (!truth || c[i])
                                         : (truth != (c[i] != 0));

                ck_assert_msg((int)out[i] == wanted, "%s of %llx, %llx", body,
                              (unsigned long long)a[i], (unsigned long long)b[i]);
            }
        }
    }
}
END_TEST

static const struct {
    const char *body, *shape;
    const char *comparison;
    int type; /* of the operands */
    uint64_t yes;
} sets[] = {
    {"set.lt.u32.s32 %d, %a, %b;", "w=ww", "lt", 4, 0xffffffff},
    {"set.geu.s32.f32 %d, %a, %b;", "w=ww", "geu", 11, 0xffffffff},
    {"set.eq.f32.f32 %d, %a, %b;", "w=ww", "eq", 11, 0x3f800000},
    {"set.nan.f16.f16 %d, %a, %b;", "h=hh", "nan", 9, 0x3c00},
    {"set.neu.bf16.bf16 %d, %a, %b;", "h=hh", "neu", 10, 0x3f80},
    {"set.gt.u32.u16 %d, %a, %b;", "w=hh", "gt", 0, 0xffffffff},
};

START_TEST(sets_numbers) {
    size_t i;

    fill(sets[_i].shape[2], types[sets[_i].type].floating);
    op_run(sets[_i].body, sets[_i].shape, COUNT, given, out, 0);
    for (i = 0; i < COUNT; i++) {
        int truth =
            compare(sets[_i].comparison, value(sets[_i].type, a[i]), value(sets[_i].type, b[i]));

        ck_assert_uint_eq(out[i], truth ? sets[_i].yes : 0);
    }
}
END_TEST

/* Both halves at once: as two predicates, as two ones, as masks. */
START_TEST(compares_pairs) {
    size_t i;

    fill('w', 1);
    for (i = 0; i < COUNT; i++) { /* halves that are often equal */
        b[i] = i % 3 ? b[i] : (b[i] & 0xffff0000) | (a[i] & 0xffff);
    }
    op_run("{ .reg .pred l, h; .reg .b32 x, y; setp.le.f16x2 l|h, %a, %b; selp.u32 x, 1, 0, l;"
           "selp.u32 y, 2, 0, h; or.b32 %d, x, y; }",
           "w=ww", COUNT, given, out, 0);
    for (i = 0; i < COUNT; i++) {
        int low = compare("le", value(9, a[i]), value(9, b[i]));
        int high = compare("le", value(9, a[i] >> 16), value(9, b[i] >> 16));

        ck_assert_int_eq((int)out[i], low + 2 * high);
    }
    op_run("set.eq.f16x2.f16x2 %d, %a, %b;", "w=ww", COUNT, given, out, 0);
    for (i = 0; i < COUNT; i++) {
        int low = compare("eq", value(9, a[i]), value(9, b[i]));
        int high = compare("eq", value(9, a[i] >> 16), value(9, b[i] >> 16));

        ck_assert_uint_eq(out[i], (low ? 0x3c00u : 0) | (high ? 0x3c000000u : 0));
    }
}
END_TEST

/* ---- choices and moves --------------------------------------------------------------------------
 */

#define TWIN(name, expression)                                                                     \
    static uint64_t name(uint64_t p, uint64_t q, uint64_t r, uint64_t s) {                         \
        (void)p, (void)q, (void)r, (void)s;                                                        \
        return (uint64_t)(expression);                                                             \
    }
TWIN(choose, r ? p : q)
TWIN(choose_sign, r >> 31 ? q : p)
TWIN(choose_float, value(11, r) >= 0 ? p : q)
TWIN(same, p)
TWIN(join_hh, p | q << 16)
TWIN(join_ww, p | q << 32)
TWIN(join_hhhh, p | q << 16 | r << 32 | s << 48)
TWIN(high_half, p >> 16)
TWIN(low_word, p & 0xffffffff)
TWIN(third_half, p >> 32 & 0xffff)
TWIN(both, p &&q)
TWIN(either, p || q)
TWIN(differ, !p != !q)
TWIN(negated, !p)
TWIN(finite, fabsl(value(11, p)) < (long double)INFINITY)
TWIN(infinite, fabsl(value(11, p)) == (long double)INFINITY)
TWIN(number, !isnan(value(11, p)))
TWIN(not_a_number, isnan(value(11, p)))
TWIN(normal, fabsl(value(11, p)) >= 0x1p-126L && fabsl(value(11, p)) < (long double)INFINITY)
TWIN(subnormal, fabsl(value(11, p)) < 0x1p-126L && value(11, p) != 0)

static const op_case moves[] = {
    {"selp.b16", "h=hhp", choose},
    {"selp.b32", "w=wwp", choose},
    {"selp.f32", "w=wwp", choose},
    {"selp.u64", "d=ddp", choose},
    {"slct.u32.s32", "w=www", choose_sign},
    {"slct.b64.s32", "d=ddw", choose_sign},
    {"slct.f32.f32", "w=www", choose_float},
    {"mov.b16", "h=h", same},
    {"mov.u32", "w=w", same},
    {"mov.f32", "w=w", same},
    {"mov.b64", "d=d", same},
    {"mov.pred", "p=p", same},
    {"mov.b32 %d, {%a, %b};", "w=hh", join_hh},
    {"mov.b64 %d, {%a, %b};", "d=ww", join_ww},
    {"mov.b64 %d, {%a, %b, %c, %e};", "d=hhhh", join_hhhh},
    {"{ .reg .b16 x; mov.b32 {x, %d}, %a; }", "h=w", high_half},
    {"mov.b64 {%d, _}, %a;", "w=d", low_word},
    {"{ .reg .b16 x; mov.b64 {x, _, %d, _}, %a; }", "h=d", third_half},
    {"and.pred", "p=pp", both},
    {"or.pred", "p=pp", either},
    {"xor.pred", "p=pp", differ},
    {"not.pred", "p=p", negated},
    {"testp.finite.f32", "p=w", finite},
    {"testp.infinite.f32", "p=w", infinite},
    {"testp.number.f32", "p=w", number},
    {"testp.notanumber.f32", "p=w", not_a_number},
    {"testp.normal.f32", "p=w", normal},
    {"testp.subnormal.f32", "p=w", subnormal},
};

START_TEST(moves_and_chooses) {
    op_check(&moves[_i], strstr(moves[_i].opcode, "f32") != NULL, NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("vm_compare");
    TCase *tcase = tcase_create("instructions");

    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, sets_predicates, 0, TYPES);
    tcase_add_loop_test(tcase, sets_numbers, 0, sizeof(sets) / sizeof(*sets));
    tcase_add_test(tcase, compares_pairs);
    tcase_add_loop_test(tcase, moves_and_chooses, 0, sizeof(moves) / sizeof(*moves));
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
