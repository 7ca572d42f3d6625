#include "decode/sampling.h"

#include <math.h>
#include <stdlib.h>

#include "decode/process.h"
#include "device.h"
#include "draw.h"

blip2_status b2_warpers_check(const b2_warpers *w) {
    if (!isfinite(w->temperature) || w->temperature <= 0.0f)
        return b2_fail(BLIP2_EINVAL, "temperature: got %g, expected a number above 0",
                       (double)w->temperature);
    if (!(w->top_p > 0.0f && w->top_p <= 1.0f))
        return b2_fail(BLIP2_EINVAL, "top_p: got %g, expected above 0 and at most 1",
                       (double)w->top_p);
    if (!(w->min_p >= 0.0f && w->min_p <= 1.0f))
        return b2_fail(BLIP2_EINVAL, "min_p: got %g, expected 0 to 1", (double)w->min_p);
    if (!(w->typical_p > 0.0f && w->typical_p <= 1.0f))
        return b2_fail(BLIP2_EINVAL, "typical_p: got %g, expected above 0 and at most 1",
                       (double)w->typical_p);
    return BLIP2_OK;
}

bool b2_warpers_fit_device(const b2_warpers *w) {
    return w->top_k >= 1 && w->top_k <= B2_TOP_MOST && w->min_p == 0.0f && w->typical_p == 1.0f;
}

/* ---- the front of an order ---------------------------------------------------------------- */

static void swap(b2_drawable *a, b2_drawable *b) {
    b2_drawable keep = *a;

    *a = *b;
    *b = keep;
}

