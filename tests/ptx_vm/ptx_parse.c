/* The outer grammar: directives of a module, variables with their initial values, kernels. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx_parser.h"

void ptx_fail(ptx_parser *p, const char *format, ...) {
    va_list list;
    int used;

    if (p->module->error[0] == '\0') {
        p->module->error_line = p->token.line;
        used = snprintf(p->module->error, sizeof(p->module->error), "line %d: ", p->token.line);
        va_start(list, format);
        vsnprintf(p->module->error + used, sizeof(p->module->error) - (size_t)used, format, list);
        va_end(list);
    }
    p->token.kind = PTX_TOKEN_END;
    p->token.length = 0;
    p->lexer.at += strlen(p->lexer.at);
}

void ptx_next(ptx_parser *p) {
    p->token = ptx_lex(&p->lexer);
    if (p->token.kind == PTX_TOKEN_BAD) {
        ptx_fail(p, "malformed number, string or comment '%.*s'", (int)p->token.length,
                 p->token.text);
    }
}

bool ptx_is(const ptx_parser *p, const char *text) {
    return (p->token.kind == PTX_TOKEN_WORD || p->token.kind == PTX_TOKEN_MARK) &&
           strlen(text) == p->token.length && memcmp(text, p->token.text, p->token.length) == 0;
}

bool ptx_accept(ptx_parser *p, const char *text) {
    if (!ptx_is(p, text)) {
        return false;
    }
    ptx_next(p);
    return true;
}

void ptx_expect(ptx_parser *p, const char *text) {
    if (p->token.kind == PTX_TOKEN_END) {
        ptx_fail(p, "the text ends where '%s' should stand", text);
    } else if (!ptx_accept(p, text)) {
        ptx_fail(p, "'%.*s' where '%s' should stand", (int)p->token.length, p->token.text, text);
    }
}

uint64_t ptx_integer(ptx_parser *p) {
    uint64_t value = p->token.value;
    bool minus = ptx_accept(p, "-");

    if (minus) {
        value = 0 - p->token.value;
    }
    if (p->token.kind != PTX_TOKEN_INTEGER) {
        ptx_fail(p, "'%.*s' where a number should stand", (int)p->token.length, p->token.text);
        return 0;
    }
    ptx_next(p);
    return value;
}

char *ptx_word(ptx_parser *p) {
    char *word;

    if (p->token.kind != PTX_TOKEN_WORD) {
        ptx_fail(p, "'%.*s' where a name should stand", (int)p->token.length, p->token.text);
    }
    word = vm_arena_copy(&p->module->arena, p->token.text, p->token.length);
    ptx_next(p);
    return word;
}

void ptx_bind(ptx_parser *p, const char *name, uint32_t index) {
    size_t length = strlen(name);
    ptx_hidden *hidden =
        vm_grow((void **)&p->hidden, &p->hidden_count, &p->hidden_capacity, sizeof(*p->hidden));

    hidden->name = name;
    hidden->length = length;
    hidden->index = vm_names_set(&p->names, name, length, index);
}

/* ---- variables --------------------------------------------------------------------------- */

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

/* ---- module ------------------------------------------------------------------------------ */

static void skip_braces(ptx_parser *p) {
    int depth = 0;

    do {
        depth += ptx_is(p, "{");
        depth -= ptx_is(p, "}");
        if (p->token.kind == PTX_TOKEN_END) {
            ptx_fail(p, "the text ends inside a section");
            return;
        }
        ptx_next(p);
    } while (depth > 0);
}

static void file_line(ptx_parser *p) {
    ptx_module *module = p->module;
    uint64_t number = ptx_integer(p);

    if (number > 65535 || p->token.kind != PTX_TOKEN_STRING) {
        ptx_fail(p, "malformed .file");
        return;
    }
    if (number >= module->file_count) {
        module->files = vm_realloc((void *)module->files, (number + 1) * sizeof(char *));
        while (module->file_count <= number) {
            module->files[module->file_count++] = "";
        }
    }
    module->files[number] = vm_arena_copy(&module->arena, p->token.text, p->token.length);
    ptx_next(p);
    while (ptx_accept(p, ",")) { /* time stamp and size */
        ptx_integer(p);
    }
}

