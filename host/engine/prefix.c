#include "engine/prefix.h"

#include <string.h>

#include "base/alloc.h"

blip2_status b2_prefix_init(b2_prefix *prefix, b2_pages *pages) {
    uint32_t buckets = 1;

    while (buckets < pages->count)
        buckets *= 2;
    *prefix = (b2_prefix){
        .pages = pages, .bucket_count = buckets, .oldest = B2_NO_PAGE, .newest = B2_NO_PAGE};
    prefix->entries = b2_calloc(pages->count, sizeof *prefix->entries);
    prefix->buckets = b2_alloc_array(buckets, sizeof *prefix->buckets);
    if (prefix->entries == NULL || prefix->buckets == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < buckets; i++)
        prefix->buckets[i] = B2_NO_PAGE;
    return BLIP2_OK;
}

void b2_prefix_free(b2_prefix *prefix) {
    b2_free(prefix->entries);
    b2_free(prefix->buckets);
    *prefix = (b2_prefix){0};
}

/* Any bits of a digest are as good as others. */
static int32_t *bucket_of(const b2_prefix *prefix, const uint8_t key[B2_PREFIX_KEY]) {
    uint32_t bits;

    memcpy(&bits, key, sizeof bits);
    return &prefix->buckets[bits & (prefix->bucket_count - 1)];
}

int32_t b2_prefix_find(const b2_prefix *prefix, const uint8_t key[B2_PREFIX_KEY]) {
    int32_t page = *bucket_of(prefix, key);

    while (page >= 0 && memcmp(prefix->entries[page].key, key, B2_PREFIX_KEY) != 0)
        page = prefix->entries[page].next;
    return page;
}

/* Out of the order of uses. */
static void unlink_use(b2_prefix *prefix, int32_t page) {
    b2_prefix_entry *e = &prefix->entries[page];

    *(e->older >= 0 ? &prefix->entries[e->older].newer : &prefix->oldest) = e->newer;
    *(e->newer >= 0 ? &prefix->entries[e->newer].older : &prefix->newest) = e->older;
}

static void link_use(b2_prefix *prefix, int32_t page) {
    b2_prefix_entry *e = &prefix->entries[page];

    e->older = prefix->newest;
    e->newer = B2_NO_PAGE;
    *(e->older >= 0 ? &prefix->entries[e->older].newer : &prefix->oldest) = page;
    prefix->newest = page;
}

void b2_prefix_touch(b2_prefix *prefix, int32_t page) {
    unlink_use(prefix, page);
    link_use(prefix, page);
}

void b2_prefix_put(b2_prefix *prefix, const uint8_t key[B2_PREFIX_KEY], const int32_t *pages,
                   uint32_t count, const b2_request *owner) {
    b2_prefix_entry *e = &prefix->entries[pages[0]];
    int32_t *bucket = bucket_of(prefix, key);

    for (uint32_t i = 0; i < count; i++) {
        b2_pages_share(prefix->pages, pages[i]);
        prefix->entries[pages[i]].rest = i + 1 < count ? pages[i + 1] : B2_NO_PAGE;
    }
    prefix->cached += count;
    memcpy(e->key, key, sizeof e->key);
    e->owner = owner;
    e->ready = false;
    e->next = *bucket;
    *bucket = pages[0];
    link_use(prefix, pages[0]);
}

static void take_out(b2_prefix *prefix, int32_t page) {
    int32_t *at = bucket_of(prefix, prefix->entries[page].key);

    while (*at != page)
        at = &prefix->entries[*at].next;
    *at = prefix->entries[page].next;
    unlink_use(prefix, page);
    while (page >= 0) {
        b2_pages_drop(prefix->pages, &page, 1);
        prefix->cached--;
        prefix->idle--;
        page = prefix->entries[page].rest;
    }
}

void b2_prefix_hold(b2_prefix *prefix, int32_t page) {
    for (; page >= 0; page = prefix->entries[page].rest) {
        prefix->idle -= prefix->pages->users[page] == 1;
        b2_pages_share(prefix->pages, page);
    }
}

void b2_prefix_let_go(b2_prefix *prefix, int32_t page, const b2_request *user) {
    b2_prefix_entry *e = &prefix->entries[page];

    if (e->owner == user)
        e->owner = NULL;
    for (int32_t p = page; p >= 0; p = prefix->entries[p].rest) {
        b2_pages_drop(prefix->pages, &p, 1);
        prefix->idle += prefix->pages->users[p] == 1;
    }
    if (!e->ready && prefix->pages->users[page] == 1)
        take_out(prefix, page);
}

bool b2_prefix_claim(b2_prefix *prefix, int32_t page, const b2_request *request) {
    b2_prefix_entry *e = &prefix->entries[page];

    if (e->owner == NULL || b2_request_precedes(request, e->owner))
        e->owner = request;
    return e->owner == request;
}

void b2_prefix_settle(b2_prefix *prefix, int32_t page, const b2_request *owner) {
    b2_prefix_entry *e = &prefix->entries[page];

    if (e->owner != owner)
        return;
    e->owner = NULL;
    e->ready = true;
}

bool b2_prefix_make_room(b2_prefix *prefix, uint32_t count) {
    int32_t page = prefix->oldest;

    if (count > b2_prefix_available(prefix))
        return false;
    while (prefix->pages->free_count < count) {
        int32_t newer = prefix->entries[page].newer;

        if (prefix->pages->users[page] == 1)
            take_out(prefix, page);
        page = newer;
    }
    return true;
}

void b2_prefix_drop(b2_prefix *prefix) {
    if (prefix->pages != NULL) /* else nothing is written */
        (void)b2_prefix_make_room(prefix, b2_prefix_available(prefix));
}
