#include "index/named.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

static int compare(const void *a, const void *b) {
    const b2_named *x = a, *y = b;
    int order = strcmp(x->path, y->path);

    return order != 0 ? order : (x->number > y->number) - (x->number < y->number);
}

b2_named *b2_named_sort(const char *const *paths, size_t count) {
    b2_named *named = b2_alloc_array(count, sizeof *named);

    for (size_t i = 0; i < count && named != NULL; i++)
        named[i] = (b2_named){paths[i], i};
    if (named != NULL)
        qsort(named, count, sizeof *named, compare);
    return named;
}

size_t b2_named_find(const b2_named *named, size_t count, const char *path) {
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(named[middle].path, path) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && strcmp(named[low].path, path) == 0 ? named[low].number : SIZE_MAX;
}
