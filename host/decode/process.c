#include "decode/process.h"

#include <math.h>

#include "decode/decoding.h"

uint32_t b2_process_top(const b2_processors *processors, uint32_t wanted, uint32_t most) {
    uint32_t top = processors->banned_count < most ? wanted + processors->banned_count : most;

    return processors->repetition_penalty != 1.0f || top > most ? most : top;
}

void b2_best_insert(float *log_prob, int32_t *ids, uint32_t *count, uint32_t wanted, float value,
                    int32_t id) {
    uint32_t i = *count;

    if (i == wanted) {
        if (!(value > log_prob[i - 1] || (value == log_prob[i - 1] && id < ids[i - 1])))
            return;
        i--;
    } else {
        ++*count;
    }
    for (; i > 0 && (log_prob[i - 1] < value || (log_prob[i - 1] == value && ids[i - 1] > id));
         i--) {
        log_prob[i] = log_prob[i - 1];
        ids[i] = ids[i - 1];
    }
    log_prob[i] = value;
    ids[i] = id;
}

/* Ids that are not in the list have log-probabilities up to the last one's, and after a penalty
 * above 1 as well. */
bool b2_process_best(const b2_processors *p, float *log_prob, int32_t *ids, uint32_t count,
                     uint32_t wanted, uint32_t vocab) {
    uint32_t kept = 0, there = 0;
    float last = INFINITY;
    bool whole;

    for (uint32_t i = 0; i < count && ids[i] >= 0; i++, there++) {
        float value = last = log_prob[i];
        int32_t id = ids[i];

        if (b2_is_among(p->banned, p->banned_count, id))
            continue;
        if (p->repetition_penalty != 1.0f && b2_is_among(p->seen, p->seen_count, id))
            value *= p->repetition_penalty;
        if (value > -INFINITY)
            b2_best_insert(log_prob, ids, &kept, wanted, value, id); /* never beyond i */
    }
    whole = there < count || there == vocab;
    if (kept < count)
        ids[kept] = -1;
    return whole || (p->repetition_penalty >= 1.0f && kept == wanted && log_prob[kept - 1] >= last);
}

float b2_log_sum(const float *logits, uint32_t vocab, float *most) {
    float sum = 0.0f;

    *most = -INFINITY;
    for (uint32_t i = 0; i < vocab; i++)
        *most = logits[i] > *most ? logits[i] : *most;
    for (uint32_t i = 0; i < vocab; i++)
        sum += isnan(logits[i]) ? 0.0f : expf(logits[i] - *most);
    return logf(sum);
}

void b2_log_softmax(float *logits, uint32_t vocab) {
    float most, sum = b2_log_sum(logits, vocab, &most);

    for (uint32_t i = 0; i < vocab; i++)
        logits[i] = logits[i] - most - sum;
}

void b2_process_scores(const b2_processors *p, float *scores) {
    for (uint32_t i = 0; i < p->seen_count && p->repetition_penalty != 1.0f; i++) {
        float *score = &scores[p->seen[i]];

        if (!b2_is_among(p->seen, i, p->seen[i]))
            *score =
                *score < 0.0f ? *score * p->repetition_penalty : *score / p->repetition_penalty;
    }
    for (uint32_t i = 0; i < p->banned_count; i++)
        scores[p->banned[i]] = -INFINITY;
}

void b2_process_row(const b2_processors *p, float *logits, uint32_t vocab, float *log_prob,
                    int32_t *ids, uint32_t wanted) {
    uint32_t kept = 0;

    b2_log_softmax(logits, vocab);
    b2_process_scores(p, logits);
    for (uint32_t i = 0; i < vocab; i++)
        if (logits[i] > -INFINITY)
            b2_best_insert(log_prob, ids, &kept, wanted, logits[i], (int32_t)i);
    if (kept < wanted)
        ids[kept] = -1;
}
