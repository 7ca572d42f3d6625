/* Matrix instructions: mma, ldmatrix, stmatrix.
 *
 * All mma.m16n8 share one rule for who holds what. With e elements in a register (2 of f16, 1 of
 * tf32, 4 of int8), g = lane / 4 and t = lane % 4, element j of register r is
 *     A: row g + 8 (r % 2), column e t + j + 4 e (r / 2)
 *     B: row e t + j + 4 e r, column g
 *     C, D: row g + 8 (r / 2), column 2 t + r % 2      (f16: two neighbours in a register)
 * Products are exact; sums are taken in f32 along k, rounded at each step. Tensor cores add several
 * products at once with a few bits more or less, in an order that NVIDIA leaves open, so results
 * agree within that freedom only. f16 results are rounded once, at the end. */
#include <string.h>

#include "exec.h"
#include "half.h"
#include "memory.h"

enum { F16, BF16, TF32, S8, U8 }; /* option: type of A | type of B << 4 | flags */
enum { HALF_RESULT = 1 << 8, SATURATE = 1 << 9 };

#define ROWS 16
#define COLUMNS 8
#define MAX_K 32

static uint32_t per_register(uint32_t type) {
    return type == TF32 ? 1 : type >= S8 ? 4 : 2;
}

static float real(uint32_t type, uint32_t bits, uint32_t j) {
    uint16_t half = (uint16_t)(bits >> 16 * j);

    if (type == TF32) { /* the low 13 bits do not count */
        return vm_float(bits & 0xffffe000);
    }
    return type == F16 ? vm_from_f16(half) : vm_from_bf16(half);
}

static int32_t byte(uint32_t type, uint32_t bits, uint32_t j) {
    uint32_t value = bits >> 8 * j & 0xff;

    return type == S8 ? (int32_t)(int8_t)value : (int32_t)value;
}

/* refs: D, then A, B, C registers. elements: registers of A; B has half of them. */
static const uint32_t *register_row(const vm_warp *w, const vm_instr *in, uint32_t k) {
    return vm_row(w, in->ref[k]);
}

static void mma_real(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t type = in->option & 15, e = per_register(type), r, j, lane, k, n, m;
    uint32_t a_first = in->dst_count, b_first = a_first + in->elements;
    uint32_t c_first = b_first + in->bytes, depth = 4 * e * in->bytes;
    float a[ROWS][MAX_K], b[MAX_K][COLUMNS], c[ROWS][COLUMNS];

    if (!vm_check_whole(w, in, mask)) {
        return;
    }
    w->block->counters->mma++;
    for (r = 0; r < in->elements; r++) {
        const uint32_t *row = register_row(w, in, a_first + r);

        for (lane = 0; lane < VM_LANES; lane++) {
            for (j = 0; j < e; j++) {
                a[lane / 4 + 8 * (r % 2)][e * (lane % 4) + j + 4 * e * (r / 2)] =
                    real(type, row[lane], j);
            }
        }
    }
    for (r = 0; r < in->bytes; r++) {
        const uint32_t *row = register_row(w, in, b_first + r);

        for (lane = 0; lane < VM_LANES; lane++) {
            for (j = 0; j < e; j++) {
                b[e * (lane % 4) + j + 4 * e * r][lane / 4] = real(type, row[lane], j);
            }
        }
    }
    for (lane = 0; lane < VM_LANES; lane++) {
        for (r = 0; r < 4; r++) {
            const uint32_t *row =
                register_row(w, in, c_first + (in->option & HALF_RESULT ? r / 2 : r));

            c[lane / 4 + 8 * (r / 2)][2 * (lane % 4) + r % 2] =
                in->option & HALF_RESULT ? real(F16, row[lane], r % 2) : vm_float(row[lane]);
        }
    }
    for (m = 0; m < ROWS; m++) {
        for (k = 0; k < depth; k++) {
            for (n = 0; n < COLUMNS; n++) {
                c[m][n] = a[m][k] * b[k][n] + c[m][n]; /* the product is exact */
            }
        }
    }
    for (r = 0; r < in->dst_count; r++) {
        uint32_t *row = vm_row(w, in->ref[r]);

        for (lane = 0; lane < VM_LANES; lane++) {
            uint32_t at = lane / 4, column = 2 * (lane % 4);

            if (in->option & HALF_RESULT) {
                const float *pair = &c[at + 8 * r][column];

                row[lane] = vm_to_f16(pair[0]) | (uint32_t)vm_to_f16(pair[1]) << 16;
            } else {
                row[lane] = vm_bits(vm_canonical(c[at + 8 * (r / 2)][column + r % 2]));
            }
        }
    }
}

