/* Every kernel of the CUDA device by name, with its one argument struct: included by the host (C11)
 * and by the kernels (CUDA C++), so that both see the same layout.
 *
 * A kernel is `extern "C" __global__ void NAME(const __grid_constant__ ARGS a)`; the host finds it
 * by name and launches it through cuda/launch.h, the only place that launches. A struct has named
 * fields, 64-bit strides in elements, and a shape on every pointer. Letters: host/device.h.
 * Every byte of it is a field (`unused` where there would be a gap), and its layout is written down
 * in tests/cuda_kernels/layout.h, which both compilers check: a field that is added goes there too.
 *
 * Types: x is a residual stream or another fp32 matrix; T stands for the activations' type, in the
 * kernel's suffix: _f32, _f16, _bf16. Sums are fp32 everywhere.                               */
#ifndef B2_KERNELS_H
#define B2_KERNELS_H
#include <stdint.h>

/* Unless a kernel says otherwise it is launched with one block of B2_ROW_THREADS threads for each
 * row of its output, without dynamic shared memory: grid (rows). Rows number up to 2^31 - 1. */
enum { B2_ROW_THREADS = 256 };

/* ---- norm.cu ------------------------------------------------------------------------------- */

/* Up to so many columns a warp takes a row, grid (ceil(rows / B2_NORM_ROWS)); else a block. */
enum { B2_NORM_WARP_COLS = 1024, B2_NORM_ROWS = B2_ROW_THREADS / 32 };

/* s = x + add; y = LayerNorm(s) or RMSNorm(s). b2_norm_f32, b2_norm_f16, b2_norm_bf16 (T of y). */
typedef struct b2_norm_args {
    const float *x, *add;      /* [N, C]; add NULL: none */
    const float *gamma, *beta; /* [C]; beta NULL: none */
    void *y;                   /* [N, C] T */
    float *sum;                /* [N, C] or NULL */
    int64_t x_stride, add_stride, y_stride, sum_stride;
    int32_t rows, cols;
    float eps;
    int32_t rms; /* 0: LayerNorm */
} b2_norm_args;

/* ---- rows.cu ----------------------------------------------------------------------------- */

/* y[rows[i]] (+)= table[ids[i]], rows distinct. b2_embed_f32, _f16, _bf16 (type of the table); y is
 * fp32. */
typedef struct b2_embed_args {
    const void *table;   /* [V, C] */
    const int32_t *ids;  /* [count] */
    const int32_t *rows; /* [count] or NULL */
    float *y;            /* [N, C] */
    int64_t table_stride, y_stride;
    int32_t count, cols, accumulate;
    int32_t unused;
} b2_embed_args;

/* y[y_rows[i]] = x[x_rows[i]], rows of `bytes` bytes (a multiple of 4). b2_copy_rows. */
typedef struct b2_copy_rows_args {
    const void *x;
    void *y;
    const int32_t *x_rows, *y_rows; /* [count] or NULL */
    int64_t x_stride, y_stride;     /* bytes */
    int32_t count, bytes;
} b2_copy_rows_args;

/* ---- paged keys and values: kv.cu --------------------------------------------------------- */

/* One layer of the pool: element (page, which, head, slot, d) of T at
 * page * page_stride + ((layer * 2 + which) * heads + head) * T * D + slot * D + d. */
typedef struct b2_kv_pool {
    void *pages;
    int64_t page_stride; /* elements from page to page */
    int32_t layer, heads, page_tokens, head_size;
} b2_kv_pool;

/* Rows of k and v into pages of the same type. b2_kv_write_f32, _f16, _bf16: grid (rows). */
typedef struct b2_kv_write_args {
    const void *k, *v; /* [N, H*D] */
    int64_t k_stride, v_stride;
    b2_kv_pool pool;
    const int32_t *slots; /* [N] page * page_tokens + slot */
    int32_t rows;
    int32_t unused;
} b2_kv_write_args;

/* Pages to[i] = from[i] (copy on write): of every run_bytes the first rows[i] * slot_bytes, and
 * what shares 16 bytes with them; rows NULL: everything. b2_kv_copy_pages. grid (ceil(page_bytes /
 * B2_COPY_BYTES), count) */
enum { B2_COPY_BYTES = B2_ROW_THREADS * 16 * 4 };
typedef struct b2_kv_copy_args {
    void *pages;
    int64_t page_bytes;       /* a multiple of 16 */
    const int32_t *from, *to; /* [count] */
    const int32_t *rows;      /* [count] or NULL */
    uint32_t slot_bytes;
    uint32_t run_bytes; /* not 0; with rows the page is below 4 GiB */
    int32_t count;
    int32_t unused;
} b2_kv_copy_args;

/* ---- attention ---------------------------------------------------------------------------- */

/* Shared by all attention kernels; the meaning is that of b2_attention in host/device.h. One kernel
 * serves packed and paged keys: they are paged where pool.pages is not NULL. */
