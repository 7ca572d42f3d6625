/* Shared by the files of the parser. After the first failure every token is END, so that all loops
 * end by themselves and only the first message stays.                                          */
#ifndef VM_PTX_PARSER_H
#define VM_PTX_PARSER_H
#include "ptx_lex.h"
#include "ptx_module.h"

typedef struct ptx_hidden { /* to undo a name at the end of its scope */
    const char *name;
    size_t length;
    uint32_t index;
} ptx_hidden;

typedef struct ptx_label {
    const char *name;
    uint32_t scope, statement;
} ptx_label;

typedef struct ptx_parser {
    ptx_module *module;
    ptx_lexer lexer;
    ptx_token token; /* the next one */
    ptx_kernel *kernel;

    /* One map for registers (index) and symbols (SYMBOL_BIT | index of symbols). */
    vm_names names;
    vm_symbol **symbols;
    size_t symbol_count, symbol_capacity;
    ptx_hidden *hidden;
    size_t hidden_count, hidden_capacity;

    uint32_t *scope_parent; /* per scope of the kernel */
    size_t scope_count, scope_capacity;
    uint32_t scope;
    int depth;
    ptx_label *labels;
    size_t label_count, label_capacity;

    ptx_place place;    /* of the next statement, from .loc */
    bool place_is_used; /* a statement followed: the next .loc starts a new chain */
} ptx_parser;

#define PTX_SYMBOL_BIT 0x80000000u

void ptx_fail(ptx_parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
void ptx_next(ptx_parser *p);
bool ptx_is(const ptx_parser *p, const char *text); /* a word or a mark */
bool ptx_accept(ptx_parser *p, const char *text);
void ptx_expect(ptx_parser *p, const char *text);
uint64_t ptx_integer(ptx_parser *p);
char *ptx_word(ptx_parser *p); /* copied into the module */
void ptx_bind(ptx_parser *p, const char *name, uint32_t index);

/* A variable from its first directive (".align" or the type) to ";". */
void ptx_variable(ptx_parser *p, vm_space space, bool outside);
/* A variable of .param or .local space: places it and moves *end. */
vm_symbol *ptx_declare(ptx_parser *p, vm_space space, size_t *end);
void ptx_location(ptx_parser *p); /* after ".loc" */
void ptx_body(ptx_parser *p);     /* from "{" of a kernel to its "}" */
void ptx_operands(ptx_parser *p, ptx_statement *statement);
void ptx_register_line(ptx_parser *p); /* after ".reg" */

#endif
