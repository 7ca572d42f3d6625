/* What the parser makes of PTX text: a module of symbols and kernels; a kernel is a list of
 * statements whose operands are resolved to registers, symbols, literals and labels. Nothing here
 * knows what an instruction means; that is decode.h.                                            */
#ifndef VM_PTX_MODULE_H
#define VM_PTX_MODULE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util.h"

typedef enum vm_space { VM_GENERIC, VM_GLOBAL, VM_SHARED, VM_LOCAL, VM_CONST, VM_PARAM } vm_space;

typedef struct vm_symbol {
    const char *name;
    vm_space space;
    size_t size, align;
    bool outside;    /* .extern: dynamic shared memory */
    uint8_t *data;   /* [size] initial value or NULL */
    uint64_t offset; /* in its space: .param and .local of a kernel; else set at load */
} vm_symbol;

/* The width class of a register. */
typedef enum vm_width { VM_PRED, VM_B16, VM_B32, VM_B64 } vm_width;

typedef struct ptx_register {
    const char *name;
    vm_width width;
} ptx_register;

typedef enum ptx_kind {
    PTX_REGISTER, /* reg; also reg2 for "%p1|%p2" */
    PTX_LITERAL,  /* value, literal */
    PTX_SYMBOL,   /* symbol + value: its address */
    PTX_ADDRESS,  /* [reg + value], [symbol + value] or [value] */
    PTX_VECTOR,   /* items: {a, b, ..} or (a, b, ..) */
    PTX_SINK,     /* _ */
    PTX_SPECIAL,  /* name: %tid.x */
    PTX_LABEL     /* name, then value: index of a statement */
} ptx_kind;

typedef enum ptx_literal { PTX_INTEGER, PTX_F32, PTX_F64 } ptx_literal;

typedef struct ptx_operand {
    ptx_kind kind;
    ptx_literal literal;
    bool negated;       /* !%p1 */
    uint32_t reg, reg2; /* VM_NONE: absent */
    vm_symbol *symbol;  /* NULL: absent */
    uint64_t value;
    const char *name;
    struct ptx_operand *items;
    uint32_t count; /* of items */
} ptx_operand;

/* Where a statement comes from. */
typedef struct ptx_place {
    int line;                  /* of the PTX text */
    uint32_t file, inner_file; /* indices of module files; VM_NONE: unknown */
    int source_line, inner_line;
} ptx_place;

typedef struct ptx_statement {
    ptx_place place;
    uint32_t guard; /* VM_NONE: always */
    bool guard_negated;
    const char *opcode;
    ptx_operand *operands; /* an address is one operand */
    uint32_t count;
    uint32_t scope; /* for labels */
} ptx_statement;

typedef struct ptx_kernel {
    const char *name;
    int line;
    ptx_statement *statements;
    size_t count, capacity;
    ptx_register *registers;
    size_t register_count, register_capacity;
    vm_symbol **params;
    size_t param_count, param_capacity;
    size_t param_bytes, local_bytes;
    uint32_t max_threads;         /* .maxntid, product; 0: not given */
    uint32_t required_threads[3]; /* .reqntid; 0: not given */
} ptx_kernel;

typedef struct ptx_module {
    vm_arena arena;
    char error[256]; /* "line 12: ..." when parsing failed */
    int error_line;
    ptx_kernel *kernels;
    size_t kernel_count, kernel_capacity;
    vm_symbol **symbols; /* of the whole module */
    size_t symbol_count, symbol_capacity;
    const char **files; /* by number */
    size_t file_count;
} ptx_module;

/* Never NULL; a text that can't be understood leaves `error` set. The text may be freed after. */
ptx_module *ptx_parse(const char *text);
void ptx_module_free(ptx_module *module); /* NULL is allowed */

#endif
