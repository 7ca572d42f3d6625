/* Matrices of many inputs, gathered beside the file to be, in files that have no name and are gone
 * with the process, and written as one file. Memory holds the inputs' names. */
#ifndef B2_FEATURE_STORE_H
#define B2_FEATURE_STORE_H
#include <jansson.h>
#include <stdio.h>

#include "blip2.h"

/* What one kind of matrix (hidden, projected) is of all inputs, one behind the other. */
typedef struct b2_matrices {
    FILE *data;   /* fp32 [sum of rows, cols]; NULL before the first */
    size_t used;  /* floats in it */
    size_t *rows; /* [count] of each input */
    size_t cols, count, rows_capacity;
} b2_matrices;

typedef struct b2_feature_store {
    b2_matrices hidden, projected; /* a kind that is not wanted stays empty */
    json_t *names;                 /* of the inputs */
    const char *path;              /* of the file to be */
} b2_feature_store;

/* One more input. Data need not be aligned. EIO if there is no room on the disk. */
blip2_status b2_feature_store_add(const b2_feature_store *store, b2_matrices *to, const void *data,
                                  size_t rows, size_t cols);
void b2_feature_store_free(b2_feature_store *store);

/* One matrix kind as [count, rows, cols], and store->path.json with {"names": [...]}. EINVAL if the
 * numbers of rows differ. */
blip2_status b2_feature_store_write_npy(const b2_feature_store *store, b2_matrices *which);
/* Both kinds: "hidden" [count, rows, cols], or where numbers of rows differ "hidden.0" [rows,
 * cols], "hidden.1" ...; likewise "projected". The metadata's "names" is a JSON text, a list. */
blip2_status b2_feature_store_write_safetensors(b2_feature_store *store);

#endif
