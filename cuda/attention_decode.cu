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
 * The host splits for the longest segment, or for a longer one (a captured step). A segment has no
 * more parts than it has keys for: blocks beyond leave at once, and nobody waits for them.
 *
 * With slots, keys and values of the query rows themselves come from the matrices k and v, and the
 * warp that reads them stores them into their pages: a step needs no launch before this one.    */
#include "decode.cuh"

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

/* A lane's share of a group: keys g and g + 8; values of keys 2c, 2c + 1, 2c + 8, 2c + 9. */
template <int width> struct fragments {
    uint32_t k[2][width / 16][2];
    value_row<width> v[4];
};

/* The keys of the group that the lane holds k[t] and v[i] of. */
__device__ inline int key_of(int j, int t, int lane) {
    return j + t * 8 + lane / 4;
}

__device__ inline int value_of(int j, int i, int lane) {
    return j + lane % 4 * 2 + (i & 1) + (i >> 1) * 8;
}

template <typename T, int width>
__device__ inline void load_group(fragments<width> *f, const b2_attention_args &a, const part &p,
                                  int j, int lane) {
    group<T> g = group_at<T>(a, p, j);
#pragma unroll
    for (int t = 0; t < 2; t++) {
        int key = key_of(j, t, lane);

        load_steps<T, width>(f->k[t], key_row<T>(a, p, g, B2_KEYS, key), a.head_size, key < p.last,
                             lane % 4);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int key = value_of(j, i, lane);

        load_values<T, width>(&f->v[i], key_row<T>(a, p, g, B2_VALUES, key), a.head_size,
                              key < p.last, lane / 4);
    }
}

/* New keys and values of the group into their pages. */
template <typename T, int width>
__device__ inline void store_new(const fragments<width> &f, const b2_attention_args &a,
                                 const part &p, int j, int lane) {
#pragma unroll
    for (int t = 0; t < 2; t++) {
        int key = key_of(j, t, lane);

        if (key >= p.old && key < p.last)
            store_steps<T, width>(new_row<T>(a, p, B2_KEYS, key), f.k[t], a.head_size, lane % 4);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int key = value_of(j, i, lane);

        if (key >= p.old && key < p.last)
            store_values<T, width>(new_row<T>(a, p, B2_VALUES, key), f.v[i], a.head_size, lane / 4);
    }
}

/* Rows g and g + 8 of the segment as A fragments; rows past its end are zeros. */
template <typename T, int width>
__device__ inline void load_queries(uint32_t q[width / 16][4], const b2_attention_args &a,
                                    const part &p, int lane) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = lane / 4 + i * 8;
        const T *from = (const T *)a.q + (p.start + row) * a.q_stride + p.h * a.head_size;
        uint32_t step[width / 16][2];

        load_steps<T, width>(step, from, a.head_size, row < p.n, lane % 4);
#pragma unroll
        for (int k = 0; k < width / 16; k++) {
            q[k][i] = step[k][0];
            q[k][i + 2] = step[k][1];
        }
    }
}

/* A lane's output and softmax of rows g and g + 8, to where merge reads them. */
template <int width>
__device__ inline void write_down(findings<width> *found, const part &p,
                                  const float output[width / 8][4], const b2_softmax softmax[2],
                                  int warp, int lane) {
    constexpr int tiles = width / 8;
    float sums[2] = {b2_warp_sum<4>(softmax[0].sum), b2_warp_sum<4>(softmax[1].sum)};
    int c = lane % 4;
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = lane / 4 + i * 8;
        float4 *to = found->output[warp][row];

        if (row >= p.n)
            break;
            /* Of 64 elements: columns 2c and 2c + 1 of eight tiles are units 2c and 2c + 1. */
#pragma unroll
        for (int t = 0; t < width / 64 * 8; t += 4)
#pragma unroll
            for (int u = 0; u < 2; u++)
                to[four_at(t / 8 * 16 + c * 4 + u * 2 + t / 4 % 2)] = {
                    output[t][2 * i + u], output[t + 1][2 * i + u], output[t + 2][2 * i + u],
                    output[t + 3][2 * i + u]};
        /* Of the last 16: even and odd ones. */
        if constexpr (width % 64 != 0)
            to[four_at(width / 64 * 16 + c)] = {output[tiles - 2][2 * i], output[tiles - 1][2 * i],
                                                output[tiles - 2][2 * i + 1],
                                                output[tiles - 1][2 * i + 1]};
        if (c == 0)
            found->softmax[warp][row] = {softmax[i].most, sums[i]};
    }
}

