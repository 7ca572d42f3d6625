/* Matrices of many inputs, gathered in memory and written as one file. */
#ifndef B2_FEATURE_STORE_H
#define B2_FEATURE_STORE_H
#include <jansson.h>

#include "blip2.h"

/* What one kind of matrix (hidden, projected) is of all inputs, one behind the other. */
typedef struct b2_matrices {
    float *data;     /* [sum of rows, cols] */
    size_t used;     /* floats in use */
    size_t capacity; /* floats */
    size_t *rows;    /* [count] of each input */
    size_t cols, count, rows_capacity;
} b2_matrices;

typedef struct b2_feature_store {
    b2_matrices hidden, projected; /* a kind that is not wanted stays empty */
    json_t *names;                 /* of the inputs */
} b2_feature_store;

blip2_status b2_matrices_add(b2_matrices *matrices, const float *data, size_t rows, size_t cols);
void b2_feature_store_free(b2_feature_store *store);

/* One matrix kind as [count, rows, cols], and path.json with {"names": [...]}. EINVAL if the
 * numbers of rows differ. */
blip2_status b2_feature_store_write_npy(const b2_feature_store *store, const char *path,
                                        const b2_matrices *which);
/* Both kinds: "hidden" [count, rows, cols], or where numbers of rows differ "hidden.0" [rows,
 * cols], "hidden.1" ...; likewise "projected". The metadata's "names" is a JSON text, a list. */
blip2_status b2_feature_store_write_safetensors(const b2_feature_store *store, const char *path);

#endif
