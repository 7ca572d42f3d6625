#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attention_cases.h"
#include "base/type.h"
#include "ops.h"
#include "reference.h"

typedef struct segments {
    int32_t q_start[MAX_SEGMENTS + 1], k_first[MAX_SEGMENTS], k_count[MAX_SEGMENTS],
        queries[MAX_SEGMENTS];
    int64_t rows, keys, max_q, max_k;
} segments;

typedef struct pools {
    b2_kv_view view;
    float *k, *v;   /* [sum of m, H*D]: the values that stand in the pages, or will */
    int32_t *slots; /* [N]: places of the last n keys of each segment */
} pools;

static void pools_slot(pools *p, int64_t row, int32_t page, int64_t key, uint32_t page_tokens) {
    p->slots[row] = page * (int32_t)page_tokens + (int32_t)(key % page_tokens);
}

/* Keys and values in pages of a pool in shuffled order; what no key fills is NaN. Fresh ones are
 * taken from new_k and new_v [N, H*D] and not stored. */
static pools make_pages(op_context *t, const attention_case *c, const segments *l, op_mat new_k,
                        op_mat new_v) {
    int64_t heads = c->heads / c->group, width = heads * c->head_size;
    int64_t pages = 0, most = 1, keys = l->keys;
    b2_type compute = t->device->compute;
    /* Only the CPU stores rows in pages of another type. */
    bool free = compute == B2_F32 && (c->kv != FRESH || strcmp(t->device->ops->name, "cpu") == 0);
    b2_type type = free ? c->kv_type : compute;
    uint32_t layers = 3, layer = 1;
    pools made = {.k = op_host(t, (size_t)(keys * width) * 4),
                  .v = op_host(t, (size_t)(keys * width) * 4),
                  .slots = op_host(t, (size_t)l->rows * 4)};
    b2_kv_layout layout = {type,           layers, (uint32_t)heads, (uint32_t)c->head_size,
                           c->page_tokens, 0};
    size_t size = b2_type_size(type);

    layout.page_bytes = (size_t)(layers * 2 * heads * c->page_tokens * c->head_size) * size + 64;
    for (int64_t s = 0; s < c->segments; s++) {
        int64_t own = (c->m[s] + c->page_tokens - 1) / c->page_tokens;

        pages += own;
        most = own > most ? own : most;
    }
    char *pool = op_host(t, (size_t)(pages + 1) * layout.page_bytes);
    int32_t *table = op_host(t, (size_t)(c->segments * most) * sizeof *table);
    memset(pool, 0xff, (size_t)(pages + 1) * layout.page_bytes);
    for (int64_t i = 0; i < keys * width; i++) {
        made.k[i] = (float)op_uniform(t, -1.0, 1.0);
        made.v[i] = (float)op_uniform(t, -1.0, 1.0);
    }
    int64_t next = pages; /* from the last page down, so that order and index differ */
    for (int64_t s = 0; s < c->segments; s++)
        for (int64_t j = 0; j < c->m[s]; j++) {
            int32_t *page = &table[s * most + j / c->page_tokens];

            int64_t row = j - (c->m[s] - c->n[s]); /* the query row to which this key belongs */
            bool fresh = c->kv == FRESH && row >= 0;

            if (j % c->page_tokens == 0)
                *page = (int32_t)next--;
            if (fresh)
                pools_slot(&made, l->q_start[s] + row, *page, j, c->page_tokens);
            for (int64_t h = 0; h < heads; h++)
                for (uint32_t which = 0; which < 2; which++) {
                    op_mat from = which == 0 ? new_k : new_v;
                    float *values = (which == 0 ? made.k : made.v) + (l->k_first[s] + j) * width +
                                    h * c->head_size;
                    char *to = pool + (size_t)*page * layout.page_bytes +
                               b2_kv_offset(&layout, layer, which, (uint32_t)h,
                                            (uint32_t)(j % c->page_tokens)) *
                                   size;

                    if (fresh)
                        memcpy(values,
                               from.host + (l->q_start[s] + row) * from.device.stride +
                                   h * c->head_size,
                               (size_t)c->head_size * sizeof(float));
                    op_round(values, type, c->head_size);
                    if (!fresh)
                        b2_from_f32(to, type, values, (size_t)c->head_size);
                }
        }
    made.view =
        (b2_kv_view){op_upload(t, pool, (size_t)(pages + 1) * layout.page_bytes), layout, layer,
                     op_upload(t, table, (size_t)(c->segments * most) * 4), (uint32_t)most};
    return made;
}

