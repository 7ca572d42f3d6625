/* y = softmax(q k' under the rule) v on tensor cores: many query rows a segment (prompts, the ViT,
 * the Q-Former), keys packed or paged.
 *
 * A block is one tile of 64 query rows of one head of one segment, 16 rows a warp. It walks over
 * the keys that any of its rows sees in tiles of 64 (32 for head size 128):
 *
 *   global K, V [tile, D] -> shared (cp.async, the next tile on its way while this one is used)
 *   S [16, tile] = Q K'      Q stays in registers, K by ldmatrix
 *   P = 2^(S - largest)      in registers; sums in fp32, then P is rounded to T
 *   O [16, D] += P V         V by transposing ldmatrix; O in registers, fp32
 *
 * The C fragment of S is, two columns of tiles at a time, the A fragment of P: scores never leave
 * their lane. Head sizes that are no tile size (88) take the next one, the missing columns being
 * zeros that the copies fill in.
 *
 * Shared memory: units of 16 bytes (8 elements), a row of D / 8 units after the other. A unit
 * stands not in its own column but in column swizzle(unit, row), such that eight rows' units of one
 * column, what ldmatrix reads at once, lie in different banks. Writing rows stays free of conflicts
 * too.
 *
 * Two tiles of K and V take 32 to 48 KiB: static memory, at least two blocks on every GPU from
 * sm_80 on. Attention is 3 % of ViT-g's arithmetic (257 keys, D 88): nothing finer pays.        */
#include "keys.cuh"
#include "scores.cuh"

enum { WARPS = B2_ATTENTION_THREADS / B2_LANES, GROUP = B2_ATTENTION_GROUP };

/* Row r starts in bank group r * units % 8 of the eight groups of four banks. Where that takes only
 * 8 / x values, x rows in line differ in the lower bits of their columns instead. */
template <int units> __device__ constexpr int swizzle(int unit, int row) {
    constexpr int mask = units % 8 == 0 ? 7 : units % 4 == 0 ? 3 : 1;
    int x = (units % 8 == 0 ? row : units % 4 == 0 ? row >> 1 : row >> 2) & mask;

    return (unit & ~mask) + ((unit & mask) ^ x);
}

/* Unit `unit` of row `row` of a tile at `shared`. */
template <int units> __device__ inline uint32_t unit_at(uint32_t shared, int unit, int row) {
    return shared + (uint32_t)((row * units + swizzle<units>(unit, row)) * 16);
}

/* Which of the first eight rows of a group a lane copies. Four lanes copy a row, four units of it
 * at a time; eight neighbours, whose writes go together, take two rows in different halves of the
 * banks. */
template <int units> __device__ inline int copied_row(int lane) {
    constexpr int apart = units % 8 == 0 ? 4 : units % 4 == 0 ? 1 : 2;
    int q = lane / 4;

    return (q & ~(apart | 1)) | (q & 1) * apart | (q / apart & 1);
}

/* One warp begins to copy the first `count` of 16 rows of `size` units to rows to .. to + 15 of a
 * tile, and zeros for what is missing to 16 rows of `units`.
 *
 * Every other head of size 88 starts in the middle of a sector of 32 bytes. There the four lanes
 * begin one unit in front of the row, so that they too ask for whole sectors: what stands in front
 * takes the place of the unit that is missing at the end. */
template <typename T, int units>
__device__ inline void copy_group(uint32_t tile, int to, b2_head_rows<T> rows, int count, int size,
                                  int lane) {
    constexpr bool whole = units % 4 == 0; /* no lane is ever past the end of a row */
    int column = lane % 4;
    bool between = units == 12 && size < units && (uintptr_t)rows.first % 32 != 0;
#pragma unroll
    for (int row = copied_row<units>(lane), i = 0; i < 2; i++, row += 8)
#pragma unroll
        for (int k = 0; k < units; k += 4) {
            int unit = column + k - between;

            if (k == 0 && unit < 0)
                unit = units - 1;
            bool there = row < count && unit < size;
            const T *from = there ? rows.first + row * (int)rows.stride + unit * 8 : rows.first;

            if (whole || unit < units)
                b2_copy_16(unit_at<units>(tile, unit, to + row), from, there ? 16 : 0);
        }
}

/* The block's warps begin to copy keys and values j .. j + keys - 1 of its segment, as far as they
 * are below `last`, to a tile of keys and one of values behind it. A warp copies one group of 16
 * keys, or its values, or both: one row distance and one page, which is looked up once. */
