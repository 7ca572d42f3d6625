#include "decode/beam.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "decode/decoding.h"

blip2_status b2_beams_init(b2_beams *beams, const b2_beam_options *options) {
    uint32_t nb = options->beams;
    size_t texts;

    *beams = (b2_beams){.options = *options, .running = 1};
    if (nb == 0 || nb > B2_BEAMS_MOST)
        return b2_fail(BLIP2_EINVAL, "num_beams: got %u, expected 1 to %d", nb, B2_BEAMS_MOST);
    if (b2_beams_wanted(beams) > B2_CONTINUATIONS_MOST)
        return b2_fail(BLIP2_EINVAL, "num_beams: got %u, expected at most %u beside %u stop ids",
                       nb, B2_CONTINUATIONS_MOST / (1 + options->stop_count), options->stop_count);
    if (!isfinite(options->length_penalty))
        return b2_fail(BLIP2_EINVAL, "length_penalty: expected a finite number");
    if (options->max_new_tokens == 0)
        return b2_fail(BLIP2_EINVAL, "max_new_tokens: got 0, expected at least 1");
    /* Running beams now and before, finished texts, and one that is to be weighed against them. */
    if (!b2_size_mul(3 * (size_t)nb + 1, options->max_new_tokens, &texts))
        return b2_fail_memory();
    beams->memory = b2_alloc_array(texts, sizeof *beams->memory);
    beams->sum = b2_calloc(nb, sizeof *beams->sum);
    beams->parent = b2_calloc(nb, sizeof *beams->parent);
    beams->finished = b2_calloc((size_t)nb + 1, sizeof *beams->finished);
    if (beams->memory == NULL || beams->sum == NULL || beams->parent == NULL ||
        beams->finished == NULL)
        return b2_fail_memory();
    beams->tokens = beams->memory;
    beams->previous = beams->memory + (size_t)nb * options->max_new_tokens;
    for (uint32_t i = 0; i <= nb; i++)
        beams->finished[i].tokens = beams->memory + (2 * (size_t)nb + i) * options->max_new_tokens;
    return BLIP2_OK;
}

void b2_beams_free(b2_beams *beams) {
    b2_free(beams->memory);
    b2_free(beams->sum);
    b2_free(beams->parent);
    b2_free(beams->finished);
    *beams = (b2_beams){0};
}

uint32_t b2_beams_wanted(const b2_beams *beams) {
    uint32_t stops = beams->options.stop_count;

    /* So many that nb of them are left when each beam's stop tokens are not counted. */
    return (stops > 1 ? 1 + stops : 2) * beams->options.beams;
}

static int by_sum(const void *a, const void *b) {
    const b2_continuation *x = a, *y = b;

    if (x->sum != y->sum)
        return x->sum > y->sum ? -1 : 1;
    if (x->beam != y->beam)
        return x->beam < y->beam ? -1 : 1;
    return (x->token > y->token) - (x->token < y->token);
}

/* Text of a running beam before this step, with one more token. */
static void write_text(const b2_beams *beams, b2_hypothesis *text, uint32_t beam, int32_t token) {
    memcpy(text->tokens, beams->previous + (size_t)beam * beams->options.max_new_tokens,
           beams->length * sizeof *text->tokens);
    text->count = beams->length;
    text->tokens[text->count++] = token;
    text->parent = beam;
}

/* Put the text in finished[finished_count], which is in no order yet, where it belongs: best first.
 * The earlier one stays in front of its equals; with later_first it is behind them. Beyond nb the
 * worst one goes, whose memory serves the next. */
static void rank_last(b2_beams *beams, bool later_first) {
    b2_hypothesis *f = beams->finished, last = f[beams->finished_count];
    uint32_t i = beams->finished_count;

    for (; i > 0 && (later_first ? f[i - 1].score <= last.score : f[i - 1].score < last.score); i--)
        f[i] = f[i - 1];
    f[i] = last;
    if (beams->finished_count < beams->options.beams)
        beams->finished_count++;
}

/* ---- transformers 5 ----------------------------------------------------------------------- */

static void finish_hf(b2_beams *beams, const b2_continuation *c, bool stopped) {
    b2_hypothesis *text = &beams->finished[beams->finished_count];
    uint32_t n = beams->length + 1;

    write_text(beams, text, c->beam, c->token);
    text->stopped = stopped;
    text->score = (double)(c->sum / (float)pow(n, (double)beams->options.length_penalty));
    rank_last(beams, false);
}

static bool is_done_hf(const b2_beams *beams) {
    const b2_beam_options *options = &beams->options;
    float best;

    if (beams->length == options->max_new_tokens)
        return true;
    if (beams->finished_count < options->beams)
        return false;
    best = beams->sum[0] / (float)pow(beams->length, (double)options->length_penalty);
    return (double)best <= beams->finished[options->beams - 1].score;
}

