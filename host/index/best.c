#include "index/best.h"

#include <stdbool.h>
#include <stdlib.h>

static const float not_matched = -100.0f;

static bool is_worse(const blip2_hit *a, const blip2_hit *b) {
    return a->itc < b->itc || (a->itc == b->itc && a->picture > b->picture);
}

static void swap(blip2_hit *a, blip2_hit *b) {
    blip2_hit kept = *a;

    *a = *b;
    *b = kept;
}

static void sift_down(b2_best *best) {
    blip2_hit *h = best->hits;
    size_t at = 0, child;

    while ((child = 2 * at + 1) < best->count) {
        if (child + 1 < best->count && is_worse(&h[child + 1], &h[child]))
            child++;
        if (!is_worse(&h[child], &h[at]))
            break;
        swap(&h[child], &h[at]);
        at = child;
    }
}

void b2_best_add(b2_best *best, size_t picture, float itc) {
    const blip2_hit hit = {picture, itc, not_matched};
    blip2_hit *h = best->hits;
    size_t at = best->count;

    if (at == best->most) {
        if (is_worse(&h[0], &hit)) {
            h[0] = hit;
            sift_down(best);
        }
        return;
    }
    best->count++;
    for (h[at] = hit; at > 0 && is_worse(&h[at], &h[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&h[at], &h[(at - 1) / 2]);
}

static int better_first(const void *a, const void *b) {
    return is_worse(b, a) ? -1 : is_worse(a, b);
}

void b2_best_sort(b2_best *best) {
    qsort(best->hits, best->count, sizeof *best->hits, better_first);
}
