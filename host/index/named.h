/* The caller's paths in order, to find them by name and those that are named twice. */
#ifndef B2_INDEX_NAMED_H
#define B2_INDEX_NAMED_H
#include <stddef.h>

typedef struct b2_named {
    const char *path;
    size_t number; /* of the caller's list; among equal paths the first comes first */
} b2_named;

/* [count] in order, yours to b2_free; NULL when out of memory. */
b2_named *b2_named_sort(const char *const *paths, size_t count);
/* The number of the first such path; SIZE_MAX: there is none. */
size_t b2_named_find(const b2_named *named, size_t count, const char *path);

#endif