template <typename T, int width> __device__ inline void attend(const b2_attention_args &a) {
    static_assert(width % 64 == 0 || width % 64 == 16, "the last loads are of one step");
    __shared__ findings<width> found;
    int lane = threadIdx.x & (B2_LANES - 1), warp = threadIdx.x / B2_LANES;
    part p = part_of(a);
    uint32_t q[width / 16][4];
    float output[width / 8][4] = {};
    b2_softmax softmax[2] = {b2_softmax_none(), b2_softmax_none()};

    if (p.n == 0 || (int)blockIdx.x >= p.parts)
        return;
    /* What every row sees. */
    int all_first = b2_seen_keys(a, p.s, ROWS - 1).first, all_last = b2_seen_keys(a, p.s, 0).last;

    load_queries<T, width>(q, a, p, lane);
    for (int j = p.first + warp * GROUP; j < p.last; j += WARPS * GROUP) {
        int row = lane / 4, key = j + lane % 4 * 2;
        float scores[2][4] = {}, multiplier = a.scale * B2_LOG2_E;
        uint32_t weights[1][4];
        fragments<width> f;

        load_group<T, width>(&f, a, p, j, lane);
        if (j + GROUP > p.old && b2_stores(a, p))
            store_new<T, width>(f, a, p, j, lane);
#pragma unroll
        for (int i = 0; i < width / 16; i++)
#pragma unroll
            for (int t = 0; t < 2; t++)
                b2_mma<T>(scores[t], q[i], f.k[t][i][0], f.k[t][i][1]);
        if (a.bias != NULL) {
            b2_add_bias<GROUP>(a, p.s, p.h, scores, multiplier, row, key);
            multiplier = 1.0f;
        }
        if (j < all_first || j + GROUP > all_last)
            b2_hide_keys<GROUP>(a, p.s, scores, row, key);
        b2_weigh<T, width / 8, GROUP>(weights, scores, output, softmax, multiplier);
        add_values<T, width>(output, weights[0], f.v);
    }
    write_down<width>(&found, p, output, softmax, warp, lane);
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

/* Keys and values j .. j + BATCH - 1, four d from d on; with `store` new ones go to their pages. */
__device__ inline void load_batch(float4 k[BATCH], float4 v[BATCH], const b2_attention_args &a,
                                  const part &p, int j, int d, bool store) {
    group<float> g = group_at<float>(a, p, j);
#pragma unroll
    for (int i = 0; i < BATCH; i++) {
        bool there = j + i < p.last && d < a.head_size;

        k[i] = load_four(key_row(a, p, g, B2_KEYS, j + i) + d, there);
        v[i] = load_four(key_row(a, p, g, B2_VALUES, j + i) + d, there);
    }
    if (!store || j + BATCH <= p.old || d >= a.head_size)
        return;
#pragma unroll
    for (int i = 0; i < BATCH; i++)
        if (j + i >= p.old && j + i < p.last) {
            store_four(new_row<float>(a, p, B2_KEYS, j + i) + d, k[i]);
            store_four(new_row<float>(a, p, B2_VALUES, j + i) + d, v[i]);
        }
}

__device__ inline void attend_f32(const b2_attention_args &a) {
    constexpr int width = B2_LANES * 4;
    __shared__ findings<width> found;
    int d = (threadIdx.x & (B2_LANES - 1)) * 4, warp = threadIdx.x / B2_LANES;
    part p = part_of(a);

    if (p.n == 0 || (int)blockIdx.x >= p.parts)
        return;
    for (int first = 0; first < p.n; first += PASS) {
        float4 q[PASS], output[PASS] = {};
        b2_softmax softmax[PASS];
#pragma unroll
        for (int r = 0; r < PASS; r++) {
            const float *row = (const float *)a.q + (p.start + first + r) * a.q_stride;

            q[r] = load_four(row + p.h * a.head_size + d, first + r < p.n && d < a.head_size);
            softmax[r] = b2_softmax_none();
        }
        /* Two batches are a group. */
        for (int j = p.first + warp * GROUP; j < p.last;
             j += j % GROUP == 0 ? BATCH : (WARPS - 1) * GROUP + BATCH) {
            float4 k[BATCH], v[BATCH];

            load_batch(k, v, a, p, j, d, first == 0 && b2_stores(a, p));
#pragma unroll
            for (int r = 0; r < PASS; r++)
                if (first + r < p.n)
                    see(a, p, first + r, j, q[r], k, v, &output[r], &softmax[r]);
        }
#pragma unroll
        for (int r = 0; r < PASS; r++)
            if (first + r < p.n) {
                found.output[warp][first + r][four_at(d / 4)] = output[r];
                if (d == 0)
                    found.softmax[warp][first + r] = softmax[r];
            }
    }
    merge<float, width>(a, p, found);
}

/* blocks of an SM: what the registers are kept low enough for, with all loads of a group in flight:
 * up to 128 of them for width 64, 163 for 80, 237 for 128, 199 for fp32 (sm_80 to sm_120, no
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
