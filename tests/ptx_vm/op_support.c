#include "op_support.h"

#include <stdarg.h>
#include <stdio.h>

#include "test_support.h"

/* ---- the kernel around an instruction ---------------------------------------------------------
 */

static const char *type_of(char letter) {
    return letter == 'h' ? "b16" : letter == 'w' ? "b32" : letter == 'd' ? "b64" : "pred";
}

typedef struct text {
    char *at, *end;
} text;

static void add(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(text *t, const char *format, ...) {
    va_list list;
    int used;

    va_start(list, format);
    used = vsnprintf(t->at, (size_t)(t->end - t->at), format, list);
    va_end(list);
    ck_assert_int_ge(used, 0);
    ck_assert(used < t->end - t->at);
    t->at += used;
}

/* Parameters: four pointers of inputs, the output, the count. */
static void write_kernel(text *t, const char *body, const char *shape, int some) {
    const char *inputs = strchr(shape, '=') + 1;
    static const char names[] = "abce";
    size_t k;

    add(t, ".version 8.0\n.target sm_80\n.address_size 64\n"
           ".visible .entry op(.param .align 8 .b8 p[48])\n{\n"
           ".reg .b64 %%in, %%out, %%offset, %%wide;\n.reg .b32 %%i, %%n, %%t, %%third;\n"
           ".reg .pred %%q, %%skip;\n");
    add(t, ".reg .%s %%d;\n", type_of(shape[0]));
    for (k = 0; inputs[k]; k++) {
        add(t, ".reg .%s %%%c;\n", type_of(inputs[k]), names[k]);
    }
    add(t, "mov.u32 %%i, %%ctaid.x;\nmov.u32 %%n, %%ntid.x;\nmov.u32 %%t, %%tid.x;\n"
           "mad.lo.s32 %%i, %%i, %%n, %%t;\nld.param.u32 %%n, [p+40];\n"
           "setp.ge.u32 %%q, %%i, %%n;\n@%%q bra DONE;\n"
           "mul.wide.u32 %%offset, %%i, 8;\nld.param.u64 %%out, [p+32];\n"
           "add.s64 %%out, %%out, %%offset;\n");
    for (k = 0; inputs[k]; k++) {
        add(t, "ld.param.u64 %%in, [p+%zu];\nadd.s64 %%in, %%in, %%offset;\n", 8 * k);
        if (inputs[k] == 'p') {
            add(t, "ld.global.u32 %%t, [%%in];\nsetp.ne.u32 %%%c, %%t, 0;\n", names[k]);
        } else {
            add(t, "ld.global.%s %%%c, [%%in];\n", type_of(inputs[k]), names[k]);
        }
    }
    if (some) {
        add(t, "mov.u64 %%wide, 0xdead;\nst.global.u64 [%%out], %%wide;\n"
               "rem.u32 %%third, %%i, 3;\nsetp.eq.u32 %%skip, %%third, 0;\n@%%skip bra DONE;\n");
    }
    add(t, "%s\n", body);
    if (shape[0] == 'p') {
        add(t, "selp.b64 %%wide, 1, 0, %%d;\nst.global.b64 [%%out], %%wide;\n");
    } else {
        add(t, "mov.u64 %%wide, 0;\nst.global.b64 [%%out], %%wide;\nst.global.%s [%%out], %%d;\n",
            type_of(shape[0]));
    }
    add(t, "DONE:\nret;\n}\n");
}

void op_run(const char *body, const char *shape, size_t count, const uint64_t *const *in,
            uint64_t *out, int some) {
    struct {
        void *in[OP_INPUTS], *out;
        uint32_t count;
    } arguments = {.count = (uint32_t)count};
    char *buffer = malloc(16384);
    text t = {buffer, buffer + 16384};
    cudaLibrary_t library;
    size_t k;

    write_kernel(&t, body, shape, some);
    library = load_text(buffer);
    for (k = 0; k < OP_INPUTS; k++) {
        arguments.in[k] = in[k] ? device_copy(in[k], count * 8) : NULL;
    }
    arguments.out = device_alloc(count * 8);
    launch_clean(library, "op", dims((unsigned)(count + 255) / 256, 1, 1), dims(256, 1, 1), 0,
                 &arguments);
    fetch(out, arguments.out, count * 8);
    for (k = 0; k < OP_INPUTS; k++) {
        ck_cuda(cudaFree(arguments.in[k]));
    }
    ck_cuda(cudaFree(arguments.out));
    ck_cuda(cudaLibraryUnload(library));
    free(buffer);
}

/* ---- inputs -----------------------------------------------------------------------------------
 */

static const uint64_t integers_h[] = {0,    1,      2,      3,      7,      15,     16,
                                      0xff, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0xfffe, 0xffff};
static const uint64_t integers_w[] = {0,          1,          2,          5,          15,
                                      31,         32,         33,         0xff,       0xffff,
                                      0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe,
                                      0xffffffff, 0x12345678, 0x00ff00ff};
static const uint64_t integers_d[] = {0,
                                      1,
                                      3,
                                      31,
                                      63,
                                      64,
                                      65,
                                      0xffffffff,
                                      0x100000000,
                                      0x7fffffffffffffff,
                                      0x8000000000000000,
                                      0x8000000000000001,
                                      0xfffffffffffffffe,
                                      0xffffffffffffffff,
                                      0x0123456789abcdef};
/* zeros, ones, halves, small and large numbers, subnormals, infinities, NaN */
static const uint64_t floats_h[] = {0,      0x8000, 0x3c00, 0xbc00, 0x3800, 0x4200, 0x0001,
                                    0x83ff, 0x0400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00,
                                    0x3555, 0x3f80, 0xbf80, 0x7f7f, 0x7f80, 0xff80, 0x7fc0};
static const uint64_t floats_w[] = {
    0,          0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0x3fc00000, 0x40200000,
    0xc0200000, 0x00000001, 0x807fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff,
    0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0x4effffff, 0x4f000000, 0xcf000000,
    0x4f800000, 0x3eaaaaab, 0x477ff000, 0x33000001, 0x42b17218, 0xc2b17218};
static const uint64_t floats_d[] = {0,
                                    0x8000000000000000,
                                    0x3ff0000000000000,
                                    0xbff0000000000000,
                                    0x3fe0000000000000,
                                    0x4004000000000000,
                                    0x0000000000000001,
                                    0x0010000000000000,
                                    0x7fefffffffffffff,
                                    0x7ff0000000000000,
                                    0xfff0000000000000,
                                    0x7ff8000000000000,
                                    0x41dfffffffc00000,
                                    0x41e0000000000000,
                                    0x3fd5555555555555,
                                    0x36a0000000000000,
                                    0x47efffffe0000000,
                                    0x47efffffefffffff};

size_t op_edges(char letter, int floating, uint64_t *values, size_t limit) {
    static const uint64_t truths[] = {0, 1};
    const uint64_t *list;
    size_t count, i;

#define LIST(array) (list = (array), count = sizeof(array) / sizeof(*(array)))
    switch (letter) {
    case 'p':
        LIST(truths);
        break;
    case 'h':
        (void)(floating ? LIST(floats_h) : LIST(integers_h));
        break;
    case 'w':
        (void)(floating ? LIST(floats_w) : LIST(integers_w));
        break;
    default:
        (void)(floating ? LIST(floats_d) : LIST(integers_d));
        break;
    }
#undef LIST
    for (i = 0; i < count && i < limit; i++) {
        values[i] = list[i];
    }
    return i;
}

#define RANDOM 500
#define MOST_EDGES 64
#define MOST 40000

/* All combinations of the edges of the first two inputs, the others walking along; then random
 * numbers, half of them with few bits set and half of them short. */
static size_t make_inputs(const char *inputs, int floating, uint64_t *in[OP_INPUTS]) {
    uint64_t edges[OP_INPUTS][MOST_EDGES], seed = 88172645463325252u;
    size_t sizes[OP_INPUTS] = {1, 1, 1, 1}, used = strlen(inputs), count = 0, i, k, third;

    for (k = 0; k < used; k++) {
        sizes[k] = op_edges(inputs[k], floating, edges[k], MOST_EDGES);
    }
    for (third = 0; third < sizes[2]; third++) {
        for (i = 0; i < sizes[0] * sizes[1] && count < MOST - RANDOM; i++, count++) {
            size_t at[OP_INPUTS] = {i % sizes[0], i / sizes[0], third,
                                    (i * 7 + third * 3) % sizes[3]};

            for (k = 0; k < used; k++) {
                in[k][count] = edges[k][at[k]];
            }
        }
    }
    for (i = 0; i < RANDOM; i++, count++) {
        for (k = 0; k < used; k++) {
            uint64_t value = next_random(&seed);

            if (i % 4 == 1 && !floating) {
                value >>= next_random(&seed) % 64;
            } else if (i % 4 == 2 && !floating) {
                value &= next_random(&seed) & next_random(&seed);
            }
            in[k][count] = inputs[k] == 'p'   ? value & 1
                           : inputs[k] == 'h' ? value & 0xffff
                           : inputs[k] == 'w' ? value & 0xffffffff
                                              : value;
        }
    }
    return count;
}

void op_check(const op_case *test, int floating, int (*same)(uint64_t, uint64_t)) {
    static const char *const operands[] = {"", ", %a", ", %a, %b", ", %a, %b, %c",
                                           ", %a, %b, %c, %e"};
    const char *inputs = strchr(test->shape, '=') + 1;
    uint64_t *in[OP_INPUTS], *out = malloc(MOST * sizeof(*out));
    const uint64_t *given[OP_INPUTS] = {NULL};
    size_t count, i, k;
    char body[128];
    int some;

    for (k = 0; k < OP_INPUTS; k++) {
        in[k] = calloc(MOST, sizeof(**in));
    }
    count = make_inputs(inputs, floating, in);
    for (k = 0; inputs[k]; k++) {
        given[k] = in[k];
    }
    snprintf(body, sizeof(body), "%s %%d%s;", test->opcode, operands[strlen(inputs)]);
    for (some = 0; some < 2; some++) {
        op_run(strchr(test->opcode, '%') ? test->opcode : body, test->shape, count, given, out,
               some);
        for (i = 0; i < count; i++) {
            uint64_t wanted = test->twin(in[0][i], in[1][i], in[2][i], in[3][i]);

            wanted = some && i % 3 == 0 ? 0xdead : wanted;
            ck_assert_msg(out[i] == wanted || (same && same(out[i], wanted)),
                          "%s(%llx, %llx, %llx, %llx) = %llx, expected %llx", test->opcode,
                          (unsigned long long)in[0][i], (unsigned long long)in[1][i],
                          (unsigned long long)in[2][i], (unsigned long long)in[3][i],
                          (unsigned long long)out[i], (unsigned long long)wanted);
        }
    }
    for (k = 0; k < OP_INPUTS; k++) {
        free(in[k]);
    }
    free(out);
}