static void mma_integer(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t a_type = in->option & 15, b_type = in->option >> 4 & 15, r, j, lane, k, n, m;
    uint32_t a_first = in->dst_count, b_first = a_first + in->elements;
    uint32_t c_first = b_first + in->bytes, depth = 16u * in->bytes;
    int32_t a[ROWS][MAX_K], b[MAX_K][COLUMNS];
    int64_t c[ROWS][COLUMNS];

    if (!vm_check_whole(w, in, mask)) {
        return;
    }
    w->block->counters->mma++;
    for (lane = 0; lane < VM_LANES; lane++) {
        uint32_t g = lane / 4, t = lane % 4;

        for (r = 0; r < in->elements; r++) {
            uint32_t bits = register_row(w, in, a_first + r)[lane];

            for (j = 0; j < 4; j++) {
                a[g + 8 * (r % 2)][4 * t + j + 16 * (r / 2)] = byte(a_type, bits, j);
            }
        }
        for (r = 0; r < in->bytes; r++) {
            uint32_t bits = register_row(w, in, b_first + r)[lane];

            for (j = 0; j < 4; j++) {
                b[4 * t + j + 16 * r][g] = byte(b_type, bits, j);
            }
        }
        for (r = 0; r < 4; r++) {
            c[g + 8 * (r / 2)][2 * t + r % 2] = (int32_t)register_row(w, in, c_first + r)[lane];
        }
    }
    for (m = 0; m < ROWS; m++) {
        for (k = 0; k < depth; k++) {
            for (n = 0; n < COLUMNS; n++) {
                c[m][n] += a[m][k] * b[k][n];
            }
        }
    }
    for (r = 0; r < 4; r++) {
        uint32_t *row = vm_row(w, in->ref[r]);

        for (lane = 0; lane < VM_LANES; lane++) {
            int64_t sum = c[lane / 4 + 8 * (r / 2)][2 * (lane % 4) + r % 2];

            if (in->option & SATURATE) {
                sum = sum > INT32_MAX ? INT32_MAX : sum < INT32_MIN ? INT32_MIN : sum;
            }
            row[lane] = (uint32_t)sum;
        }
    }
}

/* ---- decoding of mma ---------------------------------------------------------------------------
 */

