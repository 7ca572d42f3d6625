/* THE SEAM: what a device must do. Model code is written once over these operations and never
 * knows which device runs it; a device knows nothing of models.
 *
 * Everything is packed, nothing is padded: a batch is one matrix [N, C] of N tokens, cut into S
 * segments by index arrays. Masks are rules computed from indices, never tensors. Keys and values
 * are packed beside the queries or live in pages of one pool.
 *
 * Alphabet of shapes (docs/model.md):
 *   B images   N tokens (rows) of a packed batch   S segments (sequences) of a batch
 *   C width    H heads   D head size   F feed-forward width   V vocabulary   L layers
 *   Q learned queries of an image   P patch side   M keys   R rows of logits   T page tokens
 *
 * Every pointer inside the operation structs is DEVICE memory, got from alloc; on the CPU that is
 * plain memory. Operations are queued in order; `sync` waits for them. One thread at a time.
 *
 * Types: a device computes in one type T (b2_device.compute). Residual streams and everything of
 * the Q-Former are F32, other activations T; vectors (biases, norms, positions) are F32 and do not
 * change while a weight that they go with lives. Sums are fp32 everywhere.
 *
 * Shapes are the caller's promise, but a device checks what it can cheaply check and answers
 * BLIP2_EINTERNAL, since only our own mistakes can break them. */
#ifndef B2_DEVICE_H
#define B2_DEVICE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/type.h"

typedef struct b2_device b2_device;
typedef struct b2_weight b2_weight; /* a weight matrix in whatever form the device likes best */
typedef struct b2_graph b2_graph;   /* captured operations, likewise */

/* A matrix [rows, cols], rows `stride` elements apart. data NULL: absent. */
typedef struct b2_mat {
    void *data;
    int64_t rows, cols, stride;
    b2_type type;
} b2_mat;

static inline b2_mat b2_mat_of(void *data, b2_type type, int64_t rows, int64_t cols) {
    return (b2_mat){data, rows, cols, cols, type};
}

/* Columns first .. first+count-1 of m, in place: Q, K and V inside one [N, 3C] matrix. */
static inline b2_mat b2_mat_cols(b2_mat m, int64_t first, int64_t count) {
    m.data = (char *)m.data + (size_t)first * b2_type_size(m.type);
    m.cols = count;
    return m;
}

/* Rows first .. first+count-1 of m, in place. */
static inline b2_mat b2_mat_rows(b2_mat m, int64_t first, int64_t count) {
    m.data = (char *)m.data + (size_t)(first * m.stride) * b2_type_size(m.type);
    m.rows = count;
    return m;
}

/* ---- weights ----------------------------------------------------------------------------- */

/* What a weight is used for; a tied embedding is both. */
typedef enum b2_weight_use {
    B2_USE_LINEAR = 1, /* y = x W' */
    B2_USE_ROWS = 2,   /* rows are looked up by id */
    B2_USE_MANY = 4    /* beside LINEAR: x has a whole picture's rows; for speed alone */
} b2_weight_use;

/* Host memory of one tensor of a weight: [rows, cols] row-major, F32, F16 or BF16. */
typedef struct b2_weight_part {
    const void *data; /* stays valid and unchanged as long as the weight lives (a file map) */
    int64_t rows;
    b2_type type;
} b2_weight_part;

/* The parts stand one below the other: W [sum of rows, cols] (Q, K, V joined into one GEMM). */
typedef struct b2_weight_desc {
    const b2_weight_part *parts; /* [part_count] */
    uint32_t part_count;
    int64_t cols;
    b2_type keep;  /* type in which the device keeps it: F32, F16, BF16 */
    unsigned uses; /* b2_weight_use bits */
} b2_weight_desc;

/* ---- operations -------------------------------------------------------------------------- */

typedef enum b2_activation {
    B2_ACT_NONE,
    B2_ACT_RELU,
    B2_ACT_GELU,       /* exact: x (1 + erf(x / sqrt 2)) / 2 */
    B2_ACT_GELU_TANH,  /* the tanh form ("gelu_new") */
    B2_ACT_QUICK_GELU, /* x sigmoid(1.702 x) */
    B2_ACT_SILU        /* x sigmoid(x) */
} b2_activation;

