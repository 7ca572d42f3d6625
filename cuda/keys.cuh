/* Where rows of keys and values stand: packed in a matrix or in pages. The only functions that turn
 * a key of a segment, or a page and slot, into an address. */
#ifndef B2_KEYS_CUH
#define B2_KEYS_CUH
#include "kernels.h"

enum { B2_KEYS, B2_VALUES };

/* Elements from the pool's start to the row [D] of a head. which: B2_KEYS or B2_VALUES. */
__device__ inline int64_t b2_pool_offset(const b2_kv_pool &pool, int32_t page, int32_t which,
                                         int32_t head, int32_t slot) {
    int32_t rows = ((pool.layer * 2 + which) * pool.heads + head) * pool.page_tokens + slot;

    return page * pool.page_stride + (int64_t)rows * pool.head_size;
}

/* Where a key of a segment stands: in a page, or in a row of the packed matrices. */
typedef struct b2_place {
    int32_t page, slot; /* packed: slot is the row */
} b2_place;

/* Keys that follow stand in the following slots, in pages up to the end of the page. */
__device__ inline b2_place b2_place_of(const b2_attention_args &a, int32_t s, int32_t key) {
    if (a.pool.pages == NULL)
        return {0, a.k_first[s] + key};
    return {a.page_table[(int64_t)s * a.table_stride + key / a.pool.page_tokens],
            key % a.pool.page_tokens};
}

/* Rows [D] of one head, `stride` elements apart. */
template <typename T> struct b2_head_rows {
    const T *first;
    int64_t stride;
};

template <typename T>
__device__ inline b2_head_rows<T> b2_rows_at(const b2_attention_args &a, b2_place place,
                                             int32_t which, int32_t head) {
    const T *packed = (const T *)(which == B2_KEYS ? a.k : a.v);
    int64_t stride = which == B2_KEYS ? a.k_stride : a.v_stride;

    if (a.pool.pages == NULL)
        return {packed + place.slot * stride + head * a.head_size, stride};
    return {(const T *)a.pool.pages + b2_pool_offset(a.pool, place.page, which, head, place.slot),
            a.pool.head_size};
}

#endif
