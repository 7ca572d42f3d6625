#include "kernel_work.h"

#include <math.h>

#include "timing.h"

static b2_kv_view view_of(const kernel_shape *s, const kernel_set *set) {
    return (b2_kv_view){.pages = set->a.data,
                        .layout = {.type = set->a.type,
                                   .layers = 1,
                                   .heads = s->heads,
                                   .head_size = s->head_size,
                                   .page_tokens = KERNEL_PAGE_TOKENS,
                                   .page_bytes = (size_t)set->a.stride * b2_type_size(set->a.type)},
                        .page_table = set->index[3],
                        .table_stride =
                            (uint32_t)((s->m + KERNEL_PAGE_TOKENS - 1) / KERNEL_PAGE_TOKENS)};
}

static blip2_status attend(b2_device *d, const kernel_shape *s, const kernel_set *set) {
    b2_attention op = {.q = set->x,
                       .y = set->y,
                       .q_start = set->index[0],
                       .k_first = set->index[1],
                       .k_count = set->index[2],
                       .segments = s->segments,
                       .heads = s->heads,
                       .head_size = s->head_size,
                       .max_q = (uint32_t)s->n,
                       .max_k = (uint32_t)s->m,
                       .scale = 1.0f / sqrtf((float)s->head_size),
                       .bias = set->vector[0],
                       .bias_span = s->bias_span,
                       .bias_zero = s->rule == B2_MASK_CAUSAL ? s->bias_span - 1 : s->bias_span / 2,
                       .rule = s->rule};

    if (s->paged) {
        op.kv = view_of(s, set);
    } else {
        op.k = set->a;
        op.v = set->b;
    }
    return d->ops->attention(d, &op);
}

static blip2_status choose(b2_device *d, const kernel_set *set) {
    return d->ops->choose(d, &(b2_choose){.logits = set->x,
                                          .history = set->index[0],
                                          .history_count = set->index[0],
                                          .history_stride = 1,
                                          .repetition_penalty = set->vector[0],
                                          .stop_ids = set->index[1],
                                          .stop_count = 1,
                                          .ban_stop = set->index[2],
                                          .tokens = set->index[3]});
}

static blip2_status embed_patches(b2_device *d, const kernel_shape *s, const kernel_set *set) {
    return d->ops->patch_embed(d, &(b2_patch_embed){.pixels = set->x.data,
                                                    .images = (uint32_t)s->n,
                                                    .height = (uint32_t)s->m,
                                                    .width = (uint32_t)s->m,
                                                    .patch = s->patch,
                                                    .w = set->weight,
                                                    .bias = set->vector[0],
                                                    .cls = set->vector[1],
                                                    .position = set->vector[2],
                                                    .scratch = set->a,
                                                    .y = set->y});
}

blip2_status kernel_work_queue(const kernel_work *work, uint32_t i) {
    const kernel_shape *s = &work->shape;
    const kernel_set *set = &work->set[i % work->sets];
    b2_device *d = work->device;

    switch (s->op) {
    case KERNEL_COPY:
        return b2_gpu_copy(d, set->y.data, set->x.data, (size_t)s->n);
    case KERNEL_LINEAR:
        return d->ops->linear(d, &(b2_linear){.x = set->x,
                                              .w = set->weight,
                                              .bias = set->vector[0],
                                              .act = s->act,
                                              .gated = s->gated,
                                              .residual = set->a,
                                              .y = set->y});
    case KERNEL_NORM:
        return d->ops->norm(d, &(b2_norm){.x = set->x,
                                          .add = set->a,
                                          .gamma = set->vector[0],
                                          .beta = set->vector[1],
                                          .eps = 1e-6f,
                                          .rms = s->no_bias,
                                          .y = set->y,
                                          .sum = set->z});
    case KERNEL_EMBED:
        return d->ops->embed(d, &(b2_embed){.table = set->weight,
                                            .ids = set->index[0],
                                            .count = (uint32_t)s->n,
                                            .y = set->y});
    case KERNEL_COPY_ROWS:
        return d->ops->copy_rows(
            d, &(b2_copy_rows){
                   .x = set->x, .y = set->y, .x_rows = set->index[0], .count = (uint32_t)s->n});
    case KERNEL_KV_WRITE:
        return d->ops->kv_write(
            d, &(b2_kv_write){
                   .k = set->x, .v = set->b, .kv = view_of(s, set), .slots = set->index[0]});
    case KERNEL_ATTENTION:
        return attend(d, s, set);
    case KERNEL_CHOOSE:
        return choose(d, set);
    case KERNEL_TOP_K:
        return d->ops->top_k(d, &(b2_top_k){.logits = set->x,
                                            .top = (uint32_t)s->m,
                                            .log_prob = set->vector[0],
                                            .ids = set->index[0]});
    case KERNEL_L2:
        return d->ops->l2_normalise(d, &(b2_l2_normalise){.x = set->x, .y = set->y});
    case KERNEL_ITC:
        return d->ops->itc_max(
            d, &(b2_itc_max){.products = set->x, .queries = (uint32_t)s->m, .y = set->y});
    case KERNEL_ROPE:
        return d->ops->rope(d, &(b2_rope){.x = set->x,
                                          .positions = set->index[0],
                                          .cos_sin = set->vector[0],
                                          .heads = s->heads,
                                          .head_size = s->head_size});
    case KERNEL_PATCH:
        return embed_patches(d, s, set);
    }
    return b2_fail(BLIP2_EINTERNAL, "%s: an unknown operation", s->name);
}