/* y = residual + act(x W' + bias), accumulated in fp32. y may be residual (in place), never x. An
 * F32 x is rounded to T where w is kept in a T other than F32.
 *
 * gated: W is two matrices joined, gate above up, [2M, K] with bias [2M], and y = residual +
 * act(x gate' + bias[:M]) * (x up' + bias[M:]): T5's wi_0 | wi_1, Llama's gate | up. */
typedef struct b2_linear {
    b2_mat x;           /* [N, K] F32 or, where w is kept in T, T */
    const b2_weight *w; /* [M, K], gated [2M, K] */
    const float *bias;  /* [M], gated [2M], or NULL */
    b2_activation act;
    bool gated;
    b2_mat residual; /* [N, M] F32, then y is too; or absent */
    b2_mat y;        /* [N, M] F32 or T */
} b2_linear;

/* s = x + add; y = (s - mean) / sqrt(var + eps) * gamma + beta over each row, mean and (biased)
 * variance in fp32, or with rms: y = s / sqrt(mean(s^2) + eps) * gamma. y may be x or add. */
typedef struct b2_norm {
    b2_mat x;           /* [N, C] F32 */
    b2_mat add;         /* [N, C] F32 or absent */
    const float *gamma; /* [C] */
    const float *beta;  /* [C] or NULL */
    float eps;
    bool rms;
    b2_mat y;   /* [N, C] F32 or T */
    b2_mat sum; /* [N, C] F32: s, for a later residual; or absent. May be x or add, not y */
} b2_norm;

/* Which keys a query row sees. In a segment of n rows and m keys, row i is aligned to key
 * m - n + i. The Q-Former rules count learned queries among the keys: the first `queries` keys of
 * a segment belong to them, the others to text, and a row is a query row where the key it is
 * aligned to is below `queries`. So rows of text that come later, their queries' keys being in
 * pages already, are text rows; a segment without queries is all text. */
typedef enum b2_mask_rule {
    B2_MASK_ALL,
    B2_MASK_CAUSAL,        /* keys up to the row's own */
    B2_MASK_QFORMER_SPLIT, /* queries see queries, text sees text (uni-modal, ITC) */
    B2_MASK_QFORMER_CAUSAL /* queries see queries, text sees queries and earlier text (ITG) */
} b2_mask_rule;            /* (Q-Former joint, ITM, is ALL) */

/* Keys and values of L layers in pages of T tokens: page p starts page_bytes * p into the pool, and
 * inside it stand [L][K,V][H][T][D] elements. */
typedef struct b2_kv_layout {
    b2_type type;
    uint32_t layers, heads, head_size, page_tokens;
    size_t page_bytes; /* >= layers * 2 * heads * page_tokens * head_size elements */
} b2_kv_layout;

/* Element offset inside a page of the D values of one head and slot; which: 0 keys, 1 values. */
static inline size_t b2_kv_offset(const b2_kv_layout *kv, uint32_t layer, uint32_t which,
                                  uint32_t head, uint32_t slot) {
    return ((((size_t)layer * 2 + which) * kv->heads + head) * kv->page_tokens + slot) *
           kv->head_size;
}

typedef struct b2_kv_view {
    void *pages; /* the pool; NULL: absent */
    b2_kv_layout layout;
    uint32_t layer;
    const int32_t *page_table; /* [S, table_stride]: pages of each segment in order */
    uint32_t table_stride;
} b2_kv_view;

/* y = softmax(scale q k' + bias under the rule) v for every head, softmax in fp32 ("online"). A row
 * that sees no key gives zeros.
 *
 * G heads of keys and values divide the H of queries: head h reads head h / (H / G). The bias is
 * T5's: a score gets bias[h][distance + bias_zero], distance from the key the row is aligned to to
 * the key seen (negative: it is earlier), the index clamped to 0 .. bias_span - 1. The caller
 * expands T5's table of buckets to distances, so that no device knows the formula of buckets.
 *
 * With slots the rows are new in their pages: k and v hold their keys and values, which are stored
 * (as kv_write does) before anything is read. Each segment has at least as many keys as rows. */
