/* From statements to executable instructions.
 *
 * Most instructions are a row of a table: the full opcode as the manual spells it, the function,
 * and the shape of the operands, e.g. "w=ww": a 32-bit register from two. Families whose opcodes
 * are combinations of many options (ld, st, cvt, setp, mma, ..) bring a decoder of their own. What
 * neither knows is refused.                                                                      */
#ifndef VM_DECODE_H
#define VM_DECODE_H
#include "machine.h"

/* Shape letters: p predicate, h 16 bits, w 32 bits, d 64 bits. */
typedef struct vm_form {
    const char *opcode;
    vm_run run;
    const char *shape;
    vm_class class;
} vm_form;

typedef struct vm_form_list {
    const vm_form *forms;
    size_t count;
} vm_form_list;

#define VM_MAX_WORDS 16

typedef struct vm_decoder {
    ptx_module *module;
    ptx_kernel *source;
    vm_kernel *kernel;
    const ptx_statement *statement;
    vm_instr *in;                   /* the instruction being made */
    const char *word[VM_MAX_WORDS]; /* the opcode, cut at its dots */
    uint32_t words, next_word;
    vm_names forms; /* numbers of the forms by opcode */
    char *error;
    size_t error_size;
} vm_decoder;

/* Sets error (once) to what is wrong and gives false. */
bool vm_refuse(vm_decoder *d, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef bool (*vm_decode)(vm_decoder *d);

typedef struct vm_family {
    const char *name; /* first word of the opcode */
    vm_decode decode;
} vm_family;

typedef struct vm_family_list {
    const vm_family *families;
    size_t count;
} vm_family_list;

/* ---- for family decoders -------------------------------------------------------------------- */

/* Words after the first are taken in the order of the manual; what is left over is refused when the
 * family's decoder has finished. */
bool vm_take(vm_decoder *d, const char *word); /* the next word, if it is this one */
const char *vm_take_any(vm_decoder *d);        /* the next word; "" at the end */
/* The number of the next word among `count` words, or -1 (and nothing is taken). */
int vm_take_of(vm_decoder *d, const char *const *list, int count);
/* Refuse when the statement has not count operands. */
bool vm_want(vm_decoder *d, uint32_t count);
/* Append an operand to the refs. Destinations come first. The sink `_` is given a spare register.
 * A register must have the width; a literal takes it. */
bool vm_dst(vm_decoder *d, const ptx_operand *operand, vm_width width);
bool vm_src(vm_decoder *d, const ptx_operand *operand, vm_width width);
/* A constant row as a source. */
bool vm_src_constant(vm_decoder *d, vm_width width, uint64_t value);
/* Operands as a shape string says. */
bool vm_shape(vm_decoder *d, const char *shape);
/* [address]: fills offset, narrow_address and appends the register (or a constant 0). */
bool vm_address(vm_decoder *d, const ptx_operand *operand);
/* The width of a register operand; of others `otherwise`. */
vm_width vm_width_of(const vm_decoder *d, const ptx_operand *operand, vm_width otherwise);
/* The kernel accesses shared memory (or may, by a generic address) in pieces of so many bytes. */
void vm_uses_shared(vm_decoder *d, uint32_t bytes);
/* The bytes of a type word ("u32", "b8", "f16x2"): 0 if it is none. */
uint32_t vm_type_bytes(const char *word);
vm_width vm_width_of_bytes(uint32_t bytes);

/* The lists, each in the file of its class. */
extern const vm_form_list vm_integer_forms, vm_wide_forms, vm_bits_forms, vm_move_forms,
    vm_float_forms, vm_special_forms, vm_half_forms, vm_compare_forms, vm_control_forms,
    vm_warp_forms, vm_async_forms, vm_convert_forms;
extern const vm_family_list vm_move_families, vm_convert_families, vm_compare_families,
    vm_memory_families, vm_atomic_families, vm_control_families, vm_barrier_families,
    vm_warp_families, vm_matrix_families, vm_async_families, vm_float_families;

#endif