static void kernel_directives(ptx_parser *p, ptx_kernel *kernel) {
    while (p->token.kind == PTX_TOKEN_WORD) {
        bool maximum = ptx_is(p, ".maxntid"), required = ptx_is(p, ".reqntid");
        uint32_t extents[3] = {1, 1, 1}, i = 0;

        if (!maximum && !required && !ptx_is(p, ".minnctapersm") && !ptx_is(p, ".maxnreg")) {
            ptx_fail(p, "directive '%.*s' is not supported", (int)p->token.length, p->token.text);
            return;
        }
        ptx_next(p);
        do {
            uint64_t extent = ptx_integer(p);

            extents[i < 3 ? i : 2] = (uint32_t)extent;
            i++;
        } while (ptx_accept(p, ","));
        if (maximum) {
            kernel->max_threads = extents[0] * extents[1] * extents[2];
        } else if (required) {
            memcpy(kernel->required_threads, extents, sizeof(extents));
        }
    }
}

static void entry(ptx_parser *p) {
    ptx_module *module = p->module;
    size_t outer = p->hidden_count;

    p->kernel = vm_grow((void **)&module->kernels, &module->kernel_count, &module->kernel_capacity,
                        sizeof(ptx_kernel));
    p->kernel->line = p->token.line;
    p->kernel->name = ptx_word(p);
    if (ptx_accept(p, "(")) {
        while (!ptx_is(p, ")") && p->token.kind != PTX_TOKEN_END) {
            vm_symbol *symbol, **slot;

            ptx_expect(p, ".param");
            symbol = ptx_declare(p, VM_PARAM, &p->kernel->param_bytes);
            slot = vm_grow((void **)&p->kernel->params, &p->kernel->param_count,
                           &p->kernel->param_capacity, sizeof(*slot));
            *slot = symbol;
            if (!ptx_accept(p, ",")) {
                break;
            }
        }
        ptx_expect(p, ")");
    }
    kernel_directives(p, p->kernel);
    ptx_body(p);
    while (p->hidden_count > outer) {
        ptx_hidden *hidden = &p->hidden[--p->hidden_count];

        vm_names_set(&p->names, hidden->name, hidden->length, hidden->index);
    }
    p->kernel = NULL;
}

/* ".target sm_80, debug": options after the architecture change nothing for us. */
static void target_line(ptx_parser *p) {
    do {
        const char *word = ptx_word(p);

        if (strncmp(word, "texmode", 7) == 0) {
            ptx_fail(p, "target option '%s' is not supported", word);
        }
    } while (ptx_accept(p, ","));
}

static void module_line(ptx_parser *p) {
    bool outside = false;

    while (ptx_is(p, ".visible") || ptx_is(p, ".extern") || ptx_is(p, ".weak") ||
           ptx_is(p, ".common")) {
        outside = outside || ptx_is(p, ".extern");
        ptx_next(p);
    }
    if (ptx_accept(p, ".version")) {
        ptx_next(p);
    } else if (ptx_accept(p, ".target")) {
        target_line(p);
    } else if (ptx_accept(p, ".address_size")) {
        if (ptx_integer(p) != 64) {
            ptx_fail(p, "only 64-bit addresses are supported");
        }
    } else if (ptx_accept(p, ".file")) {
        file_line(p);
    } else if (ptx_accept(p, ".section")) {
        ptx_next(p);
        skip_braces(p);
    } else if (ptx_accept(p, ".global")) {
        ptx_variable(p, VM_GLOBAL, outside);
    } else if (ptx_accept(p, ".const")) {
        ptx_variable(p, VM_CONST, outside);
    } else if (ptx_accept(p, ".shared")) {
        ptx_variable(p, VM_SHARED, outside);
    } else if (ptx_accept(p, ".entry")) {
        entry(p);
    } else if (ptx_is(p, ".func")) {
        ptx_next(p);
        ptx_fail(p, "functions (.func) are not supported; make nvcc inline them");
    } else {
        ptx_fail(p, "'%.*s' is not supported here", (int)p->token.length, p->token.text);
    }
}

ptx_module *ptx_parse(const char *text) {
    ptx_parser parser = {0};
    ptx_parser *p = &parser;

    p->module = vm_calloc(1, sizeof(*p->module));
    p->lexer.at = text;
    p->lexer.line = 1;
    ptx_next(p);
    if (!ptx_is(p, ".version")) {
        ptx_fail(p, "the text does not start with .version: this is no PTX");
    }
    while (p->token.kind != PTX_TOKEN_END) {
        module_line(p);
    }
    vm_names_free(&p->names);
    free(p->symbols);
    free(p->hidden);
    free(p->scope_parent);
    free(p->labels);
    return p->module;
}

void ptx_module_free(ptx_module *module) {
    size_t i;

    if (module) {
        for (i = 0; i < module->kernel_count; i++) {
            free(module->kernels[i].statements);
            free(module->kernels[i].registers);
            free(module->kernels[i].params);
        }
        free(module->kernels);
        free(module->symbols);
        free((void *)module->files);
        vm_arena_free(&module->arena);
        free(module);
    }
}