static bool wants_queries(const attention_case *c) {
    return c->rule == B2_MASK_QFORMER_SPLIT || c->rule == B2_MASK_QFORMER_CAUSAL ||
           c->queries[0] > 0;
}

static segments lay_out(const attention_case *c) {
    segments l = {0};

    for (int64_t s = 0; s < c->segments; s++) {
        l.k_first[s] = c->kv == SHARED ? 0 : (int32_t)l.keys;
        l.k_count[s] = (int32_t)c->m[s];
        l.queries[s] = (int32_t)c->queries[s];
        l.rows += c->n[s];
        l.keys = c->kv == SHARED ? c->m[0] : l.keys + c->m[s];
        l.q_start[s + 1] = (int32_t)l.rows;
        l.max_q = c->n[s] > l.max_q ? c->n[s] : l.max_q;
        l.max_k = c->m[s] > l.max_k ? c->m[s] : l.max_k;
    }
    return l;
}

/* What an attention reads and writes. */
typedef struct operands {
    segments l;
    op_mat qkv, q, k, v, y; /* k, v: packed ones, or the new rows of pages */
    pools pages;
    float *bias, *bias_device;
    float scale;
} operands;

/* aligned: rows start at multiples of 16 bytes where the head size lets them, as models have it;
 * kernels that want that are left out of the game otherwise. */
static operands make_operands(op_context *t, const attention_case *c, bool aligned) {
    const int64_t gaps[4] = {aligned ? 8 : 3, aligned ? 16 : 5, aligned ? 8 : 1, 0};
    operands o = {.l = lay_out(c), .scale = (float)c->spread / sqrtf((float)c->head_size)};
    int64_t width = c->heads * c->head_size, kv = width / c->group;
    b2_type type = t->device->compute;
    /* Queries, keys and values are views into one [N, 3C] matrix. */
    bool joined = c->page_tokens == 0 ? o.l.rows == o.l.keys : c->kv == FRESH;

    o.qkv = op_mat_new(t, type, o.l.rows, joined ? width + 2 * kv : width, gaps[0], OP_RANDOM);
    o.q = op_mat_cols(o.qkv, 0, width);
    o.y = op_mat_new(t, type, o.l.rows, width, gaps[1], OP_NAN);
    o.bias = op_vector(t, c->heads * c->bias_span, &o.bias_device);
    if (joined) {
        o.k = op_mat_cols(o.qkv, width, kv);
        o.v = op_mat_cols(o.qkv, width + kv, kv);
    } else if (c->page_tokens == 0) {
        o.k = op_mat_new(t, type, o.l.keys, kv, gaps[2], OP_RANDOM);
        o.v = op_mat_new(t, type, o.l.keys, kv, gaps[3], OP_RANDOM);
    }
    if (c->page_tokens > 0)
        o.pages = make_pages(t, c, &o.l, o.k, o.v);
    return o;
}

static void run_on_device(op_context *t, const attention_case *c, const operands *o) {
    const segments *l = &o->l;
    size_t indices = (size_t)c->segments * sizeof(int32_t);
    b2_attention op = {.q = o->q.device,
                       .k = o->k.device,
                       .v = o->v.device,
                       .kv = o->pages.view,
                       .slots = c->kv == FRESH ? op_upload(t, o->pages.slots, (size_t)l->rows * 4)
                                               : NULL,
                       .y = o->y.device,
                       .q_start = op_upload(t, l->q_start, indices + sizeof(int32_t)),
                       .k_first = op_upload(t, l->k_first, indices),
                       .k_count = op_upload(t, l->k_count, indices),
                       .queries = wants_queries(c) ? op_upload(t, l->queries, indices) : NULL,
                       .bias = c->bias_span > 0 ? o->bias_device : NULL,
                       .bias_zero = (uint32_t)c->bias_zero,
                       .bias_span = (uint32_t)c->bias_span,
                       .segments = (uint32_t)c->segments,
                       .heads = (uint32_t)c->heads,
                       .head_size = (uint32_t)c->head_size,
                       .kv_heads = c->group > 1 ? (uint32_t)(c->heads / c->group) : 0,
                       .max_q = (uint32_t)l->max_q,
                       .max_k = (uint32_t)l->max_k,
                       .scale = o->scale,
                       .rule = c->rule};

    op_check(t, t->device->ops->attention(t->device, &op));
}

