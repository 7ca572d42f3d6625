/* JSON lists that are made to be compared. */
#ifndef BENCH_LISTS_H
#define BENCH_LISTS_H
#include <jansson.h>
#include <stddef.h>

/* One more item, taken over. Out of memory, then or before (either is NULL): *list is NULL. */
void list_add(json_t **list, json_t *item);
/* A new list of numbers. NULL: out of memory. */
json_t *number_list(const float *numbers, size_t count);

#endif
