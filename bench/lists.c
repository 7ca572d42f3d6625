#include "lists.h"

void list_add(json_t **list, json_t *item) {
    if (json_array_append_new(*list, item) == 0)
        return;
    json_decref(*list);
    *list = NULL;
}

json_t *number_list(const float *numbers, size_t count) {
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        list_add(&list, json_real((double)numbers[i]));
    return list;
}
