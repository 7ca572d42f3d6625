#include "engine/contrastive.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "decode/process.h"

enum { LANES = 16 }; /* sums that a compiler may keep in one vector */

blip2_status b2_contrastive_open(b2_contrastive **out, float alpha, uint32_t most, uint32_t vocab,
                                 uint32_t columns, size_t most_rows) {
    b2_contrastive *search;
    size_t context, hidden;

    *out = NULL;
    if (!(alpha > 0.0f && alpha <= 1.0f))
        return b2_fail(BLIP2_EINVAL, "penalty_alpha: got %g, expected 0 to 1", (double)alpha);
    if (most < 2 || most > B2_TOP_MOST || most > vocab)
        return b2_fail(BLIP2_EINVAL,
                       "top_k: got %u, expected 2 to %d of %u tokens with penalty_alpha", most,
                       B2_TOP_MOST, vocab);
    if ((search = b2_calloc(1, sizeof *search)) == NULL)
        return b2_fail_memory();
    search->alpha = alpha;
    search->most = most;
    search->columns = columns;
    search->ids = b2_alloc_array(most, sizeof *search->ids);
    search->prob = b2_alloc_array(most, sizeof *search->prob);
    if (b2_size_mul(most_rows, columns, &context) && b2_size_mul(most, columns, &hidden)) {
        search->context = b2_alloc_array(context, sizeof *search->context);
        search->hidden = b2_alloc_array(hidden, sizeof *search->hidden);
    }
    if (search->ids == NULL || search->prob == NULL || search->context == NULL ||
        search->hidden == NULL) {
        b2_contrastive_close(search);
        return b2_fail_memory();
    }
    *out = search;
    return BLIP2_OK;
}

void b2_contrastive_close(b2_contrastive *search) {
    if (search == NULL)
        return;
    b2_free(search->context);
    b2_free(search->ids);
    b2_free(search->prob);
    b2_free(search->hidden);
    b2_free(search);
}

/* The sum is cut by the number of columns alone. */
static float dot(const float *a, const float *b, uint32_t count) {
    float lanes[LANES] = {0};
    float sum = 0.0f;
    uint32_t i = 0;

    for (; i + LANES <= count; i += LANES)
        for (uint32_t l = 0; l < LANES; l++)
            lanes[l] += a[i + l] * b[i + l];
    for (; i < count; i++)
        sum += a[i] * b[i];
    for (uint32_t l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* As the seam's l2_normalise. */
static void to_unit_length(float *row, uint32_t count) {
    float length = fmaxf(sqrtf(dot(row, row, count)), 1e-12f);

    for (uint32_t i = 0; i < count; i++)
        row[i] /= length;
}

blip2_status b2_contrastive_take(b2_contrastive *search, b2_device *device, b2_mat rows) {
    uint32_t count = (uint32_t)rows.rows;
    float *to = search->count > 0 ? search->hidden
                                  : search->context + (size_t)search->rows * search->columns;
    blip2_status status =
        device->ops->download(device, to, rows.data, (size_t)count * search->columns * sizeof *to);

    if (status < 0)
        return status;
    for (uint32_t r = 0; r < count; r++)
        to_unit_length(to + (size_t)r * search->columns, search->columns);
    search->rows += search->count > 0 ? 0 : count;
    return BLIP2_OK;
}

/* The largest cosine with a row of the context; NaN if any is, as transformers has it. */
static float penalty(const b2_contrastive *search, uint32_t candidate) {
    const float *hidden = search->hidden + (size_t)candidate * search->columns;
    float most = -INFINITY;

    for (uint32_t r = 0; r < search->rows; r++) {
        float cosine = dot(hidden, search->context + (size_t)r * search->columns, search->columns);

        if (isnan(cosine))
            return cosine;
        most = cosine > most ? cosine : most;
    }
    return most;
}

int32_t b2_contrastive_choose(b2_contrastive *search) {
    float best = -INFINITY;
    int32_t chosen = -1;

    for (uint32_t i = 0; i < search->count; i++) {
        float score = (1.0f - search->alpha) * search->prob[i] - search->alpha * penalty(search, i);

        if (score > best) {
            best = score;
            chosen = (int32_t)i;
        }
    }
    if (chosen >= 0)
        memcpy(search->context + (size_t)search->rows++ * search->columns,
               search->hidden + (size_t)chosen * search->columns,
               search->columns * sizeof *search->hidden);
    return chosen;
}

blip2_status b2_contrastive_propose(b2_contrastive *search, const float *scores, uint32_t vocab) {
    float most, log_sum = b2_log_sum(scores, vocab, &most);

    search->count = 0;
    for (uint32_t i = 0; i < vocab; i++)
        if (scores[i] > -INFINITY)
            b2_best_insert(search->prob, search->ids, &search->count, search->most, scores[i],
                           (int32_t)i);
    for (uint32_t i = 0; i < search->count; i++)
        search->prob[i] = expf(search->prob[i] - most - log_sum);
    if (search->count == 0 || isnan(search->prob[0]))
        return b2_fail(BLIP2_EFORMAT,
                       "the language model's scores are not numbers: are the weights sound?");
    return BLIP2_OK;
}
