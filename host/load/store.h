/* Inside load/: the object behind b2_weights. store.c opens files into it, weights.c answers from
 * it. */
#ifndef B2_STORE_H
#define B2_STORE_H
#include "base/file.h"
#include "load/tensors.h"

typedef struct b2_missing {
    struct b2_missing *next;
    const char *name, *meaning;
} b2_missing;

typedef enum b2_tensor_use { B2_TENSOR_UNUSED, B2_TENSOR_SKIPPED, B2_TENSOR_TAKEN } b2_tensor_use;

struct b2_weights {
    b2_log log;
    const char *name; /* of the file or folder opened, for messages; in list.arena */
    b2_tensor_list list;
    b2_tensor_use *use; /* [list.count] */
    b2_tensor **sorted; /* [list.count] by name; into list.item */
    b2_file_map *maps;  /* [map_count] */
    size_t map_count;
    bool lavis;                          /* the names are LAVIS's */
    b2_missing *missing, **missing_tail; /* in list.arena, in the order of asking */
};

#endif
