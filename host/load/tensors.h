/* Inside load/: the table that the readers of all file formats fill. */
#ifndef B2_TENSORS_H
#define B2_TENSORS_H
#include "base/arena.h"
#include "load/weights.h"

typedef struct b2_tensor_list {
    b2_tensor *item; /* [count], file order */
    size_t count, capacity;
    b2_arena arena; /* names, and data that is not in a file map */
} b2_tensor_list;   /* all zero: empty */

/* Append a copy; its name and data live in the list's arena or in the file map. */
blip2_status b2_tensor_list_add(b2_tensor_list *list, const b2_tensor *tensor);
void b2_tensor_list_free(b2_tensor_list *list);

/* "[2, 3]" into text. */
void b2_shape_text(char *text, size_t size, uint32_t rank, const int64_t *dim);

#endif
