#include "engine/choice.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "draw.h"
#include "engine/logprobs.h"

static blip2_status init_logprobs(b2_choice *choice, uint32_t beams, uint32_t max_new_tokens) {
    size_t count;

    if (choice->logprobs == 0)
        return BLIP2_OK;
    if (beams > 0)
        return b2_beam_logprobs_init(&choice->beam_logprobs, choice->logprobs, choice->vocab, beams,
                                     max_new_tokens);
    if (!b2_size_mul(max_new_tokens, (size_t)choice->logprobs + 1, &count) ||
        (choice->logprob = b2_calloc(count, sizeof *choice->logprob)) == NULL)
        return b2_fail_memory();
    return BLIP2_OK;
}

blip2_status b2_choice_init(b2_choice *choice, uint32_t vocab, bool whole_rows, uint32_t beams,
                            uint32_t max_new_tokens) {
    size_t rows = beams > 0 ? beams : 1, drawables;
    blip2_status status;

    choice->vocab = vocab;
    if (choice->logprobs > B2_TOP_MOST || choice->logprobs > vocab)
        return b2_fail(BLIP2_EINVAL, "logprobs: got %u, expected at most %d of %u tokens",
                       choice->logprobs, B2_TOP_MOST, vocab);
    if (choice->sample && (status = b2_warpers_check(&choice->warpers)) < 0)
        return status;
    if ((status = init_logprobs(choice, beams, max_new_tokens)) < 0)
        return status;
    choice->on_host = beams == 0 ? whole_rows || choice->logprobs > 0 ||
                                       (choice->sample && !b2_warpers_fit_device(&choice->warpers))
                                 : choice->sample;
    if (!choice->on_host)
        return BLIP2_OK;
    if (!b2_size_mul(rows, vocab, &drawables))
        return b2_fail_memory();
    choice->row = b2_alloc_array(vocab, sizeof *choice->row);
    choice->scores = b2_alloc_array(vocab, sizeof *choice->scores);
    if (choice->sample)
        choice->drawables = b2_alloc_array(drawables, sizeof *choice->drawables);
    return choice->row == NULL || choice->scores == NULL ||
                   (choice->sample && choice->drawables == NULL)
               ? b2_fail_memory()
               : BLIP2_OK;
}

void b2_choice_free(b2_choice *choice) {
    b2_free(choice->row);
    b2_free(choice->scores);
    b2_free(choice->drawables);
    b2_free(choice->logprob);
    b2_beam_logprobs_free(&choice->beam_logprobs);
    *choice = (b2_choice){0};
}

static blip2_status fetch(b2_choice *choice, b2_device *device, b2_mat row) {
    return device->ops->download(device, choice->row, row.data,
                                 choice->vocab * sizeof *choice->row);
}

/* The largest score, the lowest id among equals; -1: none is a number. */
static int32_t largest(const float *scores, uint32_t vocab) {
    int32_t best = -1;

    for (uint32_t i = 0; i < vocab; i++)
        if (!isnan(scores[i]) && (best < 0 || scores[i] > scores[best]))
            best = (int32_t)i;
    return best;
}

static int32_t draw(const b2_choice *choice, uint32_t step) {
    uint32_t random, count;

    if (b2_warpers_fit_device(&choice->warpers))
        return b2_draw_as_device(&choice->warpers, choice->scores, choice->vocab, choice->seed,
                                 step);
    count = b2_warp(&choice->warpers, choice->scores, choice->vocab, choice->drawables);
    if (count == 0) /* all is banned: as a device has it */
        return largest(choice->scores, choice->vocab);
    random = b2_draw_philox(choice->seed, step);
    return choice->drawables[b2_draw_one(choice->drawables, count, random)].id;
}

blip2_status b2_choice_look(b2_choice *choice, b2_device *device, b2_mat row,
                            const b2_processors *processors) {
    blip2_status status = fetch(choice, device, row);

    if (status < 0)
        return status;
    memcpy(choice->scores, choice->row, choice->vocab * sizeof *choice->scores);
    b2_process_scores(processors, choice->scores);
    return BLIP2_OK;
}

