/* What is queued for a batch beside the part that writes text: copies of pages before it, the
 * choice of tokens behind it. */
#include "engine/batch.h"

blip2_status b2_batch_copy_pages(const b2_batch *batch, b2_device *device) {
    const b2_kv_layout *kv = &batch->packed.kv.layout;
    size_t slot = kv->head_size * b2_type_size(kv->type);
    const b2_kv_copy_pages op = {.pages = batch->packed.kv.pages,
                                 .page_bytes = kv->page_bytes,
                                 .from = batch->device.copy_from,
                                 .to = batch->device.copy_to,
                                 .rows = batch->device.copy_rows,
                                 .slot_bytes = slot,
                                 .run_bytes = slot * kv->page_tokens,
                                 .count = batch->copy_count};

    return op.count > 0 ? device->ops->kv_copy_pages(device, &op) : BLIP2_OK;
}

static blip2_status choose(b2_batch *batch, b2_device *device) {
    const b2_batch_arrays *d = &batch->device;
    uint32_t first = batch->beam_count;
    const b2_decoding_options *options = &batch->chosen[0]->decoding.options;
    const b2_choose op = {.logits = b2_mat_rows(batch->logits, first, b2_batch_choices(batch)),
                          .history = d->history + (size_t)first * batch->history_stride,
                          .history_count = d->history_count + first,
                          .history_stride = batch->history_stride,
                          .repetition_penalty = d->penalty + first,
                          .stop_ids = d->stop_ids,
                          .stop_count = options->stop_count,
                          .ban_stop = d->ban_stop + first,
                          .tokens = batch->tokens + first};

    return op.logits.rows > 0 ? device->ops->choose(device, &op) : BLIP2_OK;
}

/* After `choose`, which has left penalties and bans in the logits. */
static blip2_status sample(b2_batch *batch, b2_device *device) {
    const b2_batch_arrays *d = &batch->device;
    uint32_t first = batch->beam_count;
    const b2_sample op = {.logits = b2_mat_rows(batch->logits, first, b2_batch_choices(batch)),
                          .temperature = d->temperature + first,
                          .top_p = d->top_p + first,
                          .top_k = d->top_k + first,
                          .seed = d->seed + first,
                          .counter = d->counter + first,
                          .tokens = batch->tokens + first};

    return batch->sampled ? device->ops->sample(device, &op) : BLIP2_OK;
}

blip2_status b2_batch_choose(b2_batch *batch, b2_device *device, b2_mat logits) {
    const b2_top_k op = {.logits = b2_mat_rows(logits, 0, batch->beam_count),
                         .top = batch->best_count,
                         .log_prob = batch->best,
                         .ids = batch->best_ids};
    blip2_status status = BLIP2_OK;

    batch->logits = logits;
    if (batch->beam_count > 0)
        status = device->ops->top_k(device, &op);
    if (status == BLIP2_OK)
        status = choose(batch, device);
    return status < 0 ? status : sample(batch, device);
}

blip2_status b2_batch_fetch(b2_batch *batch, b2_device *device) {
    size_t best = (size_t)batch->beam_count * batch->best_count;
    uint32_t first = batch->beam_count;
    blip2_status status = BLIP2_OK;

    if (best > 0 && ((status = device->ops->download(device, batch->host_best_ids, batch->best_ids,
                                                     best * sizeof *batch->best_ids)) < 0 ||
                     (status = device->ops->download(device, batch->host_best, batch->best,
                                                     best * sizeof *batch->best)) < 0))
        return status;
    if (b2_batch_choices(batch) == 0)
        return BLIP2_OK;
    return device->ops->download(device, batch->host_tokens + first, batch->tokens + first,
                                 b2_batch_choices(batch) * sizeof *batch->host_tokens);
}
