/* setp, set, testp. A comparison is a function from two rows to a word of lanes. */
#include <stdio.h>
#include <string.h>

#include "exec.h"
#include "half.h"

typedef uint32_t (*compare_fn)(const void *, const void *);

/* The comparisons of the manual; the last eight are for floating point: "u" also holds when an
 * operand is NaN. Unsigned lo, ls, hi, hs are names of lt, le, gt, ge. */
enum { EQ, NE, LT, LE, GT, GE, EQU, NEU, LTU, LEU, GTU, GEU, NUM, NAN_, COMPARISONS };
static const char *const comparisons[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",
                                          "equ", "neu", "ltu", "leu", "gtu", "geu",
                                          "num", "nan", "lo",  "ls",  "hi",  "hs"};

#define COMPARE(name, T, expression)                                                               \
    static uint32_t name(const void *left, const void *right) {                                    \
        const T *a = left, *b = right;                                                             \
        uint32_t result = 0;                                                                       \
                                                                                                   \
        for (uint32_t i = 0; i < VM_LANES; i++) {                                                  \
            result |= (uint32_t)(expression) << i;                                                 \
        }                                                                                          \
        return result;                                                                             \
    }
#define ORDERED(type, T, get)                                                                      \
    COMPARE(eq_##type, T, get(a[i]) == get(b[i]))                                                  \
    COMPARE(lt_##type, T, get(a[i]) < get(b[i]))                                                   \
    COMPARE(le_##type, T, get(a[i]) <= get(b[i]))                                                  \
    COMPARE(gt_##type, T, get(a[i]) > get(b[i]))                                                   \
    COMPARE(ge_##type, T, get(a[i]) >= get(b[i]))
#define INTEGER(type, T)                                                                           \
    ORDERED(type, T, )                                                                             \
    COMPARE(ne_##type, T, a[i] != b[i])
/* "Not equal" of the ordered kind is false for NaN. */
#define FLOATING(type, T, get)                                                                     \
    ORDERED(type, T, get)                                                                          \
    COMPARE(num_##type, T, get(a[i]) == get(a[i]) && get(b[i]) == get(b[i]))

INTEGER(u16, uint16_t)
INTEGER(s16, int16_t)
INTEGER(u32, uint32_t)
INTEGER(s32, int32_t)
INTEGER(u64, uint64_t)
INTEGER(s64, int64_t)
FLOATING(f32, float, )
FLOATING(f64, double, )
FLOATING(f16, uint16_t, vm_from_f16)
FLOATING(bf16, uint16_t, vm_from_bf16)

/* The other floating comparisons, from these. */
#define DERIVED(type)                                                                              \
    static uint32_t ne_##type(const void *a, const void *b) {                                      \
        return num_##type(a, b) & ~eq_##type(a, b);                                                \
    }                                                                                              \
    static uint32_t equ_##type(const void *a, const void *b) {                                     \
        return ~num_##type(a, b) | eq_##type(a, b);                                                \
    }                                                                                              \
    static uint32_t neu_##type(const void *a, const void *b) {                                     \
        return ~eq_##type(a, b);                                                                   \
    }                                                                                              \
    static uint32_t ltu_##type(const void *a, const void *b) {                                     \
        return ~ge_##type(a, b);                                                                   \
    }                                                                                              \
    static uint32_t leu_##type(const void *a, const void *b) {                                     \
        return ~gt_##type(a, b);                                                                   \
    }                                                                                              \
    static uint32_t gtu_##type(const void *a, const void *b) {                                     \
        return ~le_##type(a, b);                                                                   \
    }                                                                                              \
    static uint32_t geu_##type(const void *a, const void *b) {                                     \
        return ~lt_##type(a, b);                                                                   \
    }                                                                                              \
    static uint32_t nan_##type(const void *a, const void *b) {                                     \
        return ~num_##type(a, b);                                                                  \
    }
DERIVED(f32)
DERIVED(f64)
DERIVED(f16)
DERIVED(bf16)

