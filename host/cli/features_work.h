/* What 'blip2 features' keeps in its work folder:
 *
 *   group-N   readable [pictures taken]: which of a group's pictures could be read
 *   call-N    rows [inputs], hidden [sum of rows, C], projected [sum of rows, W] of one call of the
 *             library; a kind that is not wanted is [0, 0]
 */
#ifndef B2_FEATURES_WORK_H
#define B2_FEATURES_WORK_H
#include "feature_store.h"
#include "load/work.h"

/* Matrices of one call, as they go into its part; all zero: empty. */
typedef struct b2_call_features {
    float *hidden, *projected; /* [sum of rows, cols]; NULL: not wanted */
    int64_t *rows;             /* [count] */
    size_t count, row_count, hidden_cols, projected_cols;
} b2_call_features;

/* Copy what is wanted of features: all rows, or the first of each. */
blip2_status b2_call_features_take(b2_call_features *out, const blip2_features *features,
                                   bool hidden, bool projected, bool first_row);
void b2_call_features_free(b2_call_features *call);
blip2_status b2_call_features_store(const b2_call_features *call, b2_feature_store *store);

/* Call `number` of `inputs` inputs, from the folder into the store; *found false: it is not there.
 */
blip2_status b2_features_work_read(const b2_work *work, size_t number, size_t inputs,
                                   b2_feature_store *store, bool *found);
blip2_status b2_features_work_keep(const b2_work *work, size_t number,
                                   const b2_call_features *call);

#endif
