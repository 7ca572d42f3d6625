#include "engine/pages.h"

#include "base/alloc.h"

blip2_status b2_pages_init(b2_pages *pages, uint32_t count) {
    *pages = (b2_pages){.count = count, .free_count = count};
    pages->free_list = b2_alloc_array(count, sizeof *pages->free_list);
    pages->users = b2_calloc(count, sizeof *pages->users);
    if (pages->free_list == NULL || pages->users == NULL) {
        b2_pages_free(pages);
        return b2_fail_memory();
    }
    for (uint32_t i = 0; i < count; i++)
        pages->free_list[i] = (int32_t)(count - 1 - i); /* page 0 is handed out first */
    return BLIP2_OK;
}

void b2_pages_free(b2_pages *pages) {
    b2_free(pages->free_list);
    b2_free(pages->users);
    *pages = (b2_pages){0};
}

blip2_status b2_pages_take(b2_pages *pages, int32_t *out, uint32_t count) {
    if (count > pages->free_count)
        return b2_fail(BLIP2_EDEVMEM, "KV pool: %u pages wanted, %u of %u are free", count,
                       pages->free_count, pages->count);
    for (uint32_t i = 0; i < count; i++) {
        out[i] = pages->free_list[--pages->free_count];
        pages->users[out[i]] = 1;
    }
    return BLIP2_OK;
}

void b2_pages_share(b2_pages *pages, int32_t page) {
    pages->users[page]++;
}

void b2_pages_drop(b2_pages *pages, const int32_t *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        if (--pages->users[list[i]] == 0)
            pages->free_list[pages->free_count++] = list[i];
}