typedef struct b2_attention_args {
    const void *q;     /* [N, H*D] T */
    const void *k, *v; /* [M, G*D] of kv_type, packed; or with slots the new rows [N, G*D] T */
    void *y;           /* [N, H*D] T */
    int64_t q_stride, k_stride, v_stride, y_stride;
    b2_kv_pool pool;              /* paged, elements of kv_type; pages NULL: packed */
    const int32_t *page_table;    /* [S, table_stride] */
    const int32_t *q_start;       /* [S+1] */
    const int32_t *k_first;       /* [S] packed */
    const int32_t *k_count;       /* [S] with slots: new rows included */
    const int32_t *queries;       /* [S] or NULL: the rule needs none */
    const float *bias;            /* T5: [H, bias_span] by clamped key - query distance, or NULL */
    int32_t bias_zero, bias_span; /* bias index of distance 0; number of distances */
    int32_t table_stride, heads, head_size;
    int32_t kv_type; /* b2_type: F32 0, F16 1, BF16 2 */
    int32_t rule;    /* b2_mask_rule */
    float scale;     /* > 0 */
    /* decode only: row i of a segment is new and belongs to key m - n + i; k and v hold its key and
     * value, which are stored at slots[row] = page * page_tokens + slot before anything reads it */
    const int32_t *slots; /* [N] or NULL */
    /* decode only, keys split over blocks: what each part found */
    float *partial;   /* [N, H, splits, D + 4]: unnormalised output, largest score, sum, 2 unused */
    int32_t *arrived; /* [S, H] zero before and after: counts the parts that are there */
    int32_t splits;   /* >= 1; partial and arrived may be NULL with 1 */
    int32_t group;    /* >= 1: heads of queries that share one of keys and values */
} b2_attention_args;

/* attention_f32.cu: b2_attention_{f32,f16,bf16}, without tensor cores. Any head size up to
 * B2_ATTENTION_PLAIN_HEAD, any strides, kv_type and page_tokens: what the kernels below refuse.
 *     grid (ceil(max_q / B2_ATTENTION_PLAIN_ROWS), heads, segments)
 *
 * attention_prefill.cu: b2_attention_{f16,bf16}_{64,80,96,128}, tensor cores. The number is the
 * widest head: the host takes the smallest that holds head_size (88 runs as 96).
 *     grid (ceil(max_q / B2_ATTENTION_ROWS), heads, segments)
 *
 * attention_decode.cu: b2_attention_decode_{f16,bf16}_{64,80,128} and b2_attention_decode_f32 (head
 * sizes up to 128): paged keys, at most B2_DECODE_ROWS query rows a segment, any rule. f32 re-reads
 * the keys for every four rows.
 *     grid (splits, heads, segments)
 *     A part of fewer than B2_DECODE_PART keys is not worth its block: splits is at most
 *     ceil(max_k / B2_DECODE_PART), and no more than fills the GPU.
 *
 * All of them: B2_ATTENTION_THREADS threads, no dynamic shared memory. The last two want q, k, v, y
 * at multiples of 16 bytes (pointers, strides, page_stride), D * size a multiple of 16, kv_type T,
 * and page_tokens a multiple of B2_ATTENTION_GROUP. */
enum {
    B2_ATTENTION_THREADS = 128,
    B2_ATTENTION_PLAIN_ROWS = 16,
    B2_ATTENTION_PLAIN_HEAD = 256,
    B2_ATTENTION_ROWS = 64,
    B2_ATTENTION_GROUP = 16, /* keys that share a page */
    B2_DECODE_ROWS = 16,
    B2_DECODE_PART = 128
};

/* ---- choose.cu, top_k.cu, sample.cu: one block of B2_CHOOSE_THREADS threads a row ----------- */

enum { B2_CHOOSE_THREADS = 1024 };

/* Greedy choice with repetition penalty and banned stop ids. b2_choose. */
typedef struct b2_choose_args {
    float *logits; /* [R, V], changed in place */
    int64_t logits_stride;
    const int32_t *history;          /* [R, history_stride] */
    const int32_t *history_count;    /* [R] */
    const float *repetition_penalty; /* [R] */
    const int32_t *stop_ids;         /* [stop_count] */
    const int32_t *ban_stop;         /* [R] */
    int32_t *tokens;                 /* [R] */
    int32_t rows, vocab, history_stride, stop_count;
} b2_choose_args;

/* Log-softmax of rows and their `top` best: values and ids, best first, lowest id among equals. NaN
 * counts as not there; a row with fewer numbers is filled up with id -1 and -inf. b2_top_k. */
typedef struct b2_top_k_args {
    const float *logits; /* [R, V] */
    int64_t logits_stride;
    float *log_prob;          /* [R, top] */
    int32_t *ids;             /* [R, top] */
    int32_t rows, vocab, top; /* top <= 64 */
    int32_t unused;
} b2_top_k_args;

