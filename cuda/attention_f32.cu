/* y = softmax(q k' under the rule) v without tensor cores: exact fp32, and every shape and mixture
 * of types that the fast kernels refuse. Any head size up to 256, any strides.
 *
 * A block is one tile of 16 query rows of one head of one segment, four rows a warp. It walks over
 * the keys that any of its rows sees, 32 at a time, in pieces of 128 d that pass through one tile
 * of shared memory in fp32:
 *
 *   scores    a lane is a key: four dot products with rows of q that all lanes read at once
 *   weights   to shared memory, one float4 of the four rows for each key
 *   output    a lane is every 32nd d: 4 x 8 sums in registers
 *
 * Loads from global memory are of one element: neighbours read neighbours, which is whole sectors
 * for every head size and alignment, and the exact runs this is for are not bound by them.       */
#include "keys.cuh"
#include "scores.cuh"

enum {
    WARPS = B2_ATTENTION_THREADS / B2_LANES,
    ROWS = B2_ATTENTION_PLAIN_ROWS / WARPS, /* query rows of a warp */
    MAX_D = B2_ATTENTION_PLAIN_HEAD,
    KEYS = B2_LANES,
    PIECE = 128,            /* d of the tile */
    OWN = PIECE / B2_LANES, /* d of a piece that a lane sums */
    PIECES = MAX_D / PIECE,
    DISTANCE = PIECE + 4 /* of rows of the tile: lanes that read float4 of their key meet no bank
                          * twice, as an odd number of float4 lies between them */
};
static_assert(ROWS == 4, "the weights of a key are one float4");

struct tiles {
    float4 q[WARPS][ROWS][MAX_D / 4]; /* multiplied by the scale */
    float kv[KEYS][DISTANCE];
    float4 weights[WARPS][KEYS];
};

/* Elements d .. d + PIECE - 1 of keys (or values) j .. j + KEYS - 1, as far as they are below
 * `last` and the head size; zeros for the rest. A warp loads every fourth key: first all their
 * places, then all their elements, so that a tile costs two waits for memory and not sixteen. */
template <typename T>
__device__ inline void load_tile(const b2_attention_args &a, tiles *t, int which, int j, int last,
                                 int d, int warp, int lane) {
    const T *from[KEYS / WARPS];
    int head = (int)blockIdx.y / a.group;
#pragma unroll
    for (int i = 0; i < KEYS / WARPS; i++) {
        int key = j + i * WARPS + warp;

        from[i] = NULL;
        if (key < last)
            from[i] = b2_rows_at<T>(a, b2_place_of(a, (int)blockIdx.z, key), which, head).first + d;
    }
#pragma unroll
    for (int i = 0; i < KEYS / WARPS; i++)
#pragma unroll
        for (int e = lane; e < PIECE; e += B2_LANES)
            t->kv[i * WARPS + warp][e] =
                from[i] != NULL && d + e < a.head_size ? b2_widen(from[i][e]) : 0.0f;
}

/* The tile is full when this returns, and nobody read it any more when it was filled. */
__device__ inline void fill_tile(const b2_attention_args &a, tiles *t, int which, int j, int last,
                                 int d, int warp, int lane) {
    __syncthreads(); /* orders the reads of what the tile held before the writes below */
    if (a.kv_type == 0)
        load_tile<float>(a, t, which, j, last, d, warp, lane);
    else if (a.kv_type == 1)
        load_tile<b2_f16>(a, t, which, j, last, d, warp, lane);
    else
        load_tile<b2_bf16>(a, t, which, j, last, d, warp, lane);
    __syncthreads(); /* orders the writes above (of Q too, the first time) before all reads */
}

/* The lane's key against the warp's rows. */
__device__ inline void score(float scores[ROWS], const tiles *t, int d, int size, int warp,
                             int lane) {
    for (int i = 0; i < PIECE && d + i < size; i += 4) {
        float4 k = *(const float4 *)&t->kv[lane][i];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            float4 q = t->q[warp][r][(d + i) / 4];

            scores[r] += q.x * k.x + q.y * k.y + q.z * k.z + q.w * k.w;
        }
    }
}

/* Scores of a key, in base 2 already, become weights, which can be read after the next fill_tile.
 */