/* in->elements: registers of A; in->bytes: registers of B. */
static const struct {
    const char *shape, *types; /* D.A.B.C */
    uint8_t d, a, b;
    uint16_t option;
} mmas[] = {
    {"m16n8k16", "f32.f16.f16.f32", 4, 4, 2, F16},
    {"m16n8k16", "f16.f16.f16.f16", 2, 4, 2, F16 | HALF_RESULT},
    {"m16n8k16", "f32.bf16.bf16.f32", 4, 4, 2, BF16},
    {"m16n8k8", "f32.f16.f16.f32", 4, 2, 1, F16},
    {"m16n8k8", "f16.f16.f16.f16", 2, 2, 1, F16 | HALF_RESULT},
    {"m16n8k8", "f32.bf16.bf16.f32", 4, 2, 1, BF16},
    {"m16n8k8", "f32.tf32.tf32.f32", 4, 4, 2, TF32},
    {"m16n8k4", "f32.tf32.tf32.f32", 4, 2, 1, TF32},
    {"m16n8k16", "s32.s8.s8.s32", 4, 2, 1, S8 | S8 << 4},
    {"m16n8k16", "s32.u8.s8.s32", 4, 2, 1, U8 | S8 << 4},
    {"m16n8k16", "s32.s8.u8.s32", 4, 2, 1, S8 | U8 << 4},
    {"m16n8k16", "s32.u8.u8.s32", 4, 2, 1, U8 | U8 << 4},
    {"m16n8k32", "s32.s8.s8.s32", 4, 4, 2, S8 | S8 << 4},
    {"m16n8k32", "s32.u8.s8.s32", 4, 4, 2, U8 | S8 << 4},
    {"m16n8k32", "s32.s8.u8.s32", 4, 4, 2, S8 | U8 << 4},
    {"m16n8k32", "s32.u8.u8.s32", 4, 4, 2, U8 | U8 << 4},
};
#define MMAS (sizeof(mmas) / sizeof(*mmas))

/* A vector of count registers; a single one may stand without braces. */
static bool registers(vm_decoder *d, const ptx_operand *operand, uint32_t count, bool destination) {
    const ptx_operand *items = operand->kind == PTX_VECTOR ? operand->items : operand;
    uint32_t given = operand->kind == PTX_VECTOR ? operand->count : 1, k;

    if (given != count) {
        return vm_refuse(d, "%u registers where %u are expected", given, count);
    }
    for (k = 0; k < count; k++) {
        if (!(destination ? vm_dst(d, &items[k], VM_B32) : vm_src(d, &items[k], VM_B32))) {
            return false;
        }
    }
    return true;
}

static bool decode_mma(vm_decoder *d) {
    const ptx_operand *operands = d->statement->operands;
    const char *shape;
    uint32_t first, k;
    size_t i;

    if (!vm_take(d, "sync") || !vm_take(d, "aligned")) {
        return false;
    }
    shape = vm_take_any(d);
    if (!vm_take(d, "row") || !vm_take(d, "col")) {
        return false;
    }
    d->in->option = vm_take(d, "satfinite") ? SATURATE : 0;
    first = d->next_word;
    for (i = 0; i < MMAS; i++) {
        char types[64] = "";

        for (k = first; k < d->words && k < first + 4; k++) {
            strncat(types, d->word[k], 10);
            strcat(types, k + 1 < first + 4 ? "." : "");
        }
        if (strcmp(mmas[i].shape, shape) == 0 && strcmp(mmas[i].types, types) == 0) {
            break;
        }
    }
    if (i == MMAS || !vm_want(d, 4)) {
        return false;
    }
    d->next_word = first + 4;
    d->in->class = VM_CLASS_MATRIX;
    d->in->elements = mmas[i].a;
    d->in->bytes = mmas[i].b;
    d->in->option |= mmas[i].option;
    d->in->run = (mmas[i].option & 15) >= S8 ? mma_integer : mma_real;
    return registers(d, &operands[0], mmas[i].d, true) &&
           registers(d, &operands[1], mmas[i].a, false) &&
           registers(d, &operands[2], mmas[i].b, false) &&
           registers(d, &operands[3], mmas[i].d, false);
}

/* ---- ldmatrix, stmatrix -------------------------------------------------------------------------
 */

/* Lanes 8 k .. 8 k + 7 give the addresses of the 8 rows (8 halves each) of matrix k. A lane holds
 * elements (lane / 4, 2 (lane % 4)) and the one right of it; transposed, rows and columns change
 * places. */