typedef struct b2_attention {
    b2_mat q;               /* [N, H*D] F32 or T */
    b2_mat k, v;            /* [M, G*D] packed keys and values; paged: absent, or [N, G*D] new */
    b2_kv_view kv;          /* paged keys and values; absent when packed */
    const int32_t *slots;   /* [N] paged: where each row's key and value go; NULL: nowhere */
    b2_mat y;               /* [N, H*D] as q; not q, k or v */
    const int32_t *q_start; /* [S+1] segment s has query rows q_start[s] .. q_start[s+1]-1 */
    const int32_t *k_first; /* [S] packed: its first key row; segments may share keys */
    const int32_t *k_count; /* [S] its number of keys, new ones included; 0 is allowed */
    const int32_t *queries; /* [S] keys of learned queries (Q-Former rules); else NULL */
    const float *bias;      /* [H, bias_span] or NULL */
    uint32_t bias_zero, bias_span;
    uint32_t segments, heads, head_size, kv_heads; /* S, H, D, G (0: H) */
    uint32_t max_q, max_k; /* host's knowledge: no segment has more query rows, keys */
    float scale;
    b2_mask_rule rule;
} b2_attention;

/* Store rows of k and v into pages, which are of their type. */
typedef struct b2_kv_write {
    b2_mat k, v;          /* [N, H*D] F32 or T */
    b2_kv_view kv;        /* page_table unused */
    const int32_t *slots; /* [N] page * page_tokens + slot within it */
} b2_kv_write;

/* Copy on write: page to[i] = page from[i]: all of its bytes or, with rows, of every run of slots
 * (those of a layer's keys or values of one head) the first rows[i] slots, and what shares 16 bytes
 * with them. No page that is written is read or written twice. */
typedef struct b2_kv_copy_pages {
    void *pages;              /* the pool */
    size_t page_bytes;        /* a multiple of 16 */
    const int32_t *from, *to; /* [count] */
    const int32_t *rows;      /* [count] slots that are filled, or NULL */
    size_t slot_bytes;        /* with rows: D elements */
    size_t run_bytes;         /* with rows: all slots of a run, T * D elements */
    uint32_t count;
} b2_kv_copy_pages;

/* Rotary positions ("rotate half"), in place: a head [a ; b] of D/2 values each becomes
 * [a cos - b sin ; b cos + a sin], computed in fp32 and rounded once. */
typedef struct b2_rope {
    b2_mat x;                  /* [N, H*D] F32 or T: q, or k */
    const int32_t *positions;  /* [N] rows of cos_sin */
    const float *cos_sin;      /* [.., D]: of each position D/2 cosines, then D/2 sines */
    uint32_t heads, head_size; /* D even */
} b2_rope;

/* y[rows[i]] = table[ids[i]], or += with accumulate. ids are checked by the caller. */
typedef struct b2_embed {
    const b2_weight *table; /* [V, C], made with B2_USE_ROWS */
    const int32_t *ids;     /* [count] */
    const int32_t *rows;    /* [count] or NULL: row i */
    uint32_t count;
    bool accumulate;
    b2_mat y; /* [N, C] F32 */
} b2_embed;

/* y[y_rows[i]] = x[x_rows[i]] for i < count; a NULL index array means row i. */
typedef struct b2_copy_rows {
    b2_mat x, y; /* [.., C] F32 */
    const int32_t *x_rows, *y_rows;
    uint32_t count;
} b2_copy_rows;

/* Patches of B pictures as tokens: y[b] = [cls ; conv_P(pixels[b]) + bias] + position. */
typedef struct b2_patch_embed {
    const float *pixels;                   /* [B, 3, height, width] */
    uint32_t images, height, width, patch; /* both sides whole multiples of patch (P) */
    const b2_weight *w;                    /* [C, 3*P*P], element c*P*P + y*P + x of a row */
    const float *bias;                     /* [C] or NULL */
    const float *cls;                      /* [C] */
    const float *position;                 /* [1 + g, C], g = (height / P) * (width / P) */
    b2_mat scratch;                        /* [B * g, 3*P*P] T */
    b2_mat y;                              /* [B * (1 + g), C] F32 */
} b2_patch_embed;

/* y = x / max(|x|, 1e-12) by rows: features to unit length. y may be x. */
typedef struct b2_l2_normalise {
    b2_mat x, y; /* [N, C] F32; y may be x */
} b2_l2_normalise;

