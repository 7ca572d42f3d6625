#include "engine/logprobs.h"

#include <math.h>

#include "decode/process.h"

void b2_row_look_at(b2_row_look *look, const float *row, uint32_t vocab, uint32_t wanted) {
    look->row = row;
    look->wanted = wanted;
    look->top = 0;
    look->log_sum = b2_log_sum(row, vocab, &look->most);
    for (uint32_t i = 0; i < vocab && wanted > 0; i++)
        if (!isnan(row[i]))
            b2_best_insert(look->best, look->ids, &look->top, wanted, row[i], (int32_t)i);
}

void b2_row_look_put(const b2_row_look *look, int32_t token, blip2_logprob *out) {
    out[0] = (blip2_logprob){token, look->row[token] - look->most - look->log_sum};
    for (uint32_t i = 0; i < look->wanted; i++)
        out[1 + i] = i < look->top
                         ? (blip2_logprob){look->ids[i], look->best[i] - look->most - look->log_sum}
                         : (blip2_logprob){-1, -INFINITY};
}