static ref_attention reference_of(const attention_case *c, const operands *o) {
    int64_t width = c->heads / c->group * c->head_size;

    return (ref_attention){.q = o->q.host,
                           .k = c->page_tokens > 0 ? o->pages.k : o->k.host,
                           .v = c->page_tokens > 0 ? o->pages.v : o->v.host,
                           .q_stride = o->q.device.stride,
                           .k_stride = c->page_tokens > 0 ? width : o->k.device.stride,
                           .v_stride = c->page_tokens > 0 ? width : o->v.device.stride,
                           .rows = o->l.rows,
                           .q_start = o->l.q_start,
                           .k_first = o->l.k_first,
                           .k_count = o->l.k_count,
                           .queries = wants_queries(c) ? o->l.queries : NULL,
                           .segments = c->segments,
                           .heads = c->heads,
                           .head_size = c->head_size,
                           .group = c->group,
                           .scale = o->scale,
                           .rule = c->rule,
                           .bias = c->bias_span > 0 ? o->bias : NULL,
                           .bias_zero = c->bias_zero,
                           .bias_span = c->bias_span};
}

static void run_attention(op_context *t, const attention_case *c, bool aligned) {
    operands o = make_operands(t, c, aligned);
    int64_t count = o.l.rows * c->heads * c->head_size;
    double *exact = op_host(t, (size_t)count * sizeof *exact);
    float *plain = op_host(t, (size_t)count * sizeof *plain);
    double *scores = op_host(t, (size_t)(o.l.max_k + 1) * sizeof *scores);
    float *plain_scores = op_host(t, (size_t)(o.l.max_k + 1) * sizeof *plain_scores);
    ref_attention ref = reference_of(c, &o);
    char what[160];

    run_on_device(t, c, &o);
    double largest = ref_attention_f64(exact, scores, &ref);
    (void)ref_attention_f32(plain, plain_scores, &ref);
    snprintf(what, sizeof what,
             "attention D %lld rule %d page %u n[0] %lld m[0] %lld spread %g bias %lld from %lld",
             (long long)c->head_size, (int)c->rule, (unsigned)c->page_tokens, (long long)c->n[0],
             (long long)c->m[0], c->spread, (long long)c->bias_span, (long long)c->bias_zero);
    float *got = op_mat_read(t, o.y);
    op_compare_sensitive(what, t->device->compute, fmax(1.0, largest), got, exact, plain, count);
    for (int64_t i = 0; i < count; i++)
        if (exact[i] == 0.0 && got[i] != 0.0f) /* a row that sees no key */
            ck_abort_msg("%s: [%lld] is %g, not 0", what, (long long)i, (double)got[i]);
    op_mat_unchanged(t, o.qkv);
}

