/* Which engine of a pool was given a picture last, for as many pictures as each engine keeps
 * encoded: beside each engine a shelf of that size, from which the picture goes that was not given
 * for longest, as it goes from the engine's own cache (images.h). A picture stands on one shelf. */
#ifndef B2_HOMES_H
#define B2_HOMES_H
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct b2_home b2_home;

typedef struct b2_shelf {
    uint32_t room, count;
    uint32_t newest, oldest; /* B2_NO_HOME: it is empty */
} b2_shelf;

#define B2_NO_HOME UINT32_MAX

typedef struct b2_homes {
    b2_home *homes;    /* [size] */
    uint32_t *buckets; /* [size] the first home of each chain */
    uint32_t size;     /* room of all shelves */
    uint32_t free;     /* the first of a chain */
    b2_shelf *shelves; /* [engines] */
} b2_homes;

/* rooms [engines], all above 0. A failed open needs _close too. */
blip2_status b2_homes_open(b2_homes *homes, const uint32_t *rooms, uint32_t engines);
void b2_homes_close(b2_homes *homes);

/* The engine; B2_NO_HOME: it is not known, or was forgotten. key: the picture's SHA-256. */
uint32_t b2_homes_find(const b2_homes *homes, const uint8_t key[32]);
/* The picture is given to that engine. */
void b2_homes_set(b2_homes *homes, const uint8_t key[32], uint32_t engine);

#endif
