/* Indexes of random vectors, and folders of copied pictures, for the tests of the index. */
#ifndef B2_TESTS_INDEX_GALLERY_H
#define B2_TESTS_INDEX_GALLERY_H
#include <stdbool.h>

#include "index/index.h"

enum { QUERIES = 5, WIDTH = 48 };

/* y [count, width], rows of unit length; the same seed gives the same. */
void draw_unit_rows(float *y, size_t count, size_t width, uint32_t seed);

/* Write an index of vectors [count, QUERIES, WIDTH] and open it. */
void write_random_index(const char *path, const float *vectors, size_t count, b2_type type);
blip2_index *open_index(const char *path, uint32_t threads);

/* "$TMPDIR/name", good until the eighth call after this one. */
const char *temporary(const char *name);
/* Copy golden picture p<number>.png there. */
void copy_picture(const char *name, int number);
bool is_there(const char *path);

#endif