/* Image-text contrast: y[b, t] is the largest of the Q products of image b's queries with text t,
 * which a linear has made. A NaN is passed over unless all Q are NaN. */
typedef struct b2_itc_max {
    b2_mat products;  /* [B * Q, texts] F32 */
    uint32_t queries; /* Q >= 1 */
    b2_mat y;         /* [B, texts] F32 */
} b2_itc_max;

/* Decoded pictures to pixels: Pillow's bicubic resize on 8 bits, then (v / 255 - mean) / std. */
typedef struct b2_resize_normalise {
    const uint8_t *rgb; /* HOST memory [in_height, in_width, 3] */
    uint32_t in_width, in_height, width, height;
    float mean[3], std[3];
    float *pixels; /* [3, height, width] */
} b2_resize_normalise;

/* The next token of R sequences, greedily. Per row: the score of every id in its history is
 * divided (if > 0) or multiplied (if < 0) once by the penalty; stop ids get -inf where banned; the
 * largest score wins, the lowest id among equals. A NaN never wins; a row without any number
 * gives -1. */
typedef struct b2_choose {
    b2_mat logits;                /* [R, V] F32; used as scratch */
    const int32_t *history;       /* [R, history_stride] ids below V */
    const int32_t *history_count; /* [R] */
    uint32_t history_stride;
    const float *repetition_penalty; /* [R] > 0; 1: none */
    const int32_t *stop_ids;         /* [stop_count] */
    uint32_t stop_count;
    const int32_t *ban_stop; /* [R] non-zero: no stop id may be chosen */
    int32_t *tokens;         /* [R] out */
} b2_choose;

enum { B2_TOP_MOST = 64 };

/* Log-softmax of rows and their `top` best: what beams go on with. Best first, the lowest id first
 * among equals. NaN counts as not there; a row with fewer numbers is filled up with id -1 and
 * -inf. */
typedef struct b2_top_k {
    b2_mat logits;   /* [R, V] F32, none +inf */
    uint32_t top;    /* 1 .. B2_TOP_MOST */
    float *log_prob; /* [R, top] out */
    int32_t *ids;    /* [R, top] out */
} b2_top_k;

/* Draw one token a row from the distribution that draw.h defines: temperature, then the top_k best,
 * then the fewest of them that hold top_p, as transformers filters. The random number is a pure
 * function of seed and counter. From the same logits every device draws the same token; logits that
 * differ in their last bits may move a token only where the draw falls that close to a boundary
 * between two. Penalties and bans: `choose` before it, which leaves them in the logits. */
typedef struct b2_sample {
    b2_mat logits;                    /* [R, V] F32 */
    const float *temperature, *top_p; /* [R] > 0; [R] 1: all */
    const int32_t *top_k;             /* [R] 1 .. B2_TOP_MOST */
    const uint64_t *seed;             /* [R] */
    const uint32_t *counter;          /* [R] tokens drawn so far */
    int32_t *tokens;                  /* [R] out; -1: the row has no number */
} b2_sample;

/* ---- the device -------------------------------------------------------------------------- */