void b2_choice_keep(b2_choice *choice, uint32_t step, int32_t token) {
    b2_row_look look;

    if (choice->logprobs == 0)
        return;
    b2_row_look_at(&look, choice->row, choice->vocab, choice->logprobs);
    b2_row_look_put(&look, token, choice->logprob + (size_t)step * (choice->logprobs + 1));
}

blip2_status b2_choice_make(b2_choice *choice, b2_device *device, b2_mat row,
                            const b2_processors *processors, uint32_t step, int32_t *token) {
    blip2_status status = b2_choice_look(choice, device, row, processors);

    if (status < 0)
        return status;
    *token = choice->sample ? draw(choice, step) : largest(choice->scores, choice->vocab);
    if (*token >= 0)
        b2_choice_keep(choice, step, *token);
    return BLIP2_OK;
}

/* ---- beams -------------------------------------------------------------------------------- */

/* The row of a beam, whose tokens that may be drawn are the next `count` drawables. */
static void look_at_drawables(const b2_beam_draw *draw, uint32_t beam, uint32_t count) {
    b2_choice *choice = draw->choice;
    b2_drawable *own = choice->drawables + draw->count;
    b2_row_look look;

    b2_row_look_at(&look, choice->row, choice->vocab, choice->logprobs);
    b2_beam_logprobs_take_row(&choice->beam_logprobs, draw->step, beam, &look);
    for (uint32_t i = 0; i < count; i++)
        own[i].log_prob = b2_row_look_log_prob(&look, own[i].id);
}

/* transformers 5 filters a beam's log-probabilities and adds its sum to what is left; 4.33, on
 * which LAVIS runs, adds first, so that the temperature divides the sum as well, at every step. */
blip2_status b2_beam_draw_add(b2_beam_draw *draw, b2_device *device, b2_mat row,
                              const b2_processors *processors, uint32_t beam, float sum,
                              uint32_t copies) {
    b2_choice *choice = draw->choice;
    b2_drawable *own = choice->drawables + draw->count;
    bool add_first = draw->rule == B2_BEAM_LAVIS;
    blip2_status status = fetch(choice, device, row);
    uint32_t count;

    if (status < 0)
        return status;
    memcpy(choice->scores, choice->row, choice->vocab * sizeof *choice->scores);
    b2_log_softmax(choice->scores, choice->vocab);
    b2_process_scores(processors, choice->scores);
    for (uint32_t i = 0; i < choice->vocab && add_first; i++)
        choice->scores[i] += sum;
    count = b2_warp(&choice->warpers, choice->scores, choice->vocab, own);
    if (choice->logprobs > 0)
        look_at_drawables(draw, beam, count);
    for (uint32_t i = 0; i < count; i++) {
        own[i].beam = beam;
        own[i].score += add_first ? 0.0f : sum;
    }
    for (uint32_t c = 1; c < copies; c++)
        memcpy(own + (size_t)c * count, own, count * sizeof *own);
    draw->count += copies * count;
    return BLIP2_OK;
}

uint32_t b2_beam_draw_end(b2_beam_draw *draw, uint32_t wanted, b2_continuation *out) {
    b2_drawable *list = draw->choice->drawables;
    float best = -INFINITY;
    uint32_t count;

    for (uint32_t i = 0; i < draw->count; i++)
        best = list[i].score > best ? list[i].score : best;
    for (uint32_t i = 0; i < draw->count; i++)
        list[i].weight = exp((double)list[i].score - (double)best);
    count = b2_draw_several(list, draw->count, wanted, draw->choice->seed, draw->step * wanted);
    for (uint32_t i = 0; i < count; i++) {
        out[i] = (b2_continuation){list[i].score, list[i].beam, list[i].id};
        if (draw->choice->logprobs > 0)
            b2_beam_logprobs_know(&draw->choice->beam_logprobs, list[i].beam, list[i].id,
                                  list[i].log_prob);
    }
    return count;
}
