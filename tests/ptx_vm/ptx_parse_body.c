/* The inside of a kernel: declarations, labels, source positions and statements. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx_parser.h"

static uint32_t add_register(ptx_parser *p, const char *name, vm_width width) {
    ptx_kernel *kernel = p->kernel;
    uint32_t index = (uint32_t)kernel->register_count;
    ptx_register *reg = vm_grow((void **)&kernel->registers, &kernel->register_count,
                                &kernel->register_capacity, sizeof(*reg));

    reg->name = name;
    reg->width = width;
    ptx_bind(p, name, index);
    return index;
}

void ptx_register_line(ptx_parser *p) {
    static const struct {
        const char *name;
        vm_width width;
    } types[] = {{".pred", VM_PRED}, {".b16", VM_B16},  {".u16", VM_B16}, {".s16", VM_B16},
                 {".f16", VM_B16},   {".b32", VM_B32},  {".u32", VM_B32}, {".s32", VM_B32},
                 {".f32", VM_B32},   {".b64", VM_B64},  {".u64", VM_B64}, {".s64", VM_B64},
                 {".f64", VM_B64},   {".f16x2", VM_B32}};
    size_t i, kinds = sizeof(types) / sizeof(*types);

    for (i = 0; i < kinds && !ptx_is(p, types[i].name); i++) {
    }
    if (i == kinds) {
        ptx_fail(p, "registers of type '%.*s' are not supported", (int)p->token.length,
                 p->token.text);
        return;
    }
    ptx_next(p);
    do {
        char *name = ptx_word(p);

        if (ptx_accept(p, "<")) {
            uint64_t count = ptx_integer(p), k;

            if (count > 1000000) {
                ptx_fail(p, "%llu registers are too many", (unsigned long long)count);
                return;
            }
            for (k = 0; k < count; k++) {
                char text[256];
                int length = snprintf(text, sizeof(text), "%s%llu", name, (unsigned long long)k);

                if (length < 0 || (size_t)length >= sizeof(text)) {
                    ptx_fail(p, "the name of a register is too long");
                    return;
                }
                add_register(p, vm_arena_copy(&p->module->arena, text, (size_t)length),
                             types[i].width);
            }
            ptx_expect(p, ">");
        } else {
            add_register(p, name, types[i].width);
        }
    } while (ptx_accept(p, ","));
    ptx_expect(p, ";");
}

/* .loc file line column [, function_name label [+ n], inlined_at file line column]
 * nvcc writes one for the call and one for each function inlined into it, outermost first. The
 * first gives the line in the kernel, the last the line that the instruction really is. */
void ptx_location(ptx_parser *p) {
    uint32_t file = (uint32_t)ptx_integer(p);
    int line = (int)ptx_integer(p);
    uint32_t outer_file = file;
    int outer_line = line;
    bool is_inlined = false;

    ptx_integer(p);
    while (ptx_accept(p, ",")) {
        if (ptx_accept(p, "inlined_at")) {
            is_inlined = true;
            outer_file = (uint32_t)ptx_integer(p);
            outer_line = (int)ptx_integer(p);
            ptx_integer(p);
        } else {
            ptx_expect(p, "function_name");
            ptx_next(p);
            if (ptx_accept(p, "+")) {
                ptx_integer(p);
            }
        }
    }
    if (!is_inlined || p->place_is_used) {
        p->place.file = outer_file;
        p->place.source_line = outer_line;
        p->place_is_used = false;
    }
    p->place.inner_file = file;
    p->place.inner_line = line;
}

static void label(ptx_parser *p, const char *name) {
    ptx_label *slot =
        vm_grow((void **)&p->labels, &p->label_count, &p->label_capacity, sizeof(*slot));

    slot->name = name;
    slot->scope = p->scope;
    slot->statement = (uint32_t)p->kernel->count;
}

static ptx_statement *add_statement(ptx_parser *p) {
    ptx_statement *statement = vm_grow((void **)&p->kernel->statements, &p->kernel->count,
                                       &p->kernel->capacity, sizeof(*statement));

    statement->place = p->place;
    statement->place.line = p->token.line;
    statement->guard = VM_NONE;
    statement->scope = p->scope;
    return statement;
}

static void guard(ptx_parser *p, ptx_statement *statement) {
    uint32_t index;

    statement->guard_negated = ptx_accept(p, "!");
    index = vm_names_find(&p->names, p->token.text, p->token.length);
    if (index >= p->kernel->register_count || p->kernel->registers[index].width != VM_PRED) {
        ptx_fail(p, "'%.*s' is no predicate", (int)p->token.length, p->token.text);
        return;
    }
    statement->guard = index;
    ptx_next(p);
}

/* name: .branchtargets a, b, c;  becomes a statement whose operands are the labels. */
static void branch_targets(ptx_parser *p) {
    ptx_statement *statement = add_statement(p);

    statement->opcode = ".branchtargets";
    ptx_next(p);
    ptx_operands(p, statement);
    ptx_expect(p, ";");
}

