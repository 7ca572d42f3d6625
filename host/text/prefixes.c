#include "text/prefixes.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

static int by_text(const void *a, const void *b) {
    const b2_prefix *x = a, *y = b;
    int order = memcmp(x->text, y->text, b2_size_min(x->length, y->length));

    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

void b2_prefixes_sort(b2_prefixes *prefixes) {
    qsort(prefixes->list, prefixes->count, sizeof *prefixes->list, by_text);
}

b2_prefix_walk b2_prefix_start(const b2_prefixes *prefixes) {
    return (b2_prefix_walk){prefixes, 0, prefixes->count, 0};
}

/* The first text of walk, all of which are alike and longer up to its depth, whose byte there is at
 * least `byte`. */
static size_t lower_bound(const b2_prefix_walk *walk, int byte) {
    size_t low = walk->low, high = walk->high;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if ((unsigned char)walk->prefixes->list[middle].text[walk->depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const b2_prefix *b2_prefix_step(b2_prefix_walk *walk, char byte) {
    const b2_prefix *found = NULL;

    walk->low = lower_bound(walk, (unsigned char)byte);
    walk->high = lower_bound(walk, (unsigned char)byte + 1);
    walk->depth++;
    if (walk->low < walk->high && walk->prefixes->list[walk->low].length == walk->depth)
        found = walk->prefixes->list + walk->low++;
    return found;
}

blip2_status b2_prefixes_of(b2_prefixes *out, b2_arena *arena, const b2_fields *fields,
                            const b2_vocabulary *vocabulary) {
    *out = (b2_prefixes){0};
    if ((out->list = b2_arena_alloc(arena, vocabulary->count, sizeof *out->list)) == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < vocabulary->count; i++) {
        const b2_entry *entry = vocabulary->entries + i;

        if (entry->length > B2_PREFIX_LONGEST)
            return b2_fail(BLIP2_EFORMAT, "%s: %svocab: a token of %u bytes, expected at most %d",
                           fields->file, fields->section, (unsigned)entry->length,
                           (int)B2_PREFIX_LONGEST);
        if (entry->length > 0)
            out->list[out->count++] = (b2_prefix){entry->text, entry->length, i};
    }
    b2_prefixes_sort(out);
    return BLIP2_OK;
}