static void ldmatrix(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t used = in->elements == 4 ? VM_ALL : (1u << 8 * in->elements) - 1, k, lane;
    uint16_t matrix[4][8][8];
    uint64_t address[VM_LANES];
    vm_access access;

    if (!vm_check_whole(w, in, mask)) {
        return;
    }
    vm_addresses(w, in, in->dst_count, address);
    vm_access_memory(w, in, used, address, 16, VM_READ, &access);
    memset(matrix, 0, sizeof(matrix));
    for (lane = 0; lane < VM_LANES; lane++) {
        if (access.mask >> lane & 1) {
            memcpy(matrix[lane / 8][lane % 8], access.at[lane], 16);
        }
    }
    for (k = 0; k < in->elements; k++) {
        uint32_t *d = vm_row(w, in->ref[k]);

        for (lane = 0; lane < VM_LANES; lane++) {
            uint32_t row = lane / 4, column = 2 * (lane % 4);

            d[lane] = in->option
                          ? matrix[k][column][row] | (uint32_t)matrix[k][column + 1][row] << 16
                          : matrix[k][row][column] | (uint32_t)matrix[k][row][column + 1] << 16;
        }
    }
}

static void stmatrix(vm_warp *w, const vm_instr *in, uint32_t mask) {
    uint32_t used = in->elements == 4 ? VM_ALL : (1u << 8 * in->elements) - 1, k, lane;
    uint16_t matrix[4][8][8];
    uint64_t address[VM_LANES];
    vm_access access;

    if (!vm_check_whole(w, in, mask)) {
        return;
    }
    vm_addresses(w, in, 0, address);
    for (k = 0; k < in->elements; k++) {
        const uint32_t *a = vm_row(w, in->ref[1 + k]);

        for (lane = 0; lane < VM_LANES; lane++) {
            uint32_t row = lane / 4, column = 2 * (lane % 4);
            uint16_t *first = in->option ? &matrix[k][column][row] : &matrix[k][row][column];
            uint16_t *second = in->option ? &matrix[k][column + 1][row] : first + 1;

            *first = (uint16_t)a[lane];
            *second = (uint16_t)(a[lane] >> 16);
        }
    }
    vm_access_memory(w, in, used, address, 16, VM_WRITE, &access);
    for (lane = 0; lane < VM_LANES; lane++) {
        if (access.mask >> lane & 1) {
            memcpy(access.at[lane], matrix[lane / 8][lane % 8], 16);
        }
    }
}

/* .sync.aligned.m8n8.x{1,2,4}{.trans}{.shared}.b16 */
static bool decode_matrix_words(vm_decoder *d) {
    static const char *const counts[] = {"x1", "x2", "x4"};
    int count;

    if (!vm_take(d, "sync") || !vm_take(d, "aligned") || !vm_take(d, "m8n8")) {
        return false;
    }
    count = vm_take_of(d, counts, 3);
    d->in->option = vm_take(d, "trans");
    d->in->space = vm_take(d, "shared") || vm_take(d, "shared::cta") ? VM_SHARED : VM_GENERIC;
    d->in->elements = (uint8_t)(1 << (count < 0 ? 0 : count));
    d->in->class = VM_CLASS_SHARED;
    vm_uses_shared(d, 16);
    return count >= 0 && vm_take(d, "b16") && vm_want(d, 2);
}

static bool decode_ldmatrix(vm_decoder *d) {
    d->in->run = ldmatrix;
    return decode_matrix_words(d) &&
           registers(d, &d->statement->operands[0], d->in->elements, true) &&
           vm_address(d, &d->statement->operands[1]);
}

static bool decode_stmatrix(vm_decoder *d) {
    d->in->run = stmatrix;
    return decode_matrix_words(d) && vm_address(d, &d->statement->operands[0]) &&
           registers(d, &d->statement->operands[1], d->in->elements, false);
}

static const vm_family families[] = {
    {"mma", decode_mma}, {"ldmatrix", decode_ldmatrix}, {"stmatrix", decode_stmatrix}};
const vm_family_list vm_matrix_families = {families, sizeof(families) / sizeof(*families)};