static double middle(double a, double b, double c) {
    return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

/* list[first..end) in three: above the pivot, equal, below. *equal, *below: where these start. */
static void split(b2_drawable *list, uint32_t first, uint32_t end, uint32_t *equal,
                  uint32_t *below) {
    double pivot =
        middle(list[first].order, list[first + (end - first) / 2].order, list[end - 1].order);

    *equal = first;
    *below = end;
    for (uint32_t i = first; i < *below;) {
        if (list[i].order > pivot)
            swap(&list[i++], &list[(*equal)++]);
        else if (list[i].order < pivot)
            swap(&list[i], &list[--*below]);
        else
            i++;
    }
}

/* How many stay, moved to the front: in descending order one stays as long as those before it weigh
 * less than `mass` or are fewer than `least`. with_equals: and all that equal the last one. */
static uint32_t keep_front(b2_drawable *list, uint32_t count, double mass, uint32_t least,
                           bool with_equals) {
    uint32_t first = 0, end = count, equal, below;
    double before = 0.0; /* weight of list[0..first), which stays */

    while (first < end && (before < mass || first < least)) {
        double above = before;

        split(list, first, end, &equal, &below);
        for (uint32_t i = first; i < equal; i++)
            above += list[i].weight;
        if (above >= mass && equal >= least) { /* the boundary is among those above */
            end = equal;
            continue;
        }
        before = above;
        for (first = equal; first < below && (before < mass || first < least); first++)
            before += list[first].weight;
        if (first < below)
            return with_equals ? below : first;
    }
    return first;
}

/* ---- warpers ------------------------------------------------------------------------------ */

static void order_by_score(b2_drawable *list, uint32_t count) {
    for (uint32_t i = 0; i < count; i++)
        list[i].order = (double)list[i].score;
}

/* Weights relative to the best; their sum. */
static double weigh(b2_drawable *list, uint32_t count) {
    float best = -INFINITY;
    double total = 0.0;

    for (uint32_t i = 0; i < count; i++)
        best = list[i].score > best ? list[i].score : best;
    for (uint32_t i = 0; i < count; i++) {
        list[i].weight = list[i].score == best ? 1.0 : exp((double)list[i].score - (double)best);
        total += list[i].weight;
    }
    return total;
}

static uint32_t keep_top_k(b2_drawable *list, uint32_t count, uint32_t k) {
    if (k >= count)
        return count;
    order_by_score(list, count);
    return keep_front(list, count, 0.0, k, true);
}

static uint32_t keep_min_p(b2_drawable *list, uint32_t count, double min_p, uint32_t least) {
    uint32_t kept;

    order_by_score(list, count);
    kept = keep_front(list, count, 0.0, least, false);
    for (uint32_t i = kept; i < count; i++)
        if (list[i].weight >= min_p)
            swap(&list[i], &list[kept++]);
    return kept;
}

static uint32_t keep_typical(b2_drawable *list, uint32_t count, double mass, uint32_t least) {
    double total = weigh(list, count), entropy = log(total);

    for (uint32_t i = 0; i < count; i++)
        if (list[i].weight > 0.0)
            entropy -= list[i].weight / total * log(list[i].weight);
    for (uint32_t i = 0; i < count; i++) /* -log p = log total - log weight */
        list[i].order = -fabs(log(total) - log(list[i].weight) - entropy);
    return keep_front(list, count, mass * total, least, true);
}

static int by_id(const void *a, const void *b) {
    const b2_drawable *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

uint32_t b2_warp(const b2_warpers *w, const float *scores, uint32_t vocab, b2_drawable *out) {
    bool moved = w->top_k > 0 || w->top_p < 1.0f || w->min_p > 0.0f || w->typical_p < 1.0f;
    uint32_t count = 0;

    for (uint32_t i = 0; i < vocab; i++)
        if (scores[i] > -INFINITY)
            out[count++] = (b2_drawable){.score = scores[i] / w->temperature, .id = (int32_t)i};
    if (w->top_k > 0)
        count = keep_top_k(out, count, w->top_k > w->least ? w->top_k : w->least);
    if (w->top_p < 1.0f) {
        double total = weigh(out, count);

        order_by_score(out, count);
        count = keep_front(out, count, (double)w->top_p * total, w->least, false);
    }
    if (w->min_p > 0.0f) {
        (void)weigh(out, count);
        count = keep_min_p(out, count, (double)w->min_p, w->least);
    }
    if (w->typical_p < 1.0f)
        count = keep_typical(out, count, (double)w->typical_p, w->least);
    if (moved)
        qsort(out, count, sizeof *out, by_id);
    (void)weigh(out, count);
    return count;
}

/* ---- draws -------------------------------------------------------------------------------- */

uint32_t b2_draw_one(const b2_drawable *list, uint32_t count, uint32_t random) {
    double total = 0.0, sum = 0.0, target;
    uint32_t last = 0;

    for (uint32_t i = 0; i < count; i++)
        total += list[i].weight;
    target = (double)random * 0x1p-32 * total;
    for (uint32_t i = 0; i < count; i++) {
        if (list[i].weight > 0.0)
            last = i;
        sum += list[i].weight;
        if (target < sum)
            return i;
    }
    return last;
}

uint32_t b2_draw_several(b2_drawable *list, uint32_t count, uint32_t wanted, uint64_t seed,
                         uint32_t counter) {
    uint32_t drawn = 0;

    for (; drawn < wanted && drawn < count; drawn++) {
        uint32_t at =
            drawn + b2_draw_one(list + drawn, count - drawn, b2_draw_philox(seed, counter + drawn));

        if (!(list[at].weight > 0.0))
            break;
        swap(&list[drawn], &list[at]);
    }
    return drawn;
}

int32_t b2_draw_as_device(const b2_warpers *w, const float *scores, uint32_t vocab, uint64_t seed,
                          uint32_t counter) {
    float score[B2_TOP_MOST], weight[B2_TOP_MOST];
    int32_t ids[B2_TOP_MOST];
    uint32_t count = 0;

    for (uint32_t i = 0; i < vocab; i++)
        if (!isnan(scores[i]))
            b2_best_insert(score, ids, &count, B2_TOP_MOST, scores[i], (int32_t)i);
    if (count == 0)
        return -1;
    for (uint32_t i = 0; i < count; i++)
        weight[i] = b2_draw_weight(score[i], score[0], w->temperature);
    return ids[b2_draw_place(score, weight, (int)count, (int)w->top_k, w->top_p,
                             b2_draw_philox(seed, counter))];
}
