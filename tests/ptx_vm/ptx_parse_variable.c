/* Variables: type, size, place and initial value. */
#include <stdlib.h>
#include <string.h>

#include "ptx_parser.h"

static size_t type_bytes(ptx_parser *p) {
    static const struct {
        const char *name;
        size_t bytes;
    } types[] = {{".b8", 1},  {".u8", 1},  {".s8", 1},  {".b16", 2}, {".u16", 2},
                 {".s16", 2}, {".f16", 2}, {".b32", 4}, {".u32", 4}, {".s32", 4},
                 {".f32", 4}, {".b64", 8}, {".u64", 8}, {".s64", 8}, {".f64", 8}};
    size_t i;

    for (i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (ptx_accept(p, types[i].name)) {
            return types[i].bytes;
        }
    }
    ptx_fail(p, "type '%.*s' of a variable is not supported", (int)p->token.length, p->token.text);
    return 1;
}

/* The numbers of a braced initialiser, flattened. */
static void initial_values(ptx_parser *p, vm_symbol *symbol, size_t element) {
    size_t used = 0;
    int depth = 0;

    symbol->data = vm_arena_alloc(&p->module->arena, symbol->size);
    do {
        if (ptx_accept(p, "{")) {
            depth++;
        } else if (ptx_accept(p, "}")) {
            depth--;
        } else if (!ptx_accept(p, ",")) {
            uint64_t value = p->token.value;
            bool real = p->token.kind == PTX_TOKEN_F32 || p->token.kind == PTX_TOKEN_F64;

            if (p->token.kind == PTX_TOKEN_F64 && element == 4) { /* a decimal of an .f32 */
                double wide;
                float single;

                memcpy(&wide, &value, sizeof(wide));
                single = (float)wide;
                memcpy(&value, &single, sizeof(single));
            }
            if (real) {
                ptx_next(p);
            } else if (p->token.kind == PTX_TOKEN_WORD) {
                ptx_fail(p, "an address as initial value is not supported");
            } else {
                value = ptx_integer(p);
            }
            if (used + element > symbol->size) {
                ptx_fail(p, "more initial values than '%s' has room for", symbol->name);
                return;
            }
            memcpy(symbol->data + used, &value, element); /* little-endian, as the GPU */
            used += element;
        }
        if (p->token.kind == PTX_TOKEN_END) {
            ptx_fail(p, "the text ends inside the initial value of '%s'", symbol->name);
        }
    } while (depth > 0 && p->token.kind != PTX_TOKEN_END);
}

/* [.align n] [.vK] .type name [dims] [= value], without the end. */
static vm_symbol *variable(ptx_parser *p, vm_space space) {
    vm_symbol *symbol = vm_arena_alloc(&p->module->arena, sizeof(*symbol));
    size_t element, vector = 1;
    uint64_t total;

    if (ptx_accept(p, ".align")) {
        symbol->align = (size_t)ptx_integer(p);
    }
    if (ptx_accept(p, ".v2")) {
        vector = 2;
    } else if (ptx_accept(p, ".v4")) {
        vector = 4;
    }
    element = type_bytes(p);
    if (symbol->align == 0) {
        symbol->align = element * vector;
    }
    if (symbol->align > 4096 || (symbol->align & (symbol->align - 1)) != 0) {
        ptx_fail(p, "alignment %zu is no power of two up to 4096", symbol->align);
        symbol->align = 1;
    }
    if (ptx_accept(p, ".ptr")) { /* of a kernel parameter; an attribute of what it points to */
        while (p->token.kind == PTX_TOKEN_WORD && p->token.text[0] == '.') {
            if (ptx_accept(p, ".align")) {
                ptx_integer(p);
            } else {
                ptx_next(p);
            }
        }
    }
    symbol->name = ptx_word(p);
    symbol->space = space;
    total = element * vector;
    while (ptx_accept(p, "[")) {
        uint64_t extent = ptx_is(p, "]") ? 0 : ptx_integer(p);

        if (extent > UINT32_MAX || (extent != 0 && total > UINT32_MAX / extent)) {
            ptx_fail(p, "'%s' is too large", symbol->name);
            extent = 0;
        }
        total *= extent;
        ptx_expect(p, "]");
    }
    symbol->size = (size_t)total;
    if (ptx_accept(p, "=")) {
        initial_values(p, symbol, element);
    }
    return symbol;
}

static void bind_symbol(ptx_parser *p, vm_symbol *symbol) {
    vm_symbol **slot;

    ptx_bind(p, symbol->name, PTX_SYMBOL_BIT | (uint32_t)p->symbol_count);
    slot = vm_grow((void **)&p->symbols, &p->symbol_count, &p->symbol_capacity, sizeof(*slot));
    *slot = symbol;
}

void ptx_variable(ptx_parser *p, vm_space space, bool outside) {
    do {
        vm_symbol *symbol = variable(p, space), **slot;

        symbol->outside = outside;
        bind_symbol(p, symbol);
        slot = vm_grow((void **)&p->module->symbols, &p->module->symbol_count,
                       &p->module->symbol_capacity, sizeof(*slot));
        *slot = symbol;
    } while (ptx_accept(p, ","));
    ptx_expect(p, ";");
}

vm_symbol *ptx_declare(ptx_parser *p, vm_space space, size_t *end) {
    vm_symbol *symbol = variable(p, space);
    size_t start = (*end + symbol->align - 1) / symbol->align * symbol->align;

    symbol->offset = start;
    *end = start + symbol->size;
    bind_symbol(p, symbol);
    return symbol;
}