__device__ inline void weigh(const b2_attention_args &a, tiles *t, float scores[ROWS],
                             float output[ROWS][PIECES][OWN], b2_softmax softmax[ROWS], int row,
                             int key, int warp, int lane) {
    int s = (int)blockIdx.z;
    float weights[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        b2_key_range seen = b2_seen_keys(a, s, row + r);
        float factor;

        if (a.bias != NULL) {
            int at = key - b2_own_key(a, s, row + r) + a.bias_zero;

            at = min(max(at, 0), a.bias_span - 1);
            scores[r] += a.bias[(int64_t)blockIdx.y * a.bias_span + at] * B2_LOG2_E;
        }
        if (key < seen.first || key >= seen.last)
            scores[r] = B2_MINUS_INFINITY;
        factor = b2_softmax_raise(&softmax[r], b2_warp_max(scores[r]));
        weights[r] = b2_exp2(scores[r] - b2_softmax_base(softmax[r]));
        softmax[r].sum += weights[r]; /* this lane's share */
#pragma unroll
        for (int i = 0; i < PIECES; i++)
#pragma unroll
            for (int e = 0; e < OWN; e++)
                output[r][i][e] *= factor;
    }
    t->weights[warp][lane] = {weights[0], weights[1], weights[2], weights[3]};
}

__device__ inline void add_values(float output[ROWS][PIECES][OWN], const tiles *t, int piece,
                                  int size, int warp, int lane) {
#pragma unroll 4
    for (int j = 0; j < KEYS; j++) {
        float4 weight = t->weights[warp][j];
#pragma unroll
        for (int e = 0; e < OWN; e++)
            if (piece * PIECE + e * B2_LANES < size) {
                float v = t->kv[j][e * B2_LANES + lane];

                output[0][piece][e] += weight.x * v;
                output[1][piece][e] += weight.y * v;
                output[2][piece][e] += weight.z * v;
                output[3][piece][e] += weight.w * v;
            }
    }
}

template <typename T> __device__ inline void attend(const b2_attention_args &a) {
    __shared__ tiles t;
    int lane = threadIdx.x & (B2_LANES - 1), warp = threadIdx.x / B2_LANES;
    int s = (int)blockIdx.z, h = (int)blockIdx.y, size = a.head_size;
    int start = a.q_start[s], n = a.q_start[s + 1] - start;
    int block_row = (int)blockIdx.x * B2_ATTENTION_PLAIN_ROWS, row = block_row + warp * ROWS;
    float output[ROWS][PIECES][OWN] = {};
    b2_softmax softmax[ROWS];

    if (block_row >= n)
        return;
    int first = b2_seen_keys(a, s, block_row).first / KEYS * KEYS; /* as prefill has it */
    int last = b2_seen_keys(a, s, block_row + B2_ATTENTION_PLAIN_ROWS - 1).last;

    for (int r = 0; r < ROWS; r++) {
        const T *q = (const T *)a.q + (start + min(row + r, n - 1)) * a.q_stride + h * size;
        float *to = (float *)t.q[warp][r];

        for (int d = lane; d < (size + 3) / 4 * 4; d += B2_LANES)
            to[d] = d < size ? b2_widen(q[d]) * (a.scale * B2_LOG2_E) : 0.0f;
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        softmax[r] = b2_softmax_none();
    for (int j = first; j < last; j += KEYS) {
        float scores[ROWS] = {};

        for (int d = 0; d < size; d += PIECE) {
            fill_tile(a, &t, B2_KEYS, j, last, d, warp, lane);
            score(scores, &t, d, size, warp, lane);
        }
        weigh(a, &t, scores, output, softmax, row, j + lane, warp, lane);
#pragma unroll
        for (int i = 0; i < PIECES; i++)
            if (i * PIECE < size) {
                fill_tile(a, &t, B2_VALUES, j, last, i * PIECE, warp, lane);
                add_values(output, &t, i, size, warp, lane);
            }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float divisor = b2_softmax_divisor(b2_warp_sum(softmax[r].sum));
        T *y = (T *)a.y + (start + row + r) * a.y_stride + h * size;
#pragma unroll
        for (int i = 0; i < PIECES * OWN; i++) {
            int d = i * B2_LANES + lane;

            if (row + r < n && d < size)
                y[d] = b2_narrow<T>(output[r][i / OWN][i % OWN] * divisor);
        }
    }
}

/* Four blocks of an SM: up to 128 registers (127 on sm_120, about 110 elsewhere) and 4 x 35 KiB of
 * shared memory, where it has so much; six blocks spill 64 bytes. */
#define B2_PLAIN(type, T)                                                                          \
    extern "C" __global__ void __launch_bounds__(B2_ATTENTION_THREADS, 4)                          \
        b2_attention_##type(const __grid_constant__ b2_attention_args a) {                         \
        attend<T>(a);                                                                              \
    }

B2_PLAIN(f32, float)
B2_PLAIN(f16, b2_f16)
B2_PLAIN(bf16, b2_bf16)
