/* Operands of a statement. */
#include <stdlib.h>
#include <string.h>

#include "ptx_parser.h"

/* nvcc nests no deeper than a vector in an argument list. */
#define MAX_DEPTH 4

static ptx_operand operand(ptx_parser *p, int depth);

/* Behind the first destination: "d|p"; either may be the sink. */
static void second_destination(ptx_parser *p, ptx_operand *out) {
    if (ptx_accept(p, "|") && !ptx_accept(p, "_")) {
        out->reg2 = vm_names_find(&p->names, p->token.text, p->token.length);
        if (out->reg2 >= p->kernel->register_count) { /* also VM_NONE, also a symbol */
            ptx_fail(p, "a register should follow '|'");
        }
        ptx_next(p);
    }
}

static void name_operand(ptx_parser *p, ptx_operand *out) {
    uint32_t index = vm_names_find(&p->names, p->token.text, p->token.length);

    if (index == VM_NONE) {
        const char *name = ptx_word(p);

        if (strcmp(name, "_") == 0) {
            out->kind = PTX_SINK;
            second_destination(p, out);
        } else if (strcmp(name, "WARP_SZ") == 0) {
            out->kind = PTX_LITERAL;
            out->value = 32;
        } else {
            out->kind = name[0] == '%' ? PTX_SPECIAL : PTX_LABEL;
            out->name = name;
        }
    } else if (index & PTX_SYMBOL_BIT) {
        out->kind = PTX_SYMBOL;
        out->symbol = p->symbols[index & ~PTX_SYMBOL_BIT];
        ptx_next(p);
    } else {
        out->kind = PTX_REGISTER;
        out->reg = index;
        ptx_next(p);
        second_destination(p, out);
    }
}

static void literal_operand(ptx_parser *p, ptx_operand *out) {
    out->kind = PTX_LITERAL;
    if (p->token.kind == PTX_TOKEN_F32 || p->token.kind == PTX_TOKEN_F64) {
        out->literal = p->token.kind == PTX_TOKEN_F32 ? PTX_F32 : PTX_F64;
        out->value = p->token.value;
        ptx_next(p);
    } else {
        out->literal = PTX_INTEGER;
        out->value = ptx_integer(p);
    }
}

/* [reg], [reg+imm], [symbol+imm], [imm]; the bracket is read. */
static void address_operand(ptx_parser *p, ptx_operand *out) {
    if (p->token.kind == PTX_TOKEN_WORD) {
        name_operand(p, out);
        if (out->kind != PTX_REGISTER && out->kind != PTX_SYMBOL) {
            ptx_fail(p, "no address: a register, a variable or a number should stand here");
        }
    }
    if (ptx_accept(p, "+") || p->token.kind == PTX_TOKEN_INTEGER || ptx_is(p, "-")) {
        out->value = ptx_integer(p);
    }
    out->kind = PTX_ADDRESS;
    ptx_expect(p, "]");
}

static void list_operand(ptx_parser *p, ptx_operand *out, const char *end, int depth) {
    ptx_operand items[64];
    uint32_t count = 0;

    out->kind = PTX_VECTOR;
    while (!ptx_is(p, end) && p->token.kind != PTX_TOKEN_END) {
        if (count == 64) {
            ptx_fail(p, "a list of more than 64 operands");
            return;
        }
        items[count++] = operand(p, depth + 1);
        if (!ptx_accept(p, ",")) {
            break;
        }
    }
    ptx_expect(p, end);
    out->items = vm_arena_alloc(&p->module->arena, count * sizeof(*items));
    memcpy(out->items, items, count * sizeof(*items));
    out->count = count;
}

static ptx_operand operand(ptx_parser *p, int depth) {
    ptx_operand out = {.reg = VM_NONE, .reg2 = VM_NONE};

    if (depth > MAX_DEPTH) {
        ptx_fail(p, "operands are nested too deep");
        return out;
    }
    out.negated = ptx_accept(p, "!");
    if (ptx_accept(p, "[")) {
        address_operand(p, &out);
    } else if (ptx_accept(p, "{")) {
        list_operand(p, &out, "}", depth);
    } else if (ptx_accept(p, "(")) {
        list_operand(p, &out, ")", depth);
    } else if (p->token.kind == PTX_TOKEN_WORD) {
        name_operand(p, &out);
        if (out.kind == PTX_SYMBOL && ptx_accept(p, "+")) {
            out.value = ptx_integer(p);
        }
    } else {
        literal_operand(p, &out);
    }
    return out;
}

void ptx_operands(ptx_parser *p, ptx_statement *statement) {
    ptx_operand list[64];
    uint32_t count = 0;

    while (!ptx_is(p, ";") && p->token.kind != PTX_TOKEN_END) {
        if (count == 64) {
            ptx_fail(p, "more than 64 operands");
            return;
        }
        list[count++] = operand(p, 0);
        if (!ptx_accept(p, ",")) {
            break;
        }
    }
    statement->operands = vm_arena_alloc(&p->module->arena, count * sizeof(*list));
    memcpy(statement->operands, list, count * sizeof(*list));
    statement->count = count;
}
