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

const blip2_logprob b2_no_logprob = {-1, -INFINITY};

void b2_row_look_put_best(const b2_row_look *look, blip2_logprob *out) {
    for (uint32_t i = 0; i < look->wanted; i++)
        out[i] = i < look->top
                     ? (blip2_logprob){look->ids[i], look->best[i] - look->most - look->log_sum}
                     : b2_no_logprob;
}

void b2_row_look_put(const b2_row_look *look, int32_t token, blip2_logprob *out) {
    out[0] = (blip2_logprob){token, b2_row_look_log_prob(look, token)};
    b2_row_look_put_best(look, out + 1);
}
