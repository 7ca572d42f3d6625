/* y = softmax(q k' under the rule) v over paged keys for 1 to 16 query rows a segment: a step of
 * decoding. It is a matter of bytes: every key and value is read once, for all rows of a segment,
 * and used a few times.
 *
 * A block is one head of one segment and one of `splits` parts of its keys. Its warps take groups
 * of 16 keys in turn, each with its own online softmax; at the end the block merges its warps and,
 * if there are parts, writes its own down; the block that comes last merges those:
 *
 *   pages K, V [16, D] -> registers (16-byte loads, all of a group before its first use)
 *   S [16, 16] = Q K',  P = 2^(S - largest),  O [16, D] += P V       per warp
 *   O of 4 warps -> shared -> y, or partial [N, H, splits, D + 4] -> y
 *
 * The tensor cores do not mind which d they sum over in which order, nor which columns of O stand
 * where. So the fragments are what 16-byte loads give, and nothing goes through shared memory: of
 * K, a lane has unit c of four neighbouring units of key g (g = lane / 4, c = lane % 4), which is B
 * of two steps of 16 d; Q is read alike. Of V it has unit g of the four keys of c; column n of tile
 * e of O is element e of unit n. One query row costs as much as 16, which is nothing beside the
 * bytes. fp32 has no exact tensor cores: there a lane has four d of every key.
 *
 * With slots, keys and values of the query rows themselves come from the matrices k and v, and the
 * warp that reads them stores them into their pages: a step needs no launch before this one.    */
#include "keys.cuh"
#include "scores.cuh"

enum { WARPS = B2_ATTENTION_THREADS / B2_LANES, GROUP = B2_ATTENTION_GROUP, ROWS = B2_DECODE_ROWS };

/* What a block works on. */
struct part {
    int s, h;
    int start, n; /* query rows */
    int old;      /* keys that stand in pages, before the new ones */
    int first, last;
};

__device__ inline part part_of(const b2_attention_args &a) {
    int s = (int)blockIdx.z, start = a.q_start[s], n = a.q_start[s + 1] - start, m = a.k_count[s];
    int size = ((m + a.splits - 1) / a.splits + GROUP - 1) / GROUP * GROUP;
    int first = (int)blockIdx.x * size;

    return {s, (int)blockIdx.y, start, n, a.slots != NULL ? m - n : m, first, min(first + size, m)};
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
    return {{b2_rows_at<T>(a, place, B2_KEYS, p.h).first,
             b2_rows_at<T>(a, place, B2_VALUES, p.h).first},
            j};
}

template <typename T>
__device__ inline const T *key_row(const b2_attention_args &a, const part &p, const group<T> &g,
                                   int which, int key) {
    if (key < p.old)
        return g.rows[which] + (key - g.j) * a.head_size;
    return (const T *)(which == B2_KEYS ? a.k : a.v) +
           (p.start + key - p.old) * (which == B2_KEYS ? a.k_stride : a.v_stride) +
           p.h * a.head_size;
}

/* The page's row for a new key. */
template <typename T>
__device__ inline T *new_row(const b2_attention_args &a, const part &p, int which, int key) {
    int slot = a.slots[p.start + key - p.old], tokens = a.pool.page_tokens;

    return (T *)a.pool.pages + b2_pool_offset(a.pool, slot / tokens, which, p.h, slot % tokens);
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
    T narrow[16 / sizeof(T)];
#pragma unroll
    for (int i = 0; i < (int)(16 / sizeof(T)); i++)
        narrow[i] = b2_narrow<T>(output[i] * divisor);
    uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; i++)
        if constexpr (sizeof(T) == 4)
            words[i] = __float_as_uint(narrow[i]);
        else
            words[i] = narrow[2 * i].bits | (uint32_t)narrow[2 * i + 1].bits << 16;
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
        if (before == a.splits - 1)
            *arrived = 0; /* for the next launch; nobody else comes */
    }
    __syncthreads(); /* orders the answer, and what the others wrote, before the reads below */
    return before == a.splits - 1;
}