template <typename T, int units, int keys>
__device__ inline void copy_tile(const b2_attention_args &a, int s, int h, uint32_t tile, int j,
                                 int last, int warp, int lane) {
    constexpr int groups = keys / GROUP;
    static_assert(WARPS % groups == 0 && WARPS <= 2 * groups, "a warp stays with its group");
    int group = warp % groups, key = j + group * GROUP, count = last - key;
    b2_place place = {0, 0};

    if (count > 0)
        place = b2_place_of(a, s, key);
#pragma unroll
    for (int i = 0; i < 2 * groups / WARPS; i++) {
        int which = WARPS == groups ? i : warp / groups;

        copy_group<T, units>(tile, which * keys + group * GROUP, b2_rows_at<T>(a, place, which, h),
                             count, a.head_size / 8, lane);
    }
}

/* What a lane keeps of its two query rows, g and g + 8 of the warp's 16. */
template <int units> struct rows {
    uint32_t q[units / 2][4];
    float o[units][4];
    b2_softmax softmax[2];
};

/* scores[t] = C fragment of keys 8t .. 8t+7 of the tile. */
template <typename T, int units, int keys>
__device__ inline void score(float scores[keys / 8][4], const rows<units> &r, uint32_t tile,
                             int lane) {
    /* Matrices of one ldmatrix: keys 0-7 and 8-15, of each the units 2k and 2k+1. */
    int row = (lane & 7) + (lane >> 4) * 8, side = lane >> 3 & 1;
#pragma unroll
    for (int t = 0; t < keys / 8; t++)
#pragma unroll
        for (int e = 0; e < 4; e++)
            scores[t][e] = 0.0f;
#pragma unroll
    for (int k = 0; k < units / 2; k++)
#pragma unroll
        for (int t = 0; t < keys / 8; t += 2) {
            uint32_t b[4];

            b2_load_matrices(b, unit_at<units>(tile, 2 * k + side, t * 8 + row));
            b2_mma<T>(scores[t], r.q[k], b[0], b[1]);
            b2_mma<T>(scores[t + 1], r.q[k], b[2], b[3]);
        }
}

/* O += P V, for P = weights as A fragments of 16 keys each. */
template <typename T, int units, int keys>
__device__ inline void add_values(rows<units> &r, const uint32_t weights[keys / 16][4],
                                  uint32_t tile, int lane) {
    /* Matrices of one ldmatrix: units n and n+1, of each the keys 0-7 and 8-15. */
    int row = lane & 15, side = lane >> 4;
#pragma unroll
    for (int k = 0; k < keys / 16; k++)
#pragma unroll
        for (int n = 0; n < units; n += 2) {
            uint32_t b[4];

            b2_load_matrices_transposed(b, unit_at<units>(tile, n + side, keys + k * 16 + row));
            b2_mma<T>(r.o[n], weights[k], b[0], b[1]);
            b2_mma<T>(r.o[n + 1], weights[k], b[2], b[3]);
        }
}

/* The warp's 16 rows from row `row` of the segment, through its own 16 rows of shared memory, so
 * that whole units are stored. */
template <typename T, int units>
__device__ inline void store(const b2_attention_args &a, int s, int h, int row, rows<units> &r,
                             uint4 *shared, int lane) {
    uint32_t *words = (uint32_t *)shared;
    int start = a.q_start[s] + row, count = a.q_start[s + 1] - start;
    float divisor[2];
#pragma unroll
    for (int i = 0; i < 2; i++)
        divisor[i] = b2_softmax_divisor(b2_warp_sum<4>(r.softmax[i].sum));
#pragma unroll
    for (int n = 0; n < units; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int to = lane / 4 + i * 8;

            words[(to * units + swizzle<units>(n, to)) * 4 + lane % 4] =
                b2_pack<T>(r.o[n][2 * i] * divisor[i], r.o[n][2 * i + 1] * divisor[i]);
        }
    __syncwarp(); /* orders the words written above before the units read below */
#pragma unroll
    for (int i = 0; i < 16 * units / B2_LANES; i++) {
        int at = i * B2_LANES + lane, from = at / units, unit = at % units;

        if (from < count && unit < a.head_size / 8) {
            T *y = (T *)a.y + (start + from) * a.y_stride + h * a.head_size + unit * 8;

            *(uint4 *)y = shared[from * units + swizzle<units>(unit, from)];
        }
    }
}

/* Where a warp stands: 16 rows of a segment and head, and the keys that all of them see. */
struct place {
    int s, h, row;
    int all_first, all_last;
};

/* The warp's rows see the tile of keys from key j on. */
template <typename T, int units, int keys>
__device__ inline void see(const b2_attention_args &a, const place &p, rows<units> &r,
                           uint32_t tile, int j, int lane) {
    float scores[keys / 8][4], multiplier = a.scale * B2_LOG2_E;
    int row = p.row + lane / 4, key = j + lane % 4 * 2;
    uint32_t weights[keys / 16][4];

    score<T, units, keys>(scores, r, tile, lane);
    if (a.bias != NULL) {
        b2_add_bias<keys>(a, p.s, p.h, scores, multiplier, row, key);
        multiplier = 1.0f;
    }
    if (j < p.all_first || j + keys > p.all_last)
        b2_hide_keys<keys>(a, p.s, scores, row, key);
    b2_weigh<T, units, keys>(weights, scores, r.o, r.softmax, multiplier);
    add_values<T, units, keys>(r, weights, tile, lane);
}

