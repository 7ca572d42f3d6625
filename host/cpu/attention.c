/* y = softmax(scale q k' under the rule) v, one online softmax for each row and head. */
#include <math.h>

#include "cpu/cpu.h"

enum { MAX_HEAD_SIZE = 512 };

/* Running softmax over the keys seen so far: largest score m, sum d of exp(score - m), and
 * o = sum of exp(score - m) v. A row that saw nothing has d = 0. */
typedef struct softmax_state {
    float m, d;
    float *o; /* [D] */
} softmax_state;

/* Keys first .. last-1 are seen. */
typedef struct key_range {
    int64_t first, last;
} key_range;

/* Row i of n rows and m keys, of which the first `queries` are learned queries. */
static key_range visible_keys(b2_mask_rule rule, int64_t i, int64_t n, int64_t m, int64_t queries) {
    int64_t own = m - n + i; /* the key of the row itself; negative: before all keys */
    int64_t through_own = own < 0 ? 0 : own + 1;

    queries = queries < m ? queries : m;
    switch (rule) {
    case B2_MASK_ALL:
        break;
    case B2_MASK_CAUSAL:
        return (key_range){0, through_own};
    case B2_MASK_QFORMER_SPLIT:
        return own < queries ? (key_range){0, queries} : (key_range){queries, m};
    case B2_MASK_QFORMER_CAUSAL:
        return (key_range){0, own < queries ? queries : through_own};
    }
    return (key_range){0, m};
}

/* out [D] = key (which 0) or value (1) j of segment s and head h. */
static void load_row(float *out, const b2_attention *op, uint32_t s, uint32_t h, int64_t j,
                     uint32_t which) {
    const b2_kv_layout *layout = &op->kv.layout;
    const b2_mat *packed = which == 0 ? &op->k : &op->v;
    const char *from;
    b2_type type;

    if (op->kv.pages != NULL) {
        int32_t page =
            op->kv.page_table[(size_t)s * op->kv.table_stride + (size_t)(j / layout->page_tokens)];

        type = layout->type;
        from = (const char *)op->kv.pages + (size_t)page * layout->page_bytes +
               b2_kv_offset(layout, op->kv.layer, which, h, (uint32_t)(j % layout->page_tokens)) *
                   b2_type_size(type);
    } else {
        type = packed->type;
        from = (const char *)packed->data +
               (size_t)((op->k_first[s] + j) * packed->stride + (int64_t)h * op->head_size) *
                   b2_type_size(type);
    }
    b2_to_f32(out, from, type, op->head_size);
}

static void see_key(softmax_state *state, float score, const float *value, size_t head_size) {
    float m = score > state->m ? score : state->m;
    float rescale = state->d > 0.0f ? expf(state->m - m) : 0.0f;
    float weight = expf(score - m);

    state->d = state->d * rescale + weight;
    for (size_t c = 0; c < head_size; c++)
        state->o[c] = state->o[c] * rescale + weight * value[c];
    state->m = m;
}

static void attend_row(const b2_attention *op, uint32_t s, uint32_t h, int64_t i) {
    int64_t n = op->q_start[s + 1] - op->q_start[s], row = op->q_start[s] + i;
    const float *q = b2_cpu_row(op->q, row) + (size_t)h * op->head_size;
    float *y = b2_cpu_row(op->y, row) + (size_t)h * op->head_size;
    float key[MAX_HEAD_SIZE], value[MAX_HEAD_SIZE], o[MAX_HEAD_SIZE] = {0};
    softmax_state state = {-INFINITY, 0.0f, o};
    key_range keys =
        visible_keys(op->rule, i, n, op->k_count[s], op->queries != NULL ? op->queries[s] : 0);

    for (int64_t j = keys.first; j < keys.last; j++) {
        float score = 0.0f;

        load_row(key, op, s, h, j, 0);
        load_row(value, op, s, h, j, 1);
        for (size_t c = 0; c < op->head_size; c++)
            score += q[c] * key[c];
        see_key(&state, score * op->scale, value, op->head_size);
    }
    for (size_t c = 0; c < op->head_size; c++)
        y[c] = state.d > 0.0f ? o[c] / state.d : 0.0f;
}

static blip2_status check(const b2_attention *op) {
    int64_t cols = (int64_t)op->heads * op->head_size;
    const b2_kv_layout *layout = &op->kv.layout;

    if (op->head_size == 0 || op->head_size > MAX_HEAD_SIZE)
        return b2_cpu_refuse("attention", "the head size is not between 1 and 512");
    if (!b2_cpu_is(op->q, op->q.rows, cols) || !b2_cpu_is(op->y, op->q.rows, cols))
        return b2_cpu_refuse("attention", "q or y do not fit the heads");
    if (op->kv.pages != NULL) {
        if (layout->heads != op->heads || layout->head_size != op->head_size ||
            layout->page_tokens == 0 || op->kv.layer >= layout->layers || op->kv.page_table == NULL)
            return b2_cpu_refuse("attention", "the pages do not fit the heads");
    } else if (op->max_k > 0 && (op->k.data == NULL || op->v.data == NULL || op->k.cols != cols ||
                                 op->v.cols != cols || op->k_first == NULL)) {
        return b2_cpu_refuse("attention", "k or v do not fit the heads");
    }
    if (op->queries == NULL &&
        (op->rule == B2_MASK_QFORMER_SPLIT || op->rule == B2_MASK_QFORMER_CAUSAL))
        return b2_cpu_refuse("attention", "a Q-Former rule without query counts");
    return BLIP2_OK;
}

blip2_status b2_cpu_attention(b2_device *device, const b2_attention *op) {
    b2_cpu *cpu = b2_cpu_of(device);
    int64_t pieces = (int64_t)op->segments * op->heads * op->max_q;
    blip2_status status;

    if (op->segments == 0 || op->q.rows == 0)
        return BLIP2_OK;
    if ((status = check(op)) != BLIP2_OK)
        return status;
#pragma omp parallel for num_threads(cpu->threads)
    for (int64_t p = 0; p < pieces; p++) {
        int64_t i = p % op->max_q;
        uint32_t h = (uint32_t)(p / op->max_q % op->heads);
        uint32_t s = (uint32_t)(p / op->max_q / op->heads);

        if (i < op->q_start[s + 1] - op->q_start[s])
            attend_row(op, s, h, i);
    }
    return BLIP2_OK;
}