typedef struct b2_device_ops {
    const char *name; /* "cpu", "cuda" */
    void (*close)(b2_device *device);

    /* Device memory, aligned to 256 bytes, not cleared. EDEVMEM (ENOMEM on the CPU). */
    blip2_status (*alloc)(b2_device *device, void **out, size_t bytes);
    void (*free)(b2_device *device, void *memory); /* NULL is allowed */
    /* Both are done with the host's memory when they return. */
    blip2_status (*upload)(b2_device *device, void *to, const void *from, size_t bytes);
    blip2_status (*download)(b2_device *device, void *to, const void *from, size_t bytes);
    blip2_status (*sync)(b2_device *device);

    blip2_status (*weight_create)(b2_device *device, const b2_weight_desc *desc, b2_weight **out);
    void (*weight_free)(b2_device *device, b2_weight *weight); /* NULL is allowed */
    /* Bytes of device memory that weight_create would take beyond the file map. */
    size_t (*weight_bytes)(b2_device *device, const b2_weight_desc *desc);

    blip2_status (*linear)(b2_device *device, const b2_linear *op);
    blip2_status (*norm)(b2_device *device, const b2_norm *op);
    blip2_status (*attention)(b2_device *device, const b2_attention *op);
    blip2_status (*kv_write)(b2_device *device, const b2_kv_write *op);
    blip2_status (*kv_copy_pages)(b2_device *device, const b2_kv_copy_pages *op);
    blip2_status (*rope)(b2_device *device, const b2_rope *op);
    blip2_status (*embed)(b2_device *device, const b2_embed *op);
    blip2_status (*copy_rows)(b2_device *device, const b2_copy_rows *op);
    blip2_status (*patch_embed)(b2_device *device, const b2_patch_embed *op);
    blip2_status (*l2_normalise)(b2_device *device, const b2_l2_normalise *op);
    blip2_status (*itc_max)(b2_device *device, const b2_itc_max *op);
    blip2_status (*top_k)(b2_device *device, const b2_top_k *op);
    blip2_status (*sample)(b2_device *device, const b2_sample *op);
    blip2_status (*resize_normalise)(b2_device *device, const b2_resize_normalise *op);
    blip2_status (*choose)(b2_device *device, const b2_choose *op);

    /* Capture: operations are recorded once and run again with one call, for steps of many small
     * ones. NULL, all four: this device gains nothing by it.
     *
     * Between begin and end operations are recorded and not run. Nothing may be uploaded,
     * downloaded, allocated, freed or waited for meanwhile (EINTERNAL), and no weight gets its
     * first bias: run an operation once before it is captured. Whatever an operation said, end
     * follows begin, and a graph that lacks one is the caller's to throw away. A failure of these
     * four, or of an operation while capturing, leaves the device usable and not capturing. */
    blip2_status (*capture_begin)(b2_device *device);
    blip2_status (*capture_end)(b2_device *device, b2_graph **out);
    /* Queue the operations as they were recorded: same pointers, sizes and numbers, new contents of
     * memory. On failure none of them is queued. */
    blip2_status (*graph_run)(b2_device *device, b2_graph *graph);
    void (*graph_free)(b2_device *device, b2_graph *graph); /* not running; NULL is allowed */
} b2_device_ops;

/* The first member of every device. */
struct b2_device {
    const b2_device_ops *ops;
    b2_type compute;  /* T */
    char name[16];    /* as b2_device_open takes it: "cpu", "cuda:1" */
    char about[320];  /* for people: "NVIDIA H100 80GB HBM3, compute 9.0, 79 GiB" */
    char no_gpu[512]; /* opened as "auto": why that took no GPU; else empty */
    bool gpu_unused;  /* the same, though this machine seems to have one: worth a warning */
};

typedef enum b2_compute {                  /* T */
                          B2_COMPUTE_AUTO, /* F32 on the CPU; a GPU: F16, or BF16 (exceeds_f16) */
                          B2_COMPUTE_F32,
                          B2_COMPUTE_TF32, /* T is F32, products on tensor cores with 10 bits of
                                              mantissa */
                          B2_COMPUTE_F16,
                          B2_COMPUTE_BF16
} b2_compute;

/* How the CUDA device makes patches of pictures: by its rule, or as a test or measurement says. */
typedef enum b2_patch_path {
    B2_PATCH_AUTO,
    B2_PATCH_GEMM,
    B2_PATCH_CUDNN /* where cuDNN is there and takes the shape, else GEMM */
} b2_patch_path;

typedef struct b2_device_options {
    uint32_t threads; /* of the CPU device; 0: all cores this process may use */
    b2_compute compute;
    b2_patch_path patch_path;
    bool exceeds_f16;   /* the model's activations leave the range of F16 */
    bool deterministic; /* a row's bits do not depend on other rows, nor on how its segment is cut
                           into calls; always so on the CPU */
} b2_device_options;

/* A device by name: "cpu", "cuda" (the first GPU), "cuda:1", or "auto" (default for NULL): a GPU
 * where one works, else the CPU. options may be NULL. ENOTSUP with the reason: this machine or
 * build has no such device. */
blip2_status b2_device_open(b2_device **out, const char *name, const b2_device_options *options);
void b2_device_close(b2_device *device); /* NULL is allowed */

#endif
