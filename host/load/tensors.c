#include "load/tensors.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"

blip2_status b2_tensor_list_add(b2_tensor_list *list, const b2_tensor *tensor) {
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? list->capacity * 2 : 256;
        b2_tensor *item = b2_realloc_array(list->item, capacity, sizeof *item);

        if (item == NULL)
            return b2_fail_memory();
        list->item = item;
        list->capacity = capacity;
    }
    list->item[list->count++] = *tensor;
    return BLIP2_OK;
}

void b2_tensor_list_free(b2_tensor_list *list) {
    b2_free(list->item);
    b2_arena_free(&list->arena);
    *list = (b2_tensor_list){0};
}

void b2_shape_text(char *text, size_t size, uint32_t rank, const int64_t *dim) {
    size_t used = 0;

    if (size == 0)
        return;
    text[0] = '\0';
    for (uint32_t i = 0; i < rank && used < size; i++) {
        int n = snprintf(text + used, size - used, "%s%" PRId64, i == 0 ? "[" : ", ", dim[i]);

        used += (size_t)(n > 0 ? n : 0);
    }
    if (used < size)
        (void)snprintf(text + used, size - used, rank == 0 ? "[]" : "]");
}