#define INTEGER_ROW(type)                                                                          \
    { eq_##type, ne_##type, lt_##type, le_##type, gt_##type, ge_##type }
#define FLOATING_ROW(type)                                                                         \
    {                                                                                              \
        eq_##type, ne_##type, lt_##type, le_##type, gt_##type, ge_##type, equ_##type, neu_##type,  \
            ltu_##type, leu_##type, gtu_##type, geu_##type, num_##type, nan_##type                 \
    }

static const struct {
    const char *name;
    vm_width width;
    compare_fn functions[COMPARISONS];
} types[] = {
    {"u16", VM_B16, INTEGER_ROW(u16)},    {"s16", VM_B16, INTEGER_ROW(s16)},
    {"b16", VM_B16, INTEGER_ROW(u16)},    {"u32", VM_B32, INTEGER_ROW(u32)},
    {"s32", VM_B32, INTEGER_ROW(s32)},    {"b32", VM_B32, INTEGER_ROW(u32)},
    {"u64", VM_B64, INTEGER_ROW(u64)},    {"s64", VM_B64, INTEGER_ROW(s64)},
    {"b64", VM_B64, INTEGER_ROW(u64)},    {"f32", VM_B32, FLOATING_ROW(f32)},
    {"f64", VM_B64, FLOATING_ROW(f64)},   {"f16", VM_B16, FLOATING_ROW(f16)},
    {"bf16", VM_B16, FLOATING_ROW(bf16)},
};
#define TYPES (sizeof(types) / sizeof(*types))

/* ---- setp ----------------------------------------------------------------------------------- */

enum { PLAIN, AND, OR, XOR, SECOND = 4, NEGATED = 8 };

static uint32_t combine(uint32_t result, uint32_t other, uint32_t how) {
    switch (how & 3) {
    case AND:
        return result & other;
    case OR:
        return result | other;
    case XOR:
        return result ^ other;
    default:
        return result;
    }
}

/* d = compare(a, b) op c; the second destination has the comparison negated. */
static void setp(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t sources = in->dst_count;
    uint32_t result = in->compare(vm_row(w, in->ref[sources]), vm_row(w, in->ref[sources + 1]));
    uint32_t other = 0, *d = vm_row(w, in->ref[0]);

    if (in->option & 3) {
        other = *(const uint32_t *)vm_row(w, in->ref[sources + 2]);
        other = in->option & NEGATED ? ~other : other;
    }
    if (in->option & SECOND) {
        uint32_t *q = vm_row(w, in->ref[1]);

        *q = vm_merge(*q, combine(~result, other, in->option), mask);
    }
    *d = vm_merge(*d, combine(result, other, in->option), mask);
}

/* f16x2: one destination for each half. */
static void setp_x2(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t sources = in->dst_count, half, other = 0, i;
    const uint32_t *a = vm_row(w, in->ref[sources]), *b = vm_row(w, in->ref[sources + 1]);
    uint16_t x[VM_LANES], y[VM_LANES];

    if (in->option & 3) {
        other = *(const uint32_t *)vm_row(w, in->ref[sources + 2]);
        other = in->option & NEGATED ? ~other : other;
    }
    for (half = 0; half < 2; half++) {
        uint32_t *d = vm_row(w, in->ref[half]);

        for (i = 0; i < VM_LANES; i++) {
            x[i] = (uint16_t)(a[i] >> 16 * half);
            y[i] = (uint16_t)(b[i] >> 16 * half);
        }
        *d = vm_merge(*d, combine(in->compare(x, y), other, in->option), mask);
    }
}

/* .cmp{.and .or .xor}{.ftz}.type; fills compare and option, gives the type (or -1). */
static int decode_comparison(vm_decoder *d, bool *pair, const char **result_type) {
    static const char *const operators[] = {"and", "or", "xor"};
    int compare = vm_take_of(d, comparisons, COMPARISONS + 4), operation, type;
    char name[8];

    if (compare >= COMPARISONS) { /* lo, ls, hi, hs */
        compare = LT + compare - COMPARISONS;
    }
    operation = vm_take_of(d, operators, 3);
    d->in->option = (uint16_t)(operation + 1);
    if (vm_take(d, "ftz")) {
        return -1; /* nvcc emits it only with fast-math options, which we do not use */
    }
    if (result_type) {
        *result_type = vm_take_any(d);
    }
    snprintf(name, sizeof(name), "%s", vm_take_any(d));
    *pair = strlen(name) > 3 && strcmp(name + strlen(name) - 2, "x2") == 0;
    if (*pair) {
        name[strlen(name) - 2] = '\0';
    }
    for (type = 0; type < (int)TYPES && strcmp(types[type].name, name) != 0; type++) {
    }
    if (compare < 0 || type == (int)TYPES || !types[type].functions[compare]) {
        return -1;
    }
    d->in->compare = types[type].functions[compare];
    return type;
}

static bool decode_setp(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;
    ptx_operand second = operands[0], third;
    bool pair;
    int type = decode_comparison(d, &pair, NULL);
    vm_width width;

    d->in->class = VM_CLASS_COMPARE;
    if (type < 0 || !vm_want(d, d->in->option ? 4 : 3)) {
        return false;
    }
    width = pair ? VM_B32 : types[type].width;
    d->in->run = pair ? setp_x2 : setp;
    if (!vm_dst(d, &operands[0], VM_PRED)) {
        return false;
    }
    if (pair || operands[0].reg2 != VM_NONE) {
        second.reg = operands[0].reg2;
        second.kind = second.reg == VM_NONE ? PTX_SINK : PTX_REGISTER;
        if (!vm_dst(d, &second, VM_PRED)) {
            return false;
        }
    }
    if (!vm_src(d, &operands[1], width) || !vm_src(d, &operands[2], width)) {
        return false;
    }
    if (d->in->option) {
        third = operands[3];
        d->in->option |= third.negated ? NEGATED : 0;
        third.negated = false;
        if (!vm_src(d, &third, VM_PRED)) {
            return false;
        }
    }
    d->in->option |= d->in->dst_count == 2 ? SECOND : 0;
    return true;
}

/* ---- set: the truth as a number ------------------------------------------------------------- */

static uint32_t set_result(vm_warp *w, const vm_instr *in, const void *a, const void *b) {
    uint32_t result = in->compare(a, b), other = 0;

    if (in->option & 3) {
        other = *(const uint32_t *)vm_row(w, in->ref[3]);
        other = in->option & NEGATED ? ~other : other;
    }
    return combine(result, other, in->option);
}

/* in->offset is what "true" is. */
static void set_16(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint16_t *d = vm_row(w, in->ref[0]), yes = (uint16_t)in->offset;
    uint32_t result = set_result(w, in, vm_row(w, in->ref[1]), vm_row(w, in->ref[2]));

    VM_EACH_LANE(d[i] = result >> i & 1 ? yes : 0);
}

static void set_32(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t *d = vm_row(w, in->ref[0]), yes = (uint32_t)in->offset;
    uint32_t result = set_result(w, in, vm_row(w, in->ref[1]), vm_row(w, in->ref[2]));

    VM_EACH_LANE(d[i] = result >> i & 1 ? yes : 0);
}

static void set_x2(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t *d = vm_row(w, in->ref[0]), low, high, i;
    const uint32_t *a = vm_row(w, in->ref[1]), *b = vm_row(w, in->ref[2]);
    uint32_t yes = (uint16_t)in->offset;
    uint16_t x[2][VM_LANES], y[2][VM_LANES];

    for (i = 0; i < VM_LANES; i++) {
        x[0][i] = (uint16_t)a[i];
        x[1][i] = (uint16_t)(a[i] >> 16);
        y[0][i] = (uint16_t)b[i];
        y[1][i] = (uint16_t)(b[i] >> 16);
    }
    low = set_result(w, in, x[0], y[0]);
    high = set_result(w, in, x[1], y[1]);
    VM_EACH_LANE(d[i] = (low >> i & 1 ? yes : 0) | (high >> i & 1 ? yes << 16 : 0));
}

static bool decode_set(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;
    const char *result;
    bool pair;
    int type = decode_comparison(d, &pair, &result);
    uint32_t bytes;
    vm_width width;

    d->in->class = VM_CLASS_COMPARE;
    if (type < 0 || !vm_want(d, d->in->option ? 4 : 3)) {
        return false;
    }
    bytes = vm_type_bytes(result);
    d->in->offset = strncmp(result, "f16", 3) == 0    ? 0x3c00
                    : strncmp(result, "bf16", 4) == 0 ? 0x3f80
                    : strcmp(result, "f32") == 0      ? 0x3f800000
                                                      : 0xffffffff;
    width = pair ? VM_B32 : types[type].width;
    d->in->run = bytes == 2 ? set_16 : set_32;
    if (pair) { /* pairs of halves, or masks of 16 bits */
        d->in->run = set_x2;
        d->in->offset &= 0xffff;
    }
    if ((bytes != 2 && bytes != 4) || (pair && bytes != 4) ||
        !vm_dst(d, &operands[0], vm_width_of_bytes(bytes)) || !vm_src(d, &operands[1], width) ||
        !vm_src(d, &operands[2], width)) {
        return false;
    }
    return d->in->option == 0 || vm_src(d, &operands[3], VM_PRED);
}

static const vm_family families[] = {{"setp", decode_setp}, {"set", decode_set}};
const vm_family_list vm_compare_families = {families, sizeof(families) / sizeof(*families)};

/* ---- testp ---------------------------------------------------------------------------------- */

#define TEST(name, expression)                                                                     \
    static void name(vm_warp *w, const vm_instr *in, uint32_t mask) {                              \
        uint32_t *d = vm_row(w, in->ref[0]), result = 0;                                           \
        const uint32_t *a = vm_row(w, in->ref[1]);                                                 \
                                                                                                   \
        for (uint32_t i = 0; i < VM_LANES; i++) {                                                  \
            uint32_t x = a[i] & 0x7fffffff;                                                        \
                                                                                                   \
            result |= (uint32_t)(expression) << i;                                                 \
        }                                                                                          \
        *d = vm_merge(*d, result, mask);                                                           \
    }
TEST(finite, x < 0x7f800000)
TEST(infinite, x == 0x7f800000)
TEST(number, x <= 0x7f800000)
TEST(notanumber, x > 0x7f800000)
TEST(normal, x >= 0x00800000 && x < 0x7f800000)
TEST(subnormal, x < 0x00800000 && x != 0)

#define FORM(name)                                                                                 \
    { "testp." #name ".f32", name, "p=w", VM_CLASS_COMPARE }
static const vm_form forms[] = {FORM(finite),     FORM(infinite), FORM(number),
                                FORM(notanumber), FORM(normal),   FORM(subnormal)};

const vm_form_list vm_compare_forms = {forms, sizeof(forms) / sizeof(*forms)};
