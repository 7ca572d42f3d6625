/* Rows that are looked up or moved: a block a row, each of its bytes read and written once. A row
 * is a few kilobytes in one piece, and where it stands is known after one read of its index. */
#include "kernels.h"
#include "vec.cuh"

/* Row i of `rows`, or i itself where there is no such array. */
__device__ inline int64_t index_of(const int32_t *rows, int i) {
    return rows != NULL ? rows[i] : i;
}

/* With accumulate the rows must be distinct: two blocks would add to one row at the same time. */
template <typename T> __device__ inline void embed(const b2_embed_args &a) {
    int i = (int)blockIdx.x;
    const T *from = (const T *)a.table + a.ids[i] * a.table_stride;
    float *to = a.y + index_of(a.rows, i) * a.y_stride;
    bool aligned = b2_aligned(from) && b2_aligned(to);

    for (int j = (int)threadIdx.x * B2_UNIT; j < a.cols; j += B2_ROW_THREADS * B2_UNIT) {
        float4 v = b2_load(from + j, a.cols - j, aligned);

        if (a.accumulate)
            v = b2_add(b2_load(to + j, a.cols - j, aligned), v);
        b2_store(to + j, v, a.cols - j, aligned);
    }
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_embed_f32(const __grid_constant__ b2_embed_args a) {
    embed<float>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_embed_f16(const __grid_constant__ b2_embed_args a) {
    embed<b2_f16>(a);
}

extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_embed_bf16(const __grid_constant__ b2_embed_args a) {
    embed<b2_bf16>(a);
}

/* Bytes are bytes: rows are copied as words of 16 bytes, or of 4 where they do not start so. */
extern "C" __global__ void __launch_bounds__(B2_ROW_THREADS)
    b2_copy_rows(const __grid_constant__ b2_copy_rows_args a) {
    int i = (int)blockIdx.x, whole = 0;
    const char *from = (const char *)a.x + index_of(a.x_rows, i) * a.x_stride;
    char *to = (char *)a.y + index_of(a.y_rows, i) * a.y_stride;

    if (((uintptr_t)from | (uintptr_t)to) % sizeof(uint4) == 0)
        whole = a.bytes / (int)sizeof(uint4);
    for (int j = (int)threadIdx.x; j < whole; j += B2_ROW_THREADS)
        ((uint4 *)to)[j] = ((const uint4 *)from)[j];
    for (int j = whole * 4 + (int)threadIdx.x; j < a.bytes / 4; j += B2_ROW_THREADS)
        ((uint32_t *)to)[j] = ((const uint32_t *)from)[j];
}
