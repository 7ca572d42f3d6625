/* atom and red. Lanes are done one after the other, lowest first; the order on a GPU is open, so a
 * kernel must not depend on it. A lock keeps the blocks that run at the same time apart. */
#include <pthread.h>
#include <string.h>

#include "exec.h"
#include "half.h"
#include "memory.h"

typedef enum operation { ADD, AND, OR, XOR, MIN, MAX, INC, DEC, EXCH, CAS, OPERATIONS } operation;
static const char *const operation_names[] = {"add", "and", "or",  "xor",  "min",
                                              "max", "inc", "dec", "exch", "cas"};

typedef enum number { BITS, UNSIGNED, SIGNED, F32, F64, F16, BF16, F16X2, BF16X2, NUMBERS } number;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t integer(operation op, bool is_signed, uint32_t bytes, uint64_t old, uint64_t a,
                        uint64_t b) {
    uint32_t unused = 64 - 8 * bytes;
    int64_t x = (int64_t)(old << unused) >> unused, y = (int64_t)(a << unused) >> unused;

    switch (op) {
    case ADD:
        return old + a;
    case AND:
        return old & a;
    case OR:
        return old | a;
    case XOR:
        return old ^ a;
    case MIN:
        return (is_signed ? x < y : old < a) ? old : a;
    case MAX:
        return (is_signed ? x > y : old > a) ? old : a;
    case INC:
        return old >= a ? 0 : old + 1;
    case DEC:
        return old == 0 || old > a ? a : old - 1;
    case EXCH:
        return a;
    default:
        return old == a ? b : old;
    }
}

static uint16_t add_half(bool brain, uint64_t a, uint64_t b) {
    if (brain) {
        return vm_to_bf16(vm_from_bf16((uint16_t)a) + vm_from_bf16((uint16_t)b));
    }
    return vm_to_f16(vm_from_f16((uint16_t)a) + vm_from_f16((uint16_t)b));
}

/* The only operation on floating numbers is add. */
static uint64_t floating_add(number n, uint64_t old, uint64_t a) {
    double x, y;

    switch (n) {
    case F32:
        return vm_bits(vm_canonical(vm_float((uint32_t)old) + vm_float((uint32_t)a)));
    case F64:
        memcpy(&x, &old, sizeof(x));
        memcpy(&y, &a, sizeof(y));
        x += y;
        memcpy(&old, &x, sizeof(x));
        return old;
    case F16:
    case BF16:
        return add_half(n == BF16, old, a);
    default:
        return add_half(n == BF16X2, old, a) | (uint64_t)add_half(n == BF16X2, old >> 16, a >> 16)
                                                   << 16;
    }
}

/* option: operation, number. dst_count 0: red. */
static void atomic(vm_warp *w, const vm_instr *in, uint32_t mask) {
    operation op = (operation)(in->option & 15);
    number n = (number)(in->option >> 4);
    uint32_t bytes = in->bytes, wide = 1u << in->width, i, first = in->dst_count;
    const uint8_t *a = vm_row(w, in->ref[first + 1]);
    const uint8_t *b = vm_row(w, in->ref[op == CAS ? first + 2 : first + 1]);
    uint64_t address[VM_LANES], result[VM_LANES] = {0};
    vm_access access;

    vm_addresses(w, in, first, address);
    vm_access_memory(w, in, mask, address, bytes, VM_ATOMIC, &access);
    pthread_mutex_lock(&lock);
    for (i = 0; i < VM_LANES; i++) {
        uint64_t old = 0, x = 0, y = 0, new;
        uint8_t *at;

        if (!(access.mask >> i & 1)) {
            continue;
        }
        at = access.contiguous ? access.at[0] + i * bytes : access.at[i];
        memcpy(&old, at, bytes);
        memcpy(&x, a + i * wide, bytes);
        memcpy(&y, b + i * wide, bytes);
        new = n >= F32 &&op == ADD ? floating_add(n, old, x)
                                   : integer(op, n == SIGNED, bytes, old, x, y);
        memcpy(at, &new, bytes);
        result[i] = old;
    }
    pthread_mutex_unlock(&lock);
    if (in->dst_count) {
        uint8_t *d = vm_row(w, in->ref[0]);

        for (i = 0; i < VM_LANES; i++) {
            if (access.mask >> i & 1) {
                memcpy(d + i * wide, &result[i], wide);
            }
        }
    }
}

/* ---- decoding ---------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    number n;
    uint32_t bytes;
} types[] = {{"b16", BITS, 2},     {"b32", BITS, 4},   {"b64", BITS, 8},   {"u32", UNSIGNED, 4},
             {"u64", UNSIGNED, 8}, {"s32", SIGNED, 4}, {"s64", SIGNED, 8}, {"f32", F32, 4},
             {"f64", F64, 8},      {"f16", F16, 2},    {"bf16", BF16, 2},  {"f16x2", F16X2, 4},
             {"bf16x2", BF16X2, 4}};
#define TYPES (sizeof(types) / sizeof(*types))

/* Which operations a type has. */
static bool is_allowed(operation op, number n, uint32_t bytes) {
    switch (op) {
    case ADD:
        return n != BITS;
    case AND:
    case OR:
    case XOR:
        return n == BITS && bytes >= 4;
    case MIN:
    case MAX:
        return n == UNSIGNED || n == SIGNED;
    case INC:
    case DEC:
        return n == UNSIGNED && bytes == 4;
    default:
        return n == BITS;
    }
}

/* atom{.sem}{.scope}{.space}.op{.noftz}.type d, [a], b{, c};  red: the same without d. */
static bool decode_atomic(vm_decoder *d) {
    static const char *const order[] = {"relaxed", "acquire", "release", "acq_rel",
                                        "cta",     "gpu",     "sys",     "cluster"};
    bool returns = strcmp(d->word[0], "atom") == 0;
    const ptx_operand *operands = d->statement->operands;
    uint32_t used = 0;
    size_t t = 0;
    int op;

    while (vm_take_of(d, order, 8) >= 0) {
    }
    if (vm_take(d, "global")) {
        d->in->space = VM_GLOBAL;
    } else if (vm_take(d, "shared") || vm_take(d, "shared::cta")) {
        d->in->space = VM_SHARED;
    }
    op = vm_take_of(d, operation_names, OPERATIONS);
    vm_take(d, "noftz");
    for (; t < TYPES && !vm_take(d, types[t].name); t++) {
    }
    if (op < 0 || t == TYPES || !is_allowed((operation)op, types[t].n, types[t].bytes)) {
        return false;
    }
    d->in->run = atomic;
    d->in->class = VM_CLASS_ATOMIC;
    d->in->bytes = (uint8_t)types[t].bytes;
    d->in->width = (uint8_t)vm_width_of_bytes(types[t].bytes);
    d->in->option = (uint16_t)((uint32_t)op | (uint32_t)types[t].n << 4);
    if (d->in->space != VM_GLOBAL) {
        vm_uses_shared(d, types[t].bytes);
    }
    if (!vm_want(d, (returns ? 3u : 2u) + (op == CAS ? 1u : 0u))) {
        return false;
    }
    if (returns && !vm_dst(d, &operands[used++], (vm_width)d->in->width)) {
        return false;
    }
    if (!vm_address(d, &operands[used++]) ||
        !vm_src(d, &operands[used++], (vm_width)d->in->width)) {
        return false;
    }
    return op != CAS || vm_src(d, &operands[used], (vm_width)d->in->width);
}

static const vm_family families[] = {{"atom", decode_atomic}, {"red", decode_atomic}};
const vm_family_list vm_atomic_families = {families, sizeof(families) / sizeof(*families)};
