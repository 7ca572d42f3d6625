/* pictures.pack, which make_fixtures.py writes and describes. */
#ifndef B2_TESTS_PACK_H
#define B2_TESTS_PACK_H
#include <stddef.h>
#include <stdint.h>

typedef struct entry {
    char name[64], kind[8]; /* kind: png, jpeg, want, bad */
    uint32_t width, height; /* 0 for bad */
    char sha256[65];        /* of the RGB; "-" for bad */
    const uint8_t *data;    /* [size] the encoded picture */
    size_t size;
} entry;

typedef struct pack {
    uint8_t *bytes;
    entry *item; /* [count] */
    size_t count;
} pack;

/* Asserts that the file is there and well-formed. */
pack pack_open(void);
void pack_close(pack *p);
const entry *pack_find(const pack *p, const char *name);

#endif