/* The block's warps are done and their findings written. A thread merges 16 bytes of y at a time.
 */
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
        if (a.splits == 1) {
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
    if (a.splits == 1 || !last_to_arrive(a, p))
        return;
    for (int i = threadIdx.x; i < p.n * pieces; i += B2_ATTENTION_THREADS) {
        int row = i / pieces, d = i % pieces * piece;
        const float *from = part_at(a, p, row, 0);
        int distance = a.head_size + 4;
        b2_softmax whole = b2_softmax_none();
        float output[piece] = {};

        for (int split = 0; split < a.splits; split++)
            whole.most = fmaxf(whole.most, from[split * distance + a.head_size]);
        for (int split = 0; split < a.splits; split++, from += distance) {
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

/* ---- 16-bit types: tensor cores ------------------------------------------------------------ */

/* A row of Q or K for one lane: step[i] is what it holds of 16 d, step[2i] and step[2i + 1] being
 * one load. Width 80 ends with half a load for one step. */
template <typename T, int width>
__device__ inline void load_steps(uint32_t step[width / 16][2], const T *row, int size, bool there,
                                  int c) {
#pragma unroll
    for (int i = 0; i < width / 32; i++) {
        int d = i * 32 + c * 8;
        uint4 unit = b2_load_16(row + d, there && d < size);

        step[2 * i][0] = unit.x;
        step[2 * i][1] = unit.y;
        step[2 * i + 1][0] = unit.z;
        step[2 * i + 1][1] = unit.w;
    }
    if constexpr (width % 32 != 0) {
        int d = width / 32 * 32 + c * 4;
        uint2 half = b2_load_8(row + d, there && d < size);

        step[width / 16 - 1][0] = half.x;
        step[width / 16 - 1][1] = half.y;
    }
}

template <typename T, int width>
__device__ inline void store_steps(T *row, const uint32_t step[width / 16][2], int size, int c) {
#pragma unroll
    for (int i = 0; i < width / 32; i++)
        if (i * 32 + c * 8 < size)
            b2_store_16(row + i * 32 + c * 8,
                        {step[2 * i][0], step[2 * i][1], step[2 * i + 1][0], step[2 * i + 1][1]});
    if constexpr (width % 32 != 0) {
        int d = width / 32 * 32 + c * 4;

        if (d < size)
            b2_store_8(row + d, {step[width / 16 - 1][0], step[width / 16 - 1][1]});
    }
}

/* A row of V for one lane: unit g of each 64 d; width 80 ends with a pair of d. */
template <int width> struct value_row {
    uint32_t unit[width / 64][4];
    uint32_t pair;
};

template <typename T, int width>
__device__ inline void load_values(value_row<width> *v, const T *row, int size, bool there, int g) {
#pragma unroll
    for (int i = 0; i < width / 64; i++) {
        int d = i * 64 + g * 8;
        uint4 unit = b2_load_16(row + d, there && d < size);

        v->unit[i][0] = unit.x;
        v->unit[i][1] = unit.y;
        v->unit[i][2] = unit.z;
        v->unit[i][3] = unit.w;
    }
    if constexpr (width % 64 != 0) {
        int d = width / 64 * 64 + g * 2;

        v->pair = b2_load_4(row + d, there && d < size);
    }
}

template <typename T, int width>
__device__ inline void store_values(T *row, const value_row<width> &v, int size, int g) {
#pragma unroll
    for (int i = 0; i < width / 64; i++)
        if (i * 64 + g * 8 < size)
            b2_store_16(row + i * 64 + g * 8,
                        {v.unit[i][0], v.unit[i][1], v.unit[i][2], v.unit[i][3]});
    if constexpr (width % 64 != 0) {
        int d = width / 64 * 64 + g * 2;

        if (d < size)
            *(uint32_t *)(row + d) = v.pair;
    }
}

/* O += P V. v: of keys 2c, 2c + 1, 2c + 8, 2c + 9. */
template <typename T, int width>
__device__ inline void add_values(float output[width / 8][4], const uint32_t weights[4],
                                  const value_row<width> v[4]) {
#pragma unroll
    for (int i = 0; i < width / 64; i++)
#pragma unroll
        for (int e = 0; e < 8; e += 2) {
            const uint32_t w[4] = {v[0].unit[i][e / 2], v[1].unit[i][e / 2], v[2].unit[i][e / 2],
                                   v[3].unit[i][e / 2]};

            b2_mma<T>(output[i * 8 + e], weights, b2_low_halves(w[0], w[1]),
                      b2_low_halves(w[2], w[3]));
            b2_mma<T>(output[i * 8 + e + 1], weights, b2_high_halves(w[0], w[1]),
                      b2_high_halves(w[2], w[3]));
        }
    if constexpr (width % 64 != 0) {
        b2_mma<T>(output[width / 8 - 2], weights, b2_low_halves(v[0].pair, v[1].pair),
                  b2_low_halves(v[2].pair, v[3].pair));
        b2_mma<T>(output[width / 8 - 1], weights, b2_high_halves(v[0].pair, v[1].pair),
                  b2_high_halves(v[2].pair, v[3].pair));
    }
}

template <typename T, int width> __device__ inline void attend(const b2_attention_args &a) {
    constexpr int steps = width / 16, tiles = width / 8;
    static_assert(width % 64 == 0 || width % 64 == 16, "the last loads are of one step");
    __shared__ findings<width> found;
    int lane = threadIdx.x & (B2_LANES - 1), warp = threadIdx.x / B2_LANES;
    int g = lane / 4, c = lane % 4, size = a.head_size;
    part p = part_of(a);
    uint32_t q[steps][4];
    float output[tiles][4] = {};
    b2_softmax softmax[2] = {b2_softmax_none(), b2_softmax_none()};

    if (p.n == 0)
        return;
    /* What every row sees. */
    int all_first = b2_seen_keys(a, p.s, ROWS - 1).first, all_last = b2_seen_keys(a, p.s, 0).last;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const T *row = (const T *)a.q + (p.start + g + i * 8) * a.q_stride + p.h * size;
        uint32_t step[steps][2];

        load_steps<T, width>(step, row, size, g + i * 8 < p.n, c);
#pragma unroll
        for (int k = 0; k < steps; k++) {
            q[k][i] = step[k][0];
            q[k][i + 2] = step[k][1];
        }
    }
    for (int j = p.first + warp * GROUP; j < p.last; j += WARPS * GROUP) {
        group<T> keys = group_at<T>(a, p, j);
        uint32_t k[2][steps][2], weights[1][4];
        value_row<width> v[4];
        float scores[2][4] = {}, multiplier = a.scale * B2_LOG2_E;
#pragma unroll
        for (int t = 0; t < 2; t++) {
            int key = j + t * 8 + g;

            load_steps<T, width>(k[t], key_row<T>(a, p, keys, B2_KEYS, key), size, key < p.last, c);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int key = j + c * 2 + (i & 1) + (i >> 1) * 8;

            load_values<T, width>(&v[i], key_row<T>(a, p, keys, B2_VALUES, key), size, key < p.last,
                                  g);
        }
        if (j + GROUP > p.old) {
#pragma unroll
            for (int t = 0; t < 2; t++) {
                int key = j + t * 8 + g;

                if (key >= p.old && key < p.last)
                    store_steps<T, width>(new_row<T>(a, p, B2_KEYS, key), k[t], size, c);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                int key = j + c * 2 + (i & 1) + (i >> 1) * 8;

                if (key >= p.old && key < p.last)
                    store_values<T, width>(new_row<T>(a, p, B2_VALUES, key), v[i], size, g);
            }
        }
#pragma unroll
        for (int i = 0; i < steps; i++)
#pragma unroll
            for (int t = 0; t < 2; t++)
                b2_mma<T>(scores[t], q[i], k[t][i][0], k[t][i][1]);
        if (a.bias != NULL) {
            b2_add_bias<GROUP>(a, p.s, p.h, scores, multiplier, g, j + c * 2);
            multiplier = 1.0f;
        }
        if (j < all_first || j + GROUP > all_last)
            b2_hide_keys<GROUP>(a, p.s, scores, g, j + c * 2);
        b2_weigh<T, tiles, GROUP>(weights, scores, output, softmax, multiplier);
        add_values<T, width>(output, weights[0], v);
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = g + i * 8;

        softmax[i].sum = b2_warp_sum<4>(softmax[i].sum);
        if (row >= p.n)
            continue;
            /* Of 64 elements: columns 2c and 2c + 1 of eight tiles are units 2c and 2c + 1. */
#pragma unroll
        for (int t = 0; t < width / 64 * 8; t += 4)
#pragma unroll
            for (int u = 0; u < 2; u++)
                found.output[warp][row][four_at(t / 8 * 16 + c * 4 + u * 2 + t / 4 % 2)] = {
                    output[t][2 * i + u], output[t + 1][2 * i + u], output[t + 2][2 * i + u],
                    output[t + 3][2 * i + u]};
        /* Of the last 16: even and odd ones. */
        if constexpr (width % 64 != 0)
            found.output[warp][row][four_at(width / 64 * 16 + c)] = {
                output[tiles - 2][2 * i], output[tiles - 1][2 * i], output[tiles - 2][2 * i + 1],
                output[tiles - 1][2 * i + 1]};
        if (c == 0)
            found.softmax[warp][row] = softmax[i];
    }
    merge<T, width>(a, p, found);
}

/* ---- fp32 ---------------------------------------------------------------------------------- */

enum { PASS = 4, BATCH = 8 }; /* query rows at a time; keys in flight, 64 registers of them */

/* One row sees BATCH keys from `key` on. All lanes have the same scores and weights. */
__device__ inline void see(const b2_attention_args &a, const part &p, int row, int key, float4 q,
                           const float4 k[BATCH], const float4 v[BATCH], float4 *output,
                           b2_softmax *softmax) {
    b2_key_range seen = b2_seen_keys(a, p.s, row);
    float scores[BATCH], most = B2_MINUS_INFINITY, factor, base;
#pragma unroll
    for (int i = 0; i < BATCH; i++) {
        float product = q.x * k[i].x + q.y * k[i].y + q.z * k[i].z + q.w * k[i].w;

        scores[i] = b2_warp_sum(product) * (a.scale * B2_LOG2_E);
        if (a.bias != NULL) {
            int at = key + i - b2_own_key(a, p.s, row) + a.bias_zero;

            at = min(max(at, 0), a.bias_span - 1);
            scores[i] += a.bias[(int64_t)p.h * a.bias_span + at] * B2_LOG2_E;
        }
        if (key + i < seen.first || key + i >= seen.last)
            scores[i] = B2_MINUS_INFINITY;
        most = fmaxf(most, scores[i]);
    }
    factor = b2_softmax_raise(softmax, most);
    base = b2_softmax_base(*softmax);
    *output = {output->x * factor, output->y * factor, output->z * factor, output->w * factor};
#pragma unroll
    for (int i = 0; i < BATCH; i++) {
        float weight = b2_exp2(scores[i] - base);

        softmax->sum += weight;
        output->x += weight * v[i].x;
        output->y += weight * v[i].y;
        output->z += weight * v[i].z;
        output->w += weight * v[i].w;
    }
}

__device__ inline void attend_f32(const b2_attention_args &a) {
    constexpr int width = B2_LANES * 4;
    __shared__ findings<width> found;
    int d = (threadIdx.x & (B2_LANES - 1)) * 4, warp = threadIdx.x / B2_LANES;
    part p = part_of(a);

    for (int first = 0; first < p.n; first += PASS) {
        float4 q[PASS], output[PASS] = {};
        b2_softmax softmax[PASS];
#pragma unroll
        for (int r = 0; r < PASS; r++) {
            const float *row = (const float *)a.q + (p.start + first + r) * a.q_stride;

            q[r] = load_four(row + p.h * a.head_size + d, first + r < p.n && d < a.head_size);
            softmax[r] = b2_softmax_none();
        }
        for (int j = p.first + warp * GROUP; j < p.last; j += WARPS * GROUP)
#pragma unroll
            for (int half = 0; half < GROUP; half += BATCH) {
                group<float> keys = group_at<float>(a, p, j);
                float4 k[BATCH], v[BATCH];
#pragma unroll
                for (int i = 0; i < BATCH; i++) {
                    int key = j + half + i;
                    bool there = key < p.last && d < a.head_size;

                    k[i] = load_four(key_row(a, p, keys, B2_KEYS, key) + d, there);
                    v[i] = load_four(key_row(a, p, keys, B2_VALUES, key) + d, there);
                }
                if (first == 0 && j + GROUP > p.old)
#pragma unroll
                    for (int i = 0; i < BATCH; i++) {
                        int key = j + half + i;

                        if (key >= p.old && key < p.last && d < a.head_size) {
                            store_four(new_row<float>(a, p, B2_KEYS, key) + d, k[i]);
                            store_four(new_row<float>(a, p, B2_VALUES, key) + d, v[i]);
                        }
                    }
#pragma unroll
                for (int r = 0; r < PASS; r++)
                    if (first + r < p.n)
                        see(a, p, first + r, j + half, q[r], k, v, &output[r], &softmax[r]);
            }
#pragma unroll
        for (int r = 0; r < PASS; r++)
            if (first + r < p.n) {
                found.output[warp][first + r][four_at(d / 4)] = output[r];
                if (d == 0)
                    found.softmax[warp][first + r] = softmax[r];
            }
    }
    if (p.n > 0)
        merge<float, width>(a, p, found);
}

/* blocks of an SM: what the registers are kept low enough for, with all loads of a group in flight:
 * up to 128 of them for width 64, 164 for 80, 234 for 128, 209 for fp32 (sm_80 to sm_120, no
 * spills); 18 to 35 KiB of shared memory. A block then has 16 to 32 KiB of keys and values on their
 * way; by arithmetic (3.35 TB/s, about 0.6 us, 132 SMs) an H100 wants 16 KiB an SM. */
#define B2_DECODE(name, call, blocks)                                                              \
    extern "C" __global__ void __launch_bounds__(B2_ATTENTION_THREADS, blocks)                     \
        b2_attention_decode_##name(const __grid_constant__ b2_attention_args a) {                  \
        call(a);                                                                                   \
    }

B2_DECODE(f32, attend_f32, 2)
B2_DECODE(f16_64, (attend<b2_f16, 64>), 4)
B2_DECODE(f16_80, (attend<b2_f16, 80>), 3)
B2_DECODE(f16_128, (attend<b2_f16, 128>), 2)
B2_DECODE(bf16_64, (attend<b2_bf16, 64>), 4)
B2_DECODE(bf16_80, (attend<b2_bf16, 80>), 3)
B2_DECODE(bf16_128, (attend<b2_bf16, 128>), 2)