/* Begins to copy the warp's rows of Q, as far as there are any. */
template <typename T, int units>
__device__ inline void copy_queries(const b2_attention_args &a, const place &p, uint32_t tile,
                                    int warp, int lane) {
    int64_t row = a.q_start[p.s] + p.row;
    int count = a.q_start[p.s + 1] - (int)row;
    const T *q = (const T *)a.q;

    if (count > 0)
        q += row * a.q_stride + p.h * a.head_size;
    copy_group<T, units>(tile, warp * 16, {q, a.q_stride}, count, a.head_size / 8, lane);
}

template <typename T, int units, int keys>
__device__ inline void attend(const b2_attention_args &a) {
    constexpr int tile_units = 2 * keys * units; /* keys, then values */
    static_assert(tile_units >= B2_ATTENTION_ROWS * units, "Q and y pass through one tile");
    __shared__ uint4 shared[2][tile_units];
    int lane = threadIdx.x & (B2_LANES - 1), warp = threadIdx.x / B2_LANES;
    int s = (int)blockIdx.z, h = (int)blockIdx.y, n = a.q_start[s + 1] - a.q_start[s];
    int kv = h / a.group; /* the head of keys and values */
    int block_row = (int)blockIdx.x * B2_ATTENTION_ROWS, row = block_row + warp * 16;
    bool idle = row >= n; /* this warp has no rows and only copies */
    rows<units> r = {{}, {}, {b2_softmax_none(), b2_softmax_none()}};

    if (block_row >= n)
        return;
    /* Keys that any row of the block sees, in whole tiles at the front: a row's sums do not depend
     * on the other rows there. */
    int first = b2_seen_keys(a, s, block_row).first / keys * keys;
    int last = b2_seen_keys(a, s, block_row + B2_ATTENTION_ROWS - 1).last, stage = 0;
    place p = {s, h, row, b2_seen_keys(a, s, row + 15).first, b2_seen_keys(a, s, row).last};

    /* Q goes through the second tile. Each warp reads only what it copied itself. */
    uint32_t q = b2_shared_address(shared[1]);
    copy_queries<T, units>(a, p, q, warp, lane);
    b2_copy_commit();
    if (first < last)
        copy_tile<T, units, keys>(a, s, kv, b2_shared_address(shared[0]), first, last, warp, lane);
    b2_copy_commit();
    b2_copy_wait<1>();
    __syncwarp(); /* orders the copies of Q by all lanes before the reads below */
#pragma unroll
    for (int k = 0; k < units / 2; k++)
        b2_load_matrices(r.q[k], unit_at<units>(q, 2 * k + lane / 16, warp * 16 + lane % 16));
    for (int j = first; j < last; j += keys, stage ^= 1) {
        b2_copy_wait<0>();
        /* Orders all copies of this tile before their reads, and the reads of the tile before (of
         * Q, the first time) before the copies that now replace it. */
        __syncthreads();
        if (j + keys < last)
            copy_tile<T, units, keys>(a, s, kv, b2_shared_address(shared[stage ^ 1]), j + keys,
                                      last, warp, lane);
        b2_copy_commit();
        if (!idle)
            see<T, units, keys>(a, p, r, b2_shared_address(shared[stage]), j, lane);
    }
    /* shared[stage] would have been the next tile: all warps are done with it. */
    if (!idle)
        store<T, units>(a, s, h, row, r, shared[stage] + warp * 16 * units, lane);
}

/* Three blocks of an SM: 168 registers, which every head size takes (80 to 112 are fragments, the
 * rest is what ptxas keeps in flight). Four blocks of head size 64 spill 12 to 56 bytes. */
#define B2_PREFILL(type, T, width, keys)                                                           \
    extern "C" __global__ void __launch_bounds__(B2_ATTENTION_THREADS, 3)                          \
        b2_attention_##type##_##width(const __grid_constant__ b2_attention_args a) {               \
        attend<T, width / 8, keys>(a);                                                             \
    }

B2_PREFILL(f16, b2_f16, 64, 64)
B2_PREFILL(f16, b2_f16, 80, 64)
B2_PREFILL(f16, b2_f16, 96, 64)
B2_PREFILL(f16, b2_f16, 128, 32)
B2_PREFILL(bf16, b2_bf16, 64, 64)
B2_PREFILL(bf16, b2_bf16, 80, 64)
B2_PREFILL(bf16, b2_bf16, 96, 64)
B2_PREFILL(bf16, b2_bf16, 128, 32)