/* Draw one id a row after temperature, top-k and top-p, as transformers filters them; Philox4x32-10
 * with (seed, row's counter). Equals of the k-th stay, up to 64 in all; -1: no number. Penalties
 * and bans: b2_choose before it, which leaves them in the logits. b2_sample. */
typedef struct b2_sample_args {
    const float *logits; /* [R, V] */
    int64_t logits_stride;
    const float *temperature, *top_p; /* [R] */
    const int32_t *top_k;             /* [R] 1..64 */
    const uint64_t *seed;             /* [R] */
    const uint32_t *counter;          /* [R] tokens drawn so far */
    int32_t *tokens;                  /* [R] */
    int32_t rows, vocab;
} b2_sample_args;

/* ---- activate.cu --------------------------------------------------------------------------- */

/* y = residual + act(x + bias), what a GEMM's own epilogue cannot do exactly; gated: x [N, 2M],
 * y = act(x[:, :M]) * x[:, M:]. y may be x or residual. b2_activate_f32, _f16, _bf16 (T of x and
 * y). */
typedef struct b2_activate_args {
    const void *x;         /* [N, M] or [N, 2M] of T */
    const float *bias;     /* [M] or [2M] or NULL */
    const float *residual; /* [N, M] or NULL */
    void *y;               /* [N, M] T */
    int64_t x_stride, residual_stride, y_stride;
    int32_t rows, cols; /* M */
    int32_t act;        /* b2_activation */
    int32_t gated;
} b2_activate_args;

/* y (T) = x (fp32). b2_convert_f16, b2_convert_bf16. */
typedef struct b2_convert_args {
    const float *x; /* [N, C] */
    void *y;        /* [N, C] T */
    int64_t x_stride, y_stride;
    int32_t rows, cols;
} b2_convert_args;

/* ---- patch.cu ------------------------------------------------------------------------------ */

/* Pixels to rows of patches, for the GEMM form of the patch embedding. b2_im2col_f32, _f16, _bf16:
 *     grid (images * (height / P) * ceil(width / P / B2_IM2COL_PATCHES)) */
enum { B2_IM2COL_PATCHES = 4 };
typedef struct b2_im2col_args {
    const float *pixels; /* [B, 3, height, width] */
    void *y;             /* [B * g, 3*P*P] T */
    int64_t y_stride;
    int32_t images, height, width, patch;
} b2_im2col_args;

/* y[b] = [cls ; patches[b]] + position, all fp32. b2_add_positions: grid (images * (1 + g)). */
typedef struct b2_add_positions_args {
    const float *patches;  /* [B * g, C] */
    const float *cls;      /* [C] */
    const float *position; /* [1 + g, C] */
    float *y;              /* [B * (1 + g), C] */
    int64_t patches_stride, y_stride;
    int32_t images, patches_per_image, cols;
    int32_t unused;
} b2_add_positions_args;

/* ---- resize.cu: Pillow's 8-bit bicubic, exact --------------------------------------------- */

/* One pass over one axis: b2_resize_rows along the rows (in_height == height), b2_resize_cols along
 * the columns (in_width == width). The host computes the taps (image/image.h). Both, and
 * b2_normalise: grid (height). */
typedef struct b2_resize_args {
    const uint8_t *x;      /* [in_height, in_width, 3] */
    uint8_t *y;            /* [height, width, 3] */
    const int32_t *first;  /* [out] first source pixel of each output, all its taps inside x */
    const int32_t *count;  /* [out] number of taps */
    const int32_t *weight; /* [out, most] 22-bit fixed point */
    int32_t in_width, in_height, width, height, most;
    int32_t unused;
} b2_resize_args;

typedef struct b2_normalise_args {
    const uint8_t *rgb; /* [height, width, 3] */
    float *pixels;      /* [3, height, width] */
    float mean[3], std[3];
    int32_t width, height;
} b2_normalise_args;

/* ---- itc.cu, rope.cu ----------------------------------------------------------------------- */

/* y = x / max(|x|, 1e-12) by rows. b2_l2_normalise. */
typedef struct b2_l2_args {
    const float *x; /* [N, C] */
    float *y;       /* [N, C] */
    int64_t x_stride, y_stride;
    int32_t rows, cols;
} b2_l2_args;

/* y[i, t] = max over the Q rows of image i of products [I*Q, texts]. b2_itc_max. */
typedef struct b2_itc_max_args {
    const float *products; /* [I * Q, texts] */
    float *y;              /* [I, texts] */
    int64_t products_stride, y_stride;
    int32_t images, queries, texts;
    int32_t unused;
} b2_itc_max_args;

/* Rotary positions in place on the heads of q or k ("rotate half"). b2_rope_f32, _f16, _bf16. */
typedef struct b2_rope_args {
    void *x;                  /* [N, H*D] T */
    const int32_t *positions; /* [N] */
    const float *cos_sin;     /* [positions, D]: D/2 cosines, D/2 sines */
    int64_t x_stride;
    int32_t rows, heads, head_size;
    int32_t unused;
} b2_rope_args;

#endif
