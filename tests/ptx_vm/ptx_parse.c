/* The outer grammar: directives of a module, and kernels. */
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

/* ---- module --------------------------------------------------------------------------------- */

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
