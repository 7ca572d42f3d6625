/* What the decode kernels share: how segments are cut into parts, where keys stand, how what warps
 * and parts found becomes y. The design: attention_decode.cu. */
#ifndef B2_DECODE_CUH
#define B2_DECODE_CUH
#include "keys.cuh"
#include "scores.cuh"

enum { WARPS = B2_ATTENTION_THREADS / B2_LANES, GROUP = B2_ATTENTION_GROUP, ROWS = B2_DECODE_ROWS };

/* What a block works on. */
struct part {
    int s, h, kv; /* kv: the head of keys and values */
    int start, n; /* query rows */
    int old;      /* keys that stand in pages, before the new ones */
    int first, last;
    int parts; /* 1 to splits: those that have keys. The blocks of others have nothing to do */
};

__device__ inline part part_of(const b2_attention_args &a) {
    int s = (int)blockIdx.z, start = a.q_start[s], n = a.q_start[s + 1] - start, m = a.k_count[s];
    int size = max(((m + a.splits - 1) / a.splits + GROUP - 1) / GROUP, 1) * GROUP;
    int first = (int)blockIdx.x * size;
    int old = a.slots != NULL ? m - n : m, parts = max((m + size - 1) / size, 1);

    int h = (int)blockIdx.y;

    return {s, h, h / a.group, start, n, old, first, min(first + size, m), parts};
}

/* Of the blocks that share a head of keys and values one stores the new ones; all read them where
 * they come from. */
__device__ inline bool b2_stores(const b2_attention_args &a, const part &p) {
    return p.kv * a.group == p.h;
}

/* ---- keys and values: one group of 16 ------------------------------------------------------ */

/* Rows [D] of the group from key j on, as far as they stand in pages. */
template <typename T> struct group {
    const T *rows[2]; /* B2_KEYS, B2_VALUES */
    int j;
};

template <typename T>
__device__ inline group<T> group_at(const b2_attention_args &a, const part &p, int j) {
    b2_place place = {0, 0};

    if (j < p.old)
        place = b2_place_of(a, p.s, j);
    return {{b2_rows_at<T>(a, place, B2_KEYS, p.kv).first,
             b2_rows_at<T>(a, place, B2_VALUES, p.kv).first},
            j};
}

template <typename T>
__device__ inline const T *key_row(const b2_attention_args &a, const part &p, const group<T> &g,
                                   int which, int key) {
    if (key < p.old)
        return g.rows[which] + (key - g.j) * a.head_size;
    return (const T *)(which == B2_KEYS ? a.k : a.v) +
           (p.start + key - p.old) * (which == B2_KEYS ? a.k_stride : a.v_stride) +
           p.kv * a.head_size;
}

/* The page's row for a new key. */
template <typename T>
__device__ inline T *new_row(const b2_attention_args &a, const part &p, int which, int key) {
    int slot = a.slots[p.start + key - p.old], tokens = a.pool.page_tokens;

    return (T *)a.pool.pages + b2_pool_offset(a.pool, slot / tokens, which, p.kv, slot % tokens);
}

__device__ inline float4 load_four(const float *row, bool there) {
    uint4 v = b2_load_16(row, there);

    return {__uint_as_float(v.x), __uint_as_float(v.y), __uint_as_float(v.z), __uint_as_float(v.w)};
}

__device__ inline void store_four(float *row, float4 v) {
    b2_store_16(row, {__float_as_uint(v.x), __float_as_uint(v.y), __float_as_uint(v.z),
                      __float_as_uint(v.w)});
}

/* ---- the merge ----------------------------------------------------------------------------- */

/* What the warps found, for the rows of the segment: four elements of O at a time. */
template <int width> struct findings {
    float4 output[WARPS][ROWS][width / 4 + 2]; /* + 2: rows g and g + 1 in different banks */
    b2_softmax softmax[WARPS][ROWS];
};

/* Where elements 4i .. 4i+3 stand: the tensor cores leave a lane 16 elements in line, and its
 * neighbours at a distance of two lanes would meet it in the same bank. */
__device__ inline int four_at(int i) {
    return i ^ (i >> 3 & 1);
}

__device__ inline void add_four(float *sum, float factor, float4 four) {
    sum[0] += factor * four.x;
    sum[1] += factor * four.y;
    sum[2] += factor * four.z;
    sum[3] += factor * four.w;
}

