#include "engine/homes.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

struct b2_home {
    uint8_t key[32];
    uint32_t engine;
    uint32_t next;         /* in its chain */
    uint32_t newer, older; /* on its shelf */
};

blip2_status b2_homes_open(b2_homes *homes, const uint32_t *rooms, uint32_t engines) {
    size_t size = 0;

    *homes = (b2_homes){.free = B2_NO_HOME};
    for (uint32_t i = 0; i < engines; i++)
        if (!b2_size_add(size, rooms[i], &size) || size >= B2_NO_HOME)
            return b2_fail_memory();
    homes->shelves = b2_alloc_array(engines, sizeof *homes->shelves);
    homes->homes = b2_alloc_array(size, sizeof *homes->homes);
    homes->buckets = b2_alloc_array(size, sizeof *homes->buckets);
    if (homes->shelves == NULL || homes->homes == NULL || homes->buckets == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < engines; i++)
        homes->shelves[i] =
            (b2_shelf){.room = rooms[i], .newest = B2_NO_HOME, .oldest = B2_NO_HOME};
    homes->size = (uint32_t)size;
    for (uint32_t i = 0; i < homes->size; i++) {
        homes->buckets[i] = B2_NO_HOME;
        homes->homes[i].next = homes->free;
        homes->free = i;
    }
    return BLIP2_OK;
}

void b2_homes_close(b2_homes *homes) {
    b2_free(homes->shelves);
    b2_free(homes->homes);
    b2_free(homes->buckets);
    *homes = (b2_homes){0};
}

/* The key is a hash already. */
static uint32_t *bucket(const b2_homes *homes, const uint8_t key[32]) {
    uint64_t hash;

    memcpy(&hash, key, sizeof hash);
    return &homes->buckets[hash % homes->size];
}

static uint32_t find(const b2_homes *homes, const uint8_t key[32]) {
    uint32_t i = *bucket(homes, key);

    while (i != B2_NO_HOME && memcmp(homes->homes[i].key, key, 32) != 0)
        i = homes->homes[i].next;
    return i;
}

uint32_t b2_homes_find(const b2_homes *homes, const uint8_t key[32]) {
    uint32_t i = find(homes, key);

    return i != B2_NO_HOME ? homes->homes[i].engine : B2_NO_HOME;
}

static void forget(b2_homes *homes, uint32_t i) {
    b2_home *home = &homes->homes[i];
    b2_shelf *shelf = &homes->shelves[home->engine];
    uint32_t *at = bucket(homes, home->key);

    while (*at != i)
        at = &homes->homes[*at].next;
    *at = home->next;
    *(home->newer != B2_NO_HOME ? &homes->homes[home->newer].older : &shelf->newest) = home->older;
    *(home->older != B2_NO_HOME ? &homes->homes[home->older].newer : &shelf->oldest) = home->newer;
    shelf->count--;
    home->next = homes->free;
    homes->free = i;
}

void b2_homes_set(b2_homes *homes, const uint8_t key[32], uint32_t engine) {
    b2_shelf *shelf = &homes->shelves[engine];
    uint32_t i = find(homes, key), *first = bucket(homes, key);
    b2_home *home;

    if (i != B2_NO_HOME)
        forget(homes, i);
    if (shelf->count == shelf->room)
        forget(homes, shelf->oldest);
    i = homes->free; /* there is one: this shelf is not full */
    home = &homes->homes[i];
    homes->free = home->next;
    memcpy(home->key, key, sizeof home->key);
    home->engine = engine;
    home->next = *first;
    *first = i;
    home->newer = B2_NO_HOME;
    home->older = shelf->newest;
    *(shelf->newest != B2_NO_HOME ? &homes->homes[shelf->newest].newer : &shelf->oldest) = i;
    shelf->newest = i;
    shelf->count++;
}
