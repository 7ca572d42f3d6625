/* Inside load/: what the machine (pickle.c) and the calls it knows (pickle_torch.c) share. */
#ifndef B2_PICKLE_INTERNAL_H
#define B2_PICKLE_INTERNAL_H
#include "load/pickle.h"

/* The names that a pickle may mention. */
typedef enum b2_pickle_call {
    B2_CALL_ORDERED_DICT,
    B2_CALL_REBUILD_TENSOR,
    B2_CALL_REBUILD_PARAMETER,
    B2_CALL_STORAGE /* a storage class: not to be called, only mentioned */
} b2_pickle_call;

struct b2_pickle_name {
    const char *module, *name;
    b2_pickle_call call;
    /* storage classes */
    const char *type_name;
    size_t element;
    bool usable;
    b2_type type;
};

typedef struct b2_pickle_machine {
    const uint8_t *data; /* [size] */
    size_t size, at, origin;
    size_t opcode_at; /* of the opcode being run */
    const char *file;
    b2_arena *arena;
    b2_pickle_value *stack; /* [count] */
    size_t count, capacity;
    b2_pickle_value *memo; /* [memo_count] */
    size_t memo_count, memo_capacity;
    b2_pickle *out;
} b2_pickle_machine;

/* EFORMAT with the place of the opcode. */
blip2_status b2_pickle_fail(const b2_pickle_machine *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* NULL unless the name is one that tensors need. */
const b2_pickle_name *b2_pickle_find_name(const char *module, size_t module_length,
                                          const char *name, size_t name_length);
/* function(*arguments). */
blip2_status b2_pickle_reduce(b2_pickle_machine *m, const b2_pickle_value *function,
                              const b2_pickle_value *arguments, b2_pickle_value *result);
/* The object behind a persistent id. */
blip2_status b2_pickle_persistent(b2_pickle_machine *m, const b2_pickle_value *id,
                                  b2_pickle_value *result);
blip2_status b2_pickle_new_list(b2_pickle_machine *m, b2_pickle_kind kind, b2_pickle_value *result);

/* ---- stack and memo ------------------------------------------------------------------------- */

blip2_status b2_pickle_push(b2_pickle_machine *m, b2_pickle_value value);
blip2_status b2_pickle_push_integer(b2_pickle_machine *m, b2_pickle_kind kind, int64_t integer);
/* The n values on top, none of them a mark; NULL if there are fewer. They stay on the stack. */
b2_pickle_value *b2_pickle_top(b2_pickle_machine *m, size_t n);
/* The number of values above the last mark; false if there is none. */
bool b2_pickle_above_mark(const b2_pickle_machine *m, size_t *out);
blip2_status b2_pickle_put_memo(b2_pickle_machine *m, uint64_t key);
blip2_status b2_pickle_get_memo(b2_pickle_machine *m, uint64_t key);

/* ---- containers ----------------------------------------------------------------------------- */

blip2_status b2_pickle_new_list(b2_pickle_machine *m, b2_pickle_kind kind, b2_pickle_value *result);
blip2_status b2_pickle_push_list(b2_pickle_machine *m, b2_pickle_kind kind);
/* The n values on top become a tuple; below them stands a mark to remove, if marked. */
blip2_status b2_pickle_make_tuple(b2_pickle_machine *m, size_t n, bool marked);
/* The n values on top go into the list or dict below them (and below the mark). */
blip2_status b2_pickle_fill(b2_pickle_machine *m, b2_pickle_kind kind, size_t n, bool marked);

#endif
