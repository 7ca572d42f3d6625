/* Inside load/: the table of contents of a zip archive whose entries are all stored plainly, as
 * torch.save writes it. */
#ifndef B2_ZIP_H
#define B2_ZIP_H
#include "base/arena.h"
#include "base/file.h"

typedef struct b2_zip_entry {
    const char *name; /* [name_length], not terminated; in the file map */
    size_t name_length;
    const uint8_t *data; /* [size], in the file map */
    size_t size;
    size_t header; /* where its local header is in the file */
} b2_zip_entry;

typedef struct b2_zip {
    b2_zip_entry *entry; /* [count], sorted by name, no name twice; in the arena */
    size_t count;
} b2_zip;

/* EFORMAT for anything but stored, unencrypted entries that lie wholly inside the file, none over
 * another, of which directory and local headers say the same. file: its name for messages. Check
 * sums are not computed: they are no defence, and safetensors has none. */
blip2_status b2_zip_read(b2_zip *out, b2_arena *arena, const b2_file_map *map, const char *file);

/* NULL if there is no such entry. */
const b2_zip_entry *b2_zip_find(const b2_zip *zip, const char *name, size_t name_length);

#endif