static void instruction(ptx_parser *p) {
    ptx_statement *statement;
    const char *word;

    if (!ptx_is(p, "@") && p->token.kind != PTX_TOKEN_WORD) {
        ptx_fail(p, "'%.*s' where an instruction should stand", (int)p->token.length,
                 p->token.text);
        return;
    }
    statement = add_statement(p);
    if (ptx_accept(p, "@")) {
        guard(p, statement);
    }
    word = ptx_word(p);
    if (statement->guard == VM_NONE && ptx_accept(p, ":")) {
        p->kernel->count--;
        label(p, word);
        if (ptx_is(p, ".branchtargets")) {
            branch_targets(p);
        }
        return;
    }
    statement->opcode = word;
    ptx_operands(p, statement);
    ptx_expect(p, ";");
    p->place_is_used = true;
}

static void local_variable(ptx_parser *p, vm_space space) {
    size_t *end = &p->kernel->local_bytes;

    do {
        ptx_declare(p, space, end);
    } while (ptx_accept(p, ","));
    ptx_expect(p, ";");
}

static void scope(ptx_parser *p);

static void body_line(ptx_parser *p) {
    if (ptx_is(p, "{")) {
        scope(p);
    } else if (ptx_accept(p, ";")) {
        return;
    } else if (ptx_accept(p, ".reg")) {
        ptx_register_line(p);
    } else if (ptx_accept(p, ".loc")) {
        ptx_location(p);
    } else if (ptx_accept(p, ".local")) {
        local_variable(p, VM_LOCAL);
    } else if (ptx_accept(p, ".shared")) {
        ptx_variable(p, VM_SHARED, false);
    } else if (ptx_accept(p, ".global")) {
        ptx_variable(p, VM_GLOBAL, false);
    } else if (ptx_accept(p, ".const")) {
        ptx_variable(p, VM_CONST, false);
    } else if (ptx_accept(p, ".extern")) {
        ptx_expect(p, ".shared");
        ptx_variable(p, VM_SHARED, true);
    } else if (ptx_accept(p, ".pragma")) {
        ptx_next(p);
        ptx_expect(p, ";");
    } else if (p->token.kind == PTX_TOKEN_WORD && p->token.text[0] == '.') {
        ptx_fail(p, "directive '%.*s' is not supported", (int)p->token.length, p->token.text);
    } else {
        instruction(p);
    }
}

/* { .. }: names declared inside end with it. */
static void scope(ptx_parser *p) {
    size_t outer_names = p->hidden_count;
    uint32_t outer = p->scope;
    uint32_t *parent =
        vm_grow((void **)&p->scope_parent, &p->scope_count, &p->scope_capacity, sizeof(*parent));

    *parent = outer;
    p->scope = (uint32_t)p->scope_count - 1;
    if (++p->depth > 64) {
        ptx_fail(p, "scopes are nested too deep");
    }
    ptx_expect(p, "{");
    while (!ptx_is(p, "}")) {
        if (p->token.kind == PTX_TOKEN_END) {
            ptx_fail(p, "the text ends inside kernel '%s'", p->kernel->name);
            return;
        }
        body_line(p);
    }
    ptx_next(p);
    p->depth--;
    while (p->hidden_count > outer_names) {
        ptx_hidden *hidden = &p->hidden[--p->hidden_count];

        vm_names_set(&p->names, hidden->name, hidden->length, hidden->index);
    }
    p->scope = outer;
}

/* Labels are known at the end of the body; an inner scope hides the outer ones. */
static void resolve_label(ptx_parser *p, const ptx_statement *statement, ptx_operand *operand) {
    uint32_t at = statement->scope;
    size_t i;

    for (;; at = p->scope_parent[at]) {
        for (i = 0; i < p->label_count; i++) {
            if (p->labels[i].scope == at && strcmp(p->labels[i].name, operand->name) == 0) {
                operand->value = p->labels[i].statement;
                return;
            }
        }
        if (at == 0) {
            break;
        }
    }
    p->token.line = statement->place.line;
    ptx_fail(p, "'%s' is not declared", operand->name);
}

void ptx_body(ptx_parser *p) {
    ptx_kernel *kernel = p->kernel;
    size_t i;
    uint32_t k;

    p->label_count = p->scope_count = 0;
    p->scope = 0;
    p->depth = 0;
    p->place = (ptx_place){.file = VM_NONE, .inner_file = VM_NONE};
    p->place_is_used = true;
    scope(p);
    for (i = 0; i < kernel->count && p->module->error[0] == '\0'; i++) {
        for (k = 0; k < kernel->statements[i].count; k++) {
            if (kernel->statements[i].operands[k].kind == PTX_LABEL) {
                resolve_label(p, &kernel->statements[i], &kernel->statements[i].operands[k]);
            }
        }
    }
}
