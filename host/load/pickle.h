/* Inside load/: a closed machine for the pickles that torch.save writes. It knows the opcodes and
 * the few names that tensors need, builds plain values, and runs nothing: any other name or opcode
 * is refused with its byte offset. Memory is a small multiple of the pickle's bytes, since every
 * opcode makes at most one value. */
#ifndef B2_PICKLE_H
#define B2_PICKLE_H
#include "base/arena.h"
#include "load/weights.h"

typedef enum b2_pickle_kind {
    B2_PICKLE_NONE, /* None, and whatever is of no interest (hooks) */
    B2_PICKLE_BOOL,
    B2_PICKLE_INT,
    B2_PICKLE_BIG, /* an integer beyond 64 bits: its value is dropped */
    B2_PICKLE_FLOAT,
    B2_PICKLE_TEXT,
    B2_PICKLE_TUPLE,
    B2_PICKLE_LIST,
    B2_PICKLE_DICT,
    B2_PICKLE_GLOBAL,
    B2_PICKLE_STORAGE,
    B2_PICKLE_TENSOR,
    B2_PICKLE_MARK
} b2_pickle_kind;

typedef struct b2_pickle_list b2_pickle_list;
typedef struct b2_pickle_storage b2_pickle_storage;
typedef struct b2_pickle_tensor b2_pickle_tensor;
typedef struct b2_pickle_name b2_pickle_name;

typedef struct b2_pickle_value {
    b2_pickle_kind kind;
    uint32_t length; /* TEXT: bytes */
    union {
        int64_t integer;      /* INT, BOOL */
        const char *text;     /* TEXT: [length], not terminated; in the file map */
        b2_pickle_list *list; /* TUPLE, LIST, DICT */
        b2_pickle_storage *storage;
        b2_pickle_tensor *tensor;
        const b2_pickle_name *name; /* GLOBAL */
    };
} b2_pickle_value;

struct b2_pickle_list {
    b2_pickle_value *item; /* [count]; DICT: key, value, key, value ... in order of insertion */
    size_t count, capacity;
};

/* torch's keys are numbers of at most 20 digits. A key may be mentioned by every third byte of a
 * pickle: without a limit, looking all of them up would have none either. */
enum { B2_PICKLE_MAX_KEY = 100 };

/* A mention of a storage: torch names one buffer by a key and says what it holds. */
struct b2_pickle_storage {
    const char *key;       /* [key_length] */
    size_t key_length;     /* <= B2_PICKLE_MAX_KEY */
    const char *type_name; /* "F32" */
    b2_type type;
    bool usable;
    size_t element;      /* bytes of one */
    size_t count;        /* elements */
    size_t bytes;        /* element * count */
    const uint8_t *data; /* NULL until the caller has found the buffer */
};

struct b2_pickle_tensor {
    b2_pickle_storage *storage;
    size_t offset; /* elements into the storage */
    uint32_t rank;
    int64_t dim[B2_MAX_RANK], stride[B2_MAX_RANK]; /* >= 0; strides in elements */
};

typedef struct b2_pickle {
    b2_pickle_value result;
    size_t used;                 /* bytes up to and with the STOP opcode */
    b2_pickle_storage **storage; /* [storage_count] every mention, in order; in the arena's time */
    size_t storage_count, storage_capacity;
} b2_pickle;

/* Run one pickle of at most size bytes. Values live in the arena, texts in data. origin: where data
 * starts in the file, for messages. Free with b2_pickle_free in any case. */
blip2_status b2_pickle_run(b2_pickle *out, b2_arena *arena, const uint8_t *data, size_t size,
                           size_t origin, const char *file);
void b2_pickle_free(b2_pickle *pickle);

/* The value under a text key of a dict (the last one, as in Python), or NULL. */
const b2_pickle_value *b2_pickle_get(const b2_pickle_value *dict, const char *key);
bool b2_pickle_is_text(const b2_pickle_value *value, const char *text);

#endif