/* ---- transformers 4.33 -------------------------------------------------------------------- */

/* The start token counts: a text of `tokens` new ones is one longer. */
static void finish_lavis(b2_beams *beams, const b2_continuation *c, bool stopped) {
    const b2_beam_options *options = &beams->options;
    b2_hypothesis *text = &beams->finished[beams->finished_count];
    uint32_t length = 1 + beams->length + !stopped;
    double score = (double)c->sum / pow(length, (double)options->length_penalty);

    if (beams->finished_count == options->beams &&
        score <= beams->finished[options->beams - 1].score)
        return;
    write_text(beams, text, c->beam, c->token);
    text->stopped = stopped;
    text->score = score;
    rank_last(beams, true);
}

static bool is_done_lavis(const b2_beams *beams, float best) {
    const b2_beam_options *options = &beams->options;

    return beams->finished_count == options->beams &&
           beams->finished[options->beams - 1].score >=
               (double)best / pow(beams->length + 2, (double)options->length_penalty);
}

/* ---- both --------------------------------------------------------------------------------- */

/* The best of all beams' continuations, best first. */
static uint32_t gather(const b2_beams *beams, b2_continuation *out, const float *log_prob,
                       const int32_t *ids, uint32_t count) {
    uint32_t n = 0, wanted = b2_beams_wanted(beams);

    for (uint32_t b = 0; b < beams->running; b++)
        for (uint32_t i = 0; i < count && ids[(size_t)b * count + i] >= 0; i++)
            out[n++] = (b2_continuation){beams->sum[b] + log_prob[(size_t)b * count + i], b,
                                         ids[(size_t)b * count + i]};
    qsort(out, n, sizeof *out, by_sum);
    return n < wanted ? n : wanted;
}

static void go_on_with(b2_beams *beams, uint32_t i, const b2_continuation *c) {
    size_t stride = beams->options.max_new_tokens;
    int32_t *to = beams->tokens + i * stride;

    memcpy(to, beams->previous + c->beam * stride, beams->length * sizeof *to);
    to[beams->length] = c->token;
    beams->sum[i] = c->sum;
    beams->parent[i] = c->beam;
}

static bool ends(const b2_beams *beams, const b2_continuation *c) {
    const b2_beam_options *options = &beams->options;

    return options->ends != NULL &&
           options->ends(options->context,
                         beams->previous + (size_t)c->beam * options->max_new_tokens, beams->length,
                         c->token);
}

/* Take the continuations in turn: those that end are finished, if they are among the nb best, and
 * the others go on. */
static void take(b2_beams *beams, const b2_continuation *list, uint32_t count) {
    const b2_beam_options *options = &beams->options;
    bool hf = options->rule == B2_BEAM_HF;
    bool last = hf && beams->length + 1 == options->max_new_tokens;

    beams->running = 0;
    for (uint32_t r = 0; r < count; r++) {
        bool stopped = b2_is_among(options->stop_ids, options->stop_count, list[r].token);

        if (!stopped && !last && !ends(beams, &list[r])) {
            if (beams->running < options->beams)
                go_on_with(beams, beams->running++, &list[r]);
        } else if (r < options->beams) {
            if (hf)
                finish_hf(beams, &list[r], stopped);
            else
                finish_lavis(beams, &list[r], true);
        }
    }
}

/* At the limit the beams that run are finished as well. */
static void finish_running(b2_beams *beams) {
    uint32_t newest = --beams->length;

    for (uint32_t i = 0; i < beams->running; i++)
        finish_lavis(
            beams,
            &(b2_continuation){beams->sum[i], beams->parent[i], b2_beams_tokens(beams, i)[newest]},
            false);
    beams->length++;
}

/* list [n] is sorted. */
static bool advance(b2_beams *beams, const b2_continuation *list, uint32_t n) {
    int32_t *swap = beams->previous;

    beams->previous = beams->tokens;
    beams->tokens = swap;
    take(beams, list, n);
    if (beams->options.rule == B2_BEAM_LAVIS) {
        beams->done = n > 0 && is_done_lavis(beams, list[0].sum);
        beams->length++;
        if (!beams->done && beams->length == beams->options.max_new_tokens) {
            finish_running(beams);
            beams->done = true;
        }
    } else {
        beams->length++;
        beams->done = is_done_hf(beams);
    }
    beams->done = beams->done || beams->running == 0;
    return n > 0;
}

bool b2_beams_advance(b2_beams *beams, const float *log_prob, const int32_t *ids, uint32_t count) {
    b2_continuation list[B2_BEAMS_MOST * B2_CONTINUATIONS_MOST];

    return advance(beams, list, gather(beams, list, log_prob, ids, count));
}

bool b2_beams_go_on(b2_beams *beams, b2_continuation *list, uint32_t count) {
    qsort(list, count, sizeof *list, by_sum);
    return advance(beams, list, count);
}
