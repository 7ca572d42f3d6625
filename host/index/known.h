/* What earlier builds have embedded: the index as it stands, and the parts of a build that was
 * stopped. */
#ifndef B2_INDEX_KNOWN_H
#define B2_INDEX_KNOWN_H
#include "index/file.h"

typedef struct b2_known_row {
    const b2_index_file *file;
    size_t picture;
} b2_known_row;

typedef struct b2_known {
    b2_index_file *files; /* [count]: the index, if there is one, then parts */
    size_t count;
    bool has_index;
    size_t parts;            /* files of parts, whose numbers go from 1 */
    b2_known_row *by_path;   /* [rows] in order of path */
    b2_known_row *by_pixels; /* [rows] in order of the pixels' digest */
    size_t rows;
} b2_known;

/* EINVAL: what is there has vectors of another model or type. A part that cannot be used is an
 * error too: it may be no file of ours. */
blip2_status b2_known_open(b2_known *out, const char *path, const blip2_model *model, b2_type type);
void b2_known_close(b2_known *known);
/* Remove the files of parts 1 .. count. */
void b2_known_remove_parts(const char *path, size_t count);

/* A picture that has not changed; file NULL: none. */
b2_known_row b2_known_path(const b2_known *known, const char *path, int64_t size, int64_t time);
b2_known_row b2_known_pixels(const b2_known *known, const uint8_t pixels[32]);
/* As it is written again. */
b2_index_row b2_known_index_row(b2_known_row row);

/* "path.part3"; NULL when out of memory. Yours to b2_free. */
char *b2_known_part_path(const char *path, size_t number);

#endif
