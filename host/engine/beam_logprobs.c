#include "engine/beam_logprobs.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"

blip2_status b2_beam_logprobs_init(b2_beam_logprobs *logprobs, uint32_t top, uint32_t vocab,
                                   uint32_t beams, uint32_t max_new_tokens) {
    size_t rows, best;

    *logprobs = (b2_beam_logprobs){.top = top, .beams = beams};
    if (!b2_size_mul(max_new_tokens, beams, &rows) || !b2_size_mul(rows, top, &best))
        return b2_fail_memory();
    logprobs->best = b2_alloc_array(best, sizeof *logprobs->best);
    logprobs->from = b2_alloc_array(rows, sizeof *logprobs->from);
    logprobs->own = b2_alloc_array(rows, sizeof *logprobs->own);
    logprobs->known = b2_alloc_array((size_t)beams * B2_TOP_MOST, sizeof *logprobs->known);
    logprobs->row = b2_alloc_array(vocab, sizeof *logprobs->row);
    return logprobs->best == NULL || logprobs->from == NULL || logprobs->own == NULL ||
                   logprobs->known == NULL || logprobs->row == NULL
               ? b2_fail_memory()
               : BLIP2_OK;
}

void b2_beam_logprobs_free(b2_beam_logprobs *logprobs) {
    b2_free(logprobs->best);
    b2_free(logprobs->from);
    b2_free(logprobs->own);
    b2_free(logprobs->known);
    b2_free(logprobs->row);
    *logprobs = (b2_beam_logprobs){0};
}

static blip2_logprob *best_of(const b2_beam_logprobs *logprobs, uint32_t step, uint32_t beam) {
    return logprobs->best + ((size_t)step * logprobs->beams + beam) * logprobs->top;
}

void b2_beam_logprobs_take_list(b2_beam_logprobs *logprobs, uint32_t step, uint32_t beam,
                                const float *log_prob, const int32_t *ids, uint32_t count) {
    blip2_logprob *best = best_of(logprobs, step, beam);
    uint32_t n = 0;

    logprobs->known_count[beam] = 0;
    for (; n < count && ids[n] >= 0; n++) {
        b2_beam_logprobs_know(logprobs, beam, ids[n], log_prob[n]);
        if (n < logprobs->top)
            best[n] = (blip2_logprob){ids[n], log_prob[n]};
    }
    for (; n < logprobs->top; n++)
        best[n] = b2_no_logprob;
}

void b2_beam_logprobs_take_row(b2_beam_logprobs *logprobs, uint32_t step, uint32_t beam,
                               const b2_row_look *look) {
    logprobs->known_count[beam] = 0;
    b2_row_look_put_best(look, best_of(logprobs, step, beam));
}

void b2_beam_logprobs_know(b2_beam_logprobs *logprobs, uint32_t beam, int32_t token,
                           float log_prob) {
    logprobs->known[(size_t)beam * B2_TOP_MOST + logprobs->known_count[beam]++] =
        (blip2_logprob){token, log_prob};
}

static float find(const b2_beam_logprobs *logprobs, uint32_t beam, int32_t token) {
    const blip2_logprob *known = logprobs->known + (size_t)beam * B2_TOP_MOST;

    for (uint32_t i = 0; i < logprobs->known_count[beam]; i++)
        if (known[i].token == token)
            return known[i].log_prob;
    return NAN;
}

void b2_beam_logprobs_keep(b2_beam_logprobs *logprobs, b2_beams *beams) {
    uint32_t step = beams->length - 1;

    for (uint32_t b = 0; b < beams->running; b++) {
        size_t at = (size_t)step * logprobs->beams + b;

        logprobs->from[at] = beams->parent[b];
        logprobs->own[at] = find(logprobs, beams->parent[b], b2_beams_tokens(beams, b)[step]);
    }
    for (uint32_t i = 0; i < beams->finished_count; i++) {
        b2_hypothesis *text = &beams->finished[i];

        if (text->count == beams->length) /* finished in this step */
            text->log_prob = find(logprobs, text->parent, text->tokens[step]);
    }
}

void b2_beam_logprobs_write(const b2_beam_logprobs *logprobs, const b2_hypothesis *text,
                            blip2_logprob *out) {
    uint32_t row = text->parent;
    float own = text->log_prob;

    for (uint32_t s = text->count; s-- > 0;) {
        blip2_logprob *to = out + (size_t)s * (1 + logprobs->top);

        to[0] = (blip2_logprob){text->tokens[s], own};
        memcpy(to + 1, best_of(logprobs, s, row), logprobs->top * sizeof *to);
        if (s > 0) {
            size_t at = (size_t)(s - 1) * logprobs->beams + row;

            own = logprobs->own[at];
            row = logprobs->from[at];
        }
    }
}
