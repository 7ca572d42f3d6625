/* Keys and values into pages, and pages onto pages. Both only move bytes, once each.
 *
 * A new row of k is [H, D] in one piece; in its page the heads stand T * D elements apart, so that
 * attention reads one head's keys in one piece. The D elements of a head (128 to 256 bytes) stay
 * together: whole sectors on both sides.                                                        */
#include "keys.cuh"
#include "ptx.cuh"

/* Elements of T as words W: a row's heads go to their places in the page. */
template <typename T, typename W>
__device__ inline void write_heads(const b2_kv_pool &pool, int32_t which, const T *row,
                                   int32_t place) {
    constexpr int each = (int)(sizeof(W) / sizeof(T));
    int page = place / pool.page_tokens, slot = place % pool.page_tokens;
    int words = pool.head_size / each;
    T *pages = (T *)pool.pages;

    for (int i = (int)threadIdx.x; i < pool.heads * words; i += B2_ROW_THREADS) {
        int head = i / words, word = i % words;

        ((W *)(pages + b2_pool_offset(pool, page, which, head, slot)))[word] = ((const W *)row)[i];
    }
}

template <typename T> __device__ inline bool in_words(const b2_kv_pool &pool, const T *row) {
    return ((uintptr_t)pool.pages | (uintptr_t)row | pool.page_stride * sizeof(T) |
            pool.head_size * sizeof(T)) %
               sizeof(uint4) ==
           0;
}

template <typename T> __device__ inline void write(const b2_kv_write_args &a) {
    int64_t i = blockIdx.x;
    const T *k = (const T *)a.k + i * a.k_stride, *v = (const T *)a.v + i * a.v_stride;
    int32_t place = a.slots[i];

    if (in_words(a.pool, k) && in_words(a.pool, v)) {
        write_heads<T, uint4>(a.pool, B2_KEYS, k, place);
        write_heads<T, uint4>(a.pool, B2_VALUES, v, place);
    } else {
        write_heads<T, T>(a.pool, B2_KEYS, k, place);
        write_heads<T, T>(a.pool, B2_VALUES, v, place);
    }
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_kv_write_f32(const __grid_constant__ b2_kv_write_args a) {
    write<float>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_kv_write_f16(const __grid_constant__ b2_kv_write_args a) {
    write<b2_f16>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_kv_write_bf16(const __grid_constant__ b2_kv_write_args a) {
    write<b2_bf16>(a);
}

/* Four words a thread, all of them on their way before the first is stored: a page is megabytes,
 * and what limits the copy is how much is under way at once. */
extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_kv_copy_pages(const __grid_constant__ b2_kv_copy_args a) {
    constexpr int words = B2_COPY_BYTES / (B2_ROW_THREADS * (int)sizeof(uint4));
    const uint4 *from = (const uint4 *)((char *)a.pages + a.from[blockIdx.y] * a.page_bytes);
    uint4 *to = (uint4 *)((char *)a.pages + a.to[blockIdx.y] * a.page_bytes), word[words];
    int64_t count = a.page_bytes / (int64_t)sizeof(uint4);
    int64_t first = (int64_t)blockIdx.x * (words * B2_ROW_THREADS) + threadIdx.x;
    uint32_t filled = a.rows != nullptr ? (uint32_t)a.rows[blockIdx.y] * a.slot_bytes : 1;
    bool wanted[words];

#pragma unroll
    for (int i = 0; i < words; i++) {
        int64_t at = first + i * B2_ROW_THREADS;

        wanted[i] = at < count && (uint32_t)at * (uint32_t)sizeof(uint4) % a.run_bytes < filled;
    }
#pragma unroll
    for (int i = 0; i < words; i++)
        if (wanted[i])
            word[i] = from[first + i * B2_ROW_THREADS];
#pragma unroll
    for (int i = 0; i < words; i++)
        if (wanted[i])
            to[first + i * B2_ROW_THREADS] = word[i];
}