/* Sixteen bytes of y. */
template <typename T>
__device__ inline void store_y(const b2_attention_args &a, const part &p, int row, int d,
                               const float *output, float sum) {
    float divisor = b2_softmax_divisor(sum);
    T *y = (T *)a.y + (p.start + row) * a.y_stride + p.h * a.head_size + d;
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        if constexpr (sizeof(T) == 4)
            words[i] = __float_as_uint(output[i] * divisor);
        else
            words[i] = b2_pack<T>(output[2 * i] * divisor, output[2 * i + 1] * divisor);
    b2_store_16(y, {words[0], words[1], words[2], words[3]});
}

/* Of the parts of one row and head; part i is `D + 4` elements after part i - 1. */
__device__ inline float *part_at(const b2_attention_args &a, const part &p, int row, int split) {
    int64_t at = ((int64_t)(p.start + row) * a.heads + p.h) * a.splits + split;

    return a.partial + at * (a.head_size + 4);
}

/* Whether this block is the last of its segment and head; then everything the others wrote before
 * they asked can be read. */
__device__ inline bool last_to_arrive(const b2_attention_args &a, const part &p) {
    __shared__ int before;
    int32_t *arrived = a.arrived + p.s * a.heads + p.h;

    __syncthreads(); /* orders the block's partial results before thread 0 says they are there */
    if (threadIdx.x == 0) {
        __threadfence();
        before = atomicAdd(arrived, 1);
        __threadfence();
        if (before == p.parts - 1)
            *arrived = 0; /* for the next launch; nobody else comes */
    }
    __syncthreads(); /* orders the answer, and what the others wrote, before the reads below */
    return before == p.parts - 1;
}

/* All parts are there. */
template <typename T>
__device__ inline void merge_parts(const b2_attention_args &a, const part &p) {
    constexpr int piece = 16 / sizeof(T);
    int pieces = a.head_size / piece, distance = a.head_size + 4;

    for (int i = threadIdx.x; i < p.n * pieces; i += B2_ATTENTION_THREADS) {
        int row = i / pieces, d = i % pieces * piece;
        const float *from = part_at(a, p, row, 0);
        b2_softmax whole = b2_softmax_none();
        float output[piece] = {};

        for (int split = 0; split < p.parts; split++)
            whole.most = fmaxf(whole.most, from[split * distance + a.head_size]);
        for (int split = 0; split < p.parts; split++, from += distance) {
            b2_softmax softmax = *(const b2_softmax *)(from + a.head_size);
            float factor = b2_softmax_part(softmax, whole);

            whole.sum += factor * softmax.sum;
#pragma unroll
            for (int e = 0; e < piece; e += 4)
                add_four(output + e, factor, *(const float4 *)(from + d + e));
        }
        store_y<T>(a, p, row, d, output, whole.sum);
    }
}

/* The warps are done and have written down what they found. A thread merges 16 bytes of y. */
template <typename T, int width>
__device__ inline void merge(const b2_attention_args &a, const part &p, const findings<width> &f) {
    constexpr int piece = 16 / sizeof(T);
    int pieces = a.head_size / piece;

    __syncthreads(); /* orders the findings of all warps before the reads below */
    for (int i = threadIdx.x; i < p.n * pieces; i += B2_ATTENTION_THREADS) {
        int row = i / pieces, d = i % pieces * piece;
        b2_softmax whole = b2_softmax_none();
        float output[piece] = {};
#pragma unroll
        for (int w = 0; w < WARPS; w++)
            whole.most = fmaxf(whole.most, f.softmax[w][row].most);
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
            float factor = b2_softmax_part(f.softmax[w][row], whole);

            whole.sum += factor * f.softmax[w][row].sum;
#pragma unroll
            for (int e = 0; e < piece; e += 4)
                add_four(output + e, factor, f.output[w][row][four_at((d + e) / 4)]);
        }
        if (p.parts == 1) {
            store_y<T>(a, p, row, d, output, whole.sum);
            continue;
        }
        float *to = part_at(a, p, row, (int)blockIdx.x);
#pragma unroll
        for (int e = 0; e < piece; e += 4)
            store_four(to + d + e, {output[e], output[e + 1], output[e + 2], output[e + 3]});
        if (d == 0)
            *(b2_softmax *)(to + a.head_size) = whole;
    }
    if (p.parts > 1 && last_to_arrive(a, p))
        merge_parts<T>(a, p);
}

#endif
