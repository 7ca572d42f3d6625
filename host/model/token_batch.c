#include "model/token_batch.h"

blip2_status b2_token_batch_embed(const b2_run *run, const b2_token_batch *batch,
                                  const b2_weight *table, b2_mat e) {
    b2_device *device = run->device;
    blip2_status status;

    if (batch->soft_count > 0 &&
        (status = device->ops->copy_rows(device, &(b2_copy_rows){.x = batch->soft,
                                                                 .y = e,
                                                                 .x_rows = batch->soft_from,
                                                                 .y_rows = batch->soft_to,
                                                                 .count = batch->soft_count})) < 0)
        return status;
    if (batch->id_count == 0)
        return BLIP2_OK;
    return device->ops->embed(device, &(b2_embed){.table = table,
                                                  .ids = batch->ids,
                                                  .rows = batch->id_rows,
                                                  .count = batch->id_count,
                                                  .y = e});
}
