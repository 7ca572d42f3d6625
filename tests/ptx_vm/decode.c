/* A kernel from its statements: shared memory is laid out, every statement becomes an instruction.
 */
#include "decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const vm_form_list *const form_lists[] = {
    &vm_integer_forms, &vm_wide_forms,    &vm_bits_forms,  &vm_move_forms,
    &vm_float_forms,   &vm_special_forms, &vm_half_forms,  &vm_compare_forms,
    &vm_control_forms, &vm_warp_forms,    &vm_async_forms, &vm_convert_forms};
static const vm_family_list *const family_lists[] = {
    &vm_move_families,   &vm_convert_families, &vm_compare_families, &vm_memory_families,
    &vm_atomic_families, &vm_control_families, &vm_barrier_families, &vm_warp_families,
    &vm_matrix_families, &vm_async_families,   &vm_float_families};

static void split_opcode(vm_decoder *d) {
    char *copy =
        vm_arena_copy(&d->module->arena, d->statement->opcode, strlen(d->statement->opcode));

    d->words = 0;
    d->next_word = 1;
    while (copy && d->words < VM_MAX_WORDS) {
        char *dot = strchr(copy, '.');

        if (dot) {
            *dot++ = '\0';
        }
        d->word[d->words++] = copy;
        copy = dot;
    }
}

/* ---- statements ----------------------------------------------------------------------------- */

/* All opcodes of the tables, to be found by name: list number times LIST plus number in the list.
 */
#define LIST 4096

static void index_forms(vm_names *names) {
    size_t list, i;

    for (list = 0; list < sizeof(form_lists) / sizeof(*form_lists); list++) {
        for (i = 0; i < form_lists[list]->count; i++) {
            const char *opcode = form_lists[list]->forms[i].opcode;

            vm_names_set(names, opcode, strlen(opcode), (uint32_t)(list * LIST + i));
        }
    }
}

static const vm_form *find_form(const vm_decoder *d, const char *opcode) {
    uint32_t index = vm_names_find(&d->forms, opcode, strlen(opcode));

    return index == VM_NONE ? NULL : &form_lists[index / LIST]->forms[index % LIST];
}

static const vm_family *find_family(const char *name) {
    size_t list, i;

    for (list = 0; list < sizeof(family_lists) / sizeof(*family_lists); list++) {
        for (i = 0; i < family_lists[list]->count; i++) {
            if (strcmp(family_lists[list]->families[i].name, name) == 0) {
                return &family_lists[list]->families[i];
            }
        }
    }
    return NULL;
}

/* One statement to d->in; false: refused. */
static bool decode_statement(vm_decoder *d) {
    const char *opcode = d->statement->opcode;
    const vm_form *form = find_form(d, opcode);
    const vm_family *family;
    bool ok;

    d->in->guard = d->statement->guard;
    d->in->guard_negated = d->statement->guard_negated;
    split_opcode(d);
    if (form) {
        d->in->run = form->run;
        d->in->class = (uint8_t)form->class;
        ok = vm_shape(d, form->shape);
    } else {
        family = find_family(d->word[0]);
        ok = family ? family->decode(d) && d->next_word == d->words : false;
    }
    return ok || vm_refuse(d, "this instruction is not supported");
}

/* Offsets of the variables in shared memory that this kernel uses; dynamic memory comes last. */
static void place_shared(vm_decoder *d) {
    size_t end = 0, i, pass;
    uint32_t k;

    for (i = 0; i < d->module->symbol_count; i++) {
        if (d->module->symbols[i]->space == VM_SHARED) {
            d->module->symbols[i]->offset = UINT64_MAX;
        }
    }
    for (pass = 0; pass < 2; pass++) {
        for (i = 0; i < d->source->count; i++) {
            for (k = 0; k < d->source->statements[i].count; k++) {
                vm_symbol *symbol = d->source->statements[i].operands[k].symbol;

                if (symbol && symbol->space == VM_SHARED && symbol->outside == (pass == 1) &&
                    symbol->offset == UINT64_MAX) {
                    size_t align = symbol->align > 16 ? symbol->align : 16;

                    end = (end + align - 1) / align * align;
                    symbol->offset = end;
                    end += symbol->outside ? 0 : symbol->size;
                }
            }
        }
    }
    d->kernel->shared_bytes = (end + 15) / 16 * 16;
}

static bool decode_all(vm_decoder *d, int *error_line) {
    vm_kernel *kernel = d->kernel;
    uint32_t i;

    for (i = 0; i < kernel->count; i++) {
        d->statement = &d->source->statements[i];
        d->in = &kernel->code[i];
        kernel->places[i] = d->statement->place;
        if (!decode_statement(d)) {
            char reason[200];

            snprintf(reason, sizeof(reason), "%.*s", (int)sizeof(reason) - 1, d->error);
            snprintf(d->error, d->error_size, "line %d: %s: %s", d->statement->place.line,
                     d->statement->opcode, reason);
            *error_line = d->statement->place.line;
            return false;
        }
    }
    return true;
}

/* Every kernel ends with an exit, so that no path runs off the end. */
static void append_exit(ptx_kernel *source) {
    ptx_place place = source->count ? source->statements[source->count - 1].place
                                    : (ptx_place){.file = VM_NONE, .inner_file = VM_NONE};
    ptx_statement *end =
        vm_grow((void **)&source->statements, &source->count, &source->capacity, sizeof(*end));

    end->place = place;
    end->guard = VM_NONE;
    end->opcode = "exit";
}

static uint8_t *register_widths(const ptx_kernel *source) {
    uint8_t *widths = vm_malloc(source->register_count);
    size_t i;

    for (i = 0; i < source->register_count; i++) {
        widths[i] = (uint8_t)source->registers[i].width;
    }
    return widths;
}

vm_kernel *vm_kernel_decode(ptx_module *module, ptx_kernel *source, char *error, size_t size,
                            int *error_line) {
    vm_decoder decoder = {.module = module, .source = source, .error = error, .error_size = size};
    vm_kernel *kernel = vm_calloc(1, sizeof(*kernel));
    uint32_t i;

    error[0] = '\0';
    decoder.kernel = kernel;
    kernel->name = source->name;
    kernel->module = module;
    kernel->source = source;
    kernel->param_bytes = source->param_bytes;
    kernel->local_bytes = (source->local_bytes + 15) / 16 * 16;
    kernel->max_threads = source->max_threads;
    memcpy(kernel->required_threads, source->required_threads, sizeof(source->required_threads));
    kernel->shared_granule = 16;
    for (i = 0; i < VM_SPECIAL_COUNT; i++) {
        kernel->special[i] = VM_NONE;
    }
    append_exit(source);
    kernel->count = (uint32_t)source->count;
    kernel->code = vm_calloc(kernel->count, sizeof(*kernel->code));
    kernel->places = vm_calloc(kernel->count, sizeof(*kernel->places));
    place_shared(&decoder);
    index_forms(&decoder.forms);
    if (decode_all(&decoder, error_line)) {
        uint8_t *widths = register_widths(source);

        vm_flow(kernel, widths, (uint32_t)source->register_count);
        free(widths);
    } else {
        vm_kernel_free(kernel);
        kernel = NULL;
    }
    vm_names_free(&decoder.forms);
    return kernel;
}

void vm_kernel_free(vm_kernel *kernel) {
    if (kernel) {
        free(kernel->code);
        free(kernel->places);
        free(kernel->tables);
        free(kernel->pool);
        free(kernel->checks);
        free(kernel);
    }
}
