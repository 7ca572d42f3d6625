#include "image/pack.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "run.h"

static const char path[] = BLIP2_SOURCE_DIR "/tests/image/pictures.pack";

pack pack_open(void) {
    enum { MOST = 1000 };
    pack p = {0};
    size_t size, at = 0;

    ck_assert_status_ok(b2_file_read(&p.bytes, &size, path, 1 << 20));
    p.item = b2_calloc(MOST, sizeof *p.item);
    while (at < size) {
        entry *e = &p.item[p.count++];
        char *end = memchr(p.bytes + at, '\n', size - at);

        ck_assert(p.count < MOST && end != NULL);
        *end = '\0';
        ck_assert_int_eq(sscanf((char *)p.bytes + at, "%63s %7s %u %u %zu %64s", e->name, e->kind,
                                &e->width, &e->height, &e->size, e->sha256),
                         6);
        e->data = (uint8_t *)end + 1;
        at = (size_t)(e->data - p.bytes) + e->size;
        ck_assert_uint_le(at, size);
    }
    ck_assert_uint_gt(p.count, 300);
    return p;
}

void pack_close(pack *p) {
    b2_free(p->item);
    b2_free(p->bytes);
}

const entry *pack_find(const pack *p, const char *name) {
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->item[i].name, name) == 0)
            return &p->item[i];
    ck_abort_msg("%s: no picture of that name", name);
    return NULL;
}