START_TEST(listed) {
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (size_t i = 0; i < 2 * (sizeof cases / sizeof *cases); i++) {
        run_attention(&t, &cases[i / 2], i % 2 == 0);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

START_TEST(drawn) {
    static const b2_type types[3] = {B2_F32, B2_F16, B2_BF16};
    static const int64_t sizes[6] = {64, 80, 88, 128, 44, 5};
    op_context t;

    if (!op_open(&t, _i))
        return;
    op_context draw = t; /* for random numbers alone */
    for (int i = 0; i < 60; i++) {
        bool fresh = i % 4 == 1;
        int64_t group = op_integer(&draw, 1, 3);
        attention_case c = {.heads = group * op_integer(&draw, 1, 2),
                            .group = group,
                            .head_size = i % 4 == 3 ? op_integer(&draw, 1, 140)
                                                    : sizes[op_integer(&draw, 0, 5)],
                            .segments = op_integer(&draw, 1, 5),
                            .rule = (b2_mask_rule)op_integer(&draw, 0, 3),
                            .page_tokens = i % 2 == 0 ? 0 : (uint32_t)op_integer(&draw, 1, 40),
                            .kv_type = types[op_integer(&draw, 0, 2)],
                            .spread = op_uniform(&draw, 0.1, 20.0),
                            .kv = fresh ? FRESH : OWN,
                            .bias_span = i % 3 == 1 ? op_integer(&draw, 1, 60) : 0};

        c.bias_zero = c.bias_span > 0 ? op_integer(&draw, 0, c.bias_span - 1) : 0;

        for (int64_t s = 0; s < c.segments; s++) {
            c.queries[s] = op_integer(&draw, 0, 20);
            c.n[s] = op_integer(&draw, 0, i % 5 == 0 ? 90 : 8);
            c.m[s] = i % 3 == 0 ? c.n[s] : op_integer(&draw, fresh ? c.n[s] : 0, 150);
        }
        t.random += (uint64_t)i;
        run_attention(&t, &c, i / 4 % 2 == 0);
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

/* Scores of several hundred: exp without the running maximum would overflow. */
START_TEST(large_scores) {
    op_context t;
    attention_case c = {2, 64, 1, {5}, {90}, {0}, B2_MASK_ALL, 0, B2_F32, OWN, 300.0, 0, 0, 1};

    if (!op_open(&t, _i))
        return;
    if (t.device->compute == B2_F32)
        run_attention(&t, &c, true);
    op_close(&t);
}
END_TEST

START_TEST(refusals) {
    op_context t;
    int32_t zero[2] = {0, 1}, one[1] = {1};

    if (!op_open(&t, _i))
        return;
    op_mat q = op_mat_new(&t, t.device->compute, 1, 8, 0, OP_RANDOM);
    op_mat y = op_mat_new(&t, t.device->compute, 1, 8, 0, OP_NAN);
    b2_attention op = {.q = q.device,
                       .k = q.device,
                       .v = q.device,
                       .y = y.device,
                       .q_start = op_upload(&t, zero, sizeof zero),
                       .k_first = op_upload(&t, zero, sizeof(int32_t)),
                       .k_count = op_upload(&t, one, sizeof one),
                       .segments = 1,
                       .heads = 2,
                       .head_size = 4,
                       .max_q = 1,
                       .max_k = 1,
                       .scale = 1.0f,
                       .rule = B2_MASK_QFORMER_SPLIT};

    ck_assert_status(t.device->ops->attention(t.device, &op), BLIP2_EINTERNAL);
    op.rule = B2_MASK_ALL;
    op.bias = (const float *)q.device.data;
    op.bias_zero = op.bias_span = 4; /* distances -4 .. -1 */
    ck_assert_status(t.device->ops->attention(t.device, &op), BLIP2_EINTERNAL);
    op.bias = NULL;
    op.head_size = 5;
    ck_assert_status(t.device->ops->attention(t.device, &op), BLIP2_EINTERNAL);
    op.head_size = 4;
    op.k.cols = 7;
    ck_assert_status(t.device->ops->attention(t.device, &op), BLIP2_EINTERNAL);
    op.k = q.device;
    op.kv_heads = 3;
    ck_assert_status(t.device->ops->attention(t.device, &op), BLIP2_EINTERNAL);
    op.kv_heads = 1; /* 8 columns are 2 heads */
    ck_assert_status(t.device->ops->attention(t.device, &op), BLIP2_EINTERNAL);
    op.kv_heads = 0;
    op.slots = op.q_start; /* new rows, but no pages */
    ck_assert_status(t.device->ops->attention(t.device, &op), BLIP2_EINTERNAL);
    op_mat_unchanged(&t, y);
    op_close(&t);
}
END_TEST

void suite_attention(Suite *suite) {
    op_add_case(suite, "attention", listed);
    op_add_case(suite, "attention, drawn", drawn);
    op_add_case(suite, "attention, large scores", large_scores);
    op_add_case(suite, "attention refuses", refusals);
}
