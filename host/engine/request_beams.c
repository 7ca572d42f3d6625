/* The beams of a request in a step: their best continuations, or those that are drawn. */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/request.h"

/* The log-probabilities of ids [wanted], -1: no more, in a beam's row of logits [V]. */
static void keep_row(b2_request *request, uint32_t beam, const float *row, const int32_t *ids,
                     uint32_t wanted) {
    b2_choice *choice = &request->choice;
    b2_row_look look;

    b2_row_look_at(&look, row, choice->vocab, choice->logprobs);
    b2_beam_logprobs_take_row(&choice->beam_logprobs, request->branches->beams.length, beam, &look);
    for (uint32_t i = 0; i < wanted && ids[i] >= 0; i++)
        b2_beam_logprobs_know(&choice->beam_logprobs, beam, ids[i],
                              b2_row_look_log_prob(&look, ids[i]));
}

/* The best of a beam from its whole row. */
static blip2_status look_at_row(b2_request *request, uint32_t beam, const b2_processors *processors,
                                float *log_prob, int32_t *ids, uint32_t wanted, b2_mat row) {
    b2_device *device = request->model->device;
    float *logits = b2_alloc_array((size_t)row.cols, sizeof *logits);
    float *kept = request->choice.beam_logprobs.row; /* NULL: no log-probabilities are wanted */
    blip2_status status = logits != NULL ? BLIP2_OK : b2_fail_memory();

    if (status == BLIP2_OK)
        status = device->ops->download(device, logits, row.data, (size_t)row.cols * sizeof *logits);
    if (status == BLIP2_OK && kept != NULL)
        memcpy(kept, logits, (size_t)row.cols * sizeof *kept);
    if (status == BLIP2_OK)
        b2_process_row(processors, logits, (uint32_t)row.cols, log_prob, ids, wanted);
    if (status == BLIP2_OK && kept != NULL)
        keep_row(request, beam, kept, ids, wanted);
    b2_free(logits);
    return status;
}

/* The best text is the request's. */
static void finish_beams(b2_request *request) {
    b2_answer best = b2_request_answer(request, 0);

    request->phase = B2_PHASE_DONE;
    request->status = b2_tokenizer_decode(request->model->tokenizer, best.tokens,
                                          best.count - best.stopped, true, false, &request->text);
    if (request->text.failed && request->status == BLIP2_OK)
        request->status = b2_fail_memory();
    b2_request_deliver(request, 0);
}

/* Beams that are drawn. LAVIS starts with all of them, each from the prompt. */
static blip2_status draw_beams(b2_request *request, b2_mat logits) {
    b2_beams *beams = &request->branches->beams;
    b2_beam_draw draw = {
        .choice = &request->choice, .rule = beams->options.rule, .step = beams->length};
    b2_continuation list[B2_CONTINUATIONS_MOST];
    uint32_t copies = beams->length == 0 && draw.rule == B2_BEAM_LAVIS ? beams->options.beams : 1;

    for (uint32_t b = 0; b < beams->running; b++) {
        b2_processors processors = b2_request_processors(request, b);
        blip2_status status =
            b2_beam_draw_add(&draw, request->model->device, b2_mat_rows(logits, b, 1), &processors,
                             b, beams->sum[b], copies);

        if (status < 0)
            return status;
    }
    (void)b2_beams_go_on(beams, list, b2_beam_draw_end(&draw, b2_beams_wanted(beams), list));
    return BLIP2_OK;
}

uint32_t b2_request_top(b2_request *request) {
    b2_processors processors = b2_request_processors(request, 0);
    uint32_t top =
        b2_process_top(&processors, b2_beams_wanted(&request->branches->beams), B2_TOP_MOST);

    return top > request->choice.logprobs ? top : request->choice.logprobs;
}

/* Beams that go on with their best. Where others in the batch had more of theirs computed, those
 * are not looked at: the numbers are not to depend on the batch, and a whole row's are rounded
 * otherwise than the device's. */
static blip2_status search_beams(b2_request *request, float *log_prob, int32_t *ids, uint32_t count,
                                 b2_mat logits) {
    b2_branches *branches = request->branches;
    b2_beam_logprobs *logprobs = &request->choice.beam_logprobs;
    uint32_t wanted = b2_beams_wanted(&branches->beams);
    uint32_t known = (uint32_t)b2_size_min(count, b2_request_top(request));
    blip2_status status = BLIP2_OK;

    for (uint32_t b = 0; b < branches->beams.running && status == BLIP2_OK; b++) {
        b2_processors processors = b2_request_processors(request, b);
        float *own = log_prob + (size_t)b * count;
        int32_t *own_ids = ids + (size_t)b * count;

        if (logprobs->top > 0)
            b2_beam_logprobs_take_list(logprobs, branches->beams.length, b, own, own_ids, known);
        if (!b2_process_best(&processors, own, own_ids, known, wanted, (uint32_t)logits.cols))
            status = look_at_row(request, b, &processors, own, own_ids, wanted,
                                 b2_mat_rows(logits, b, 1));
        if (wanted < count)
            own_ids[wanted] = -1;
    }
    if (status == BLIP2_OK)
        (void)b2_beams_advance(&branches->beams, log_prob, ids, count);
    return status;
}

void b2_request_logprobs(const b2_request *request, uint32_t i, blip2_logprob *out) {
    const b2_choice *choice = &request->choice;
    size_t count = (size_t)b2_request_answer(request, i).count * (choice->logprobs + 1);

    if (choice->beam_logprobs.top > 0)
        b2_beam_logprobs_write(&choice->beam_logprobs, &request->branches->beams.finished[i], out);
    else
        memcpy(out, choice->logprob, count * sizeof *out);
}

blip2_status b2_request_continue(b2_request *request, float *log_prob, int32_t *ids, uint32_t count,
                                 b2_mat logits) {
    b2_branches *branches = request->branches;
    blip2_status status = request->choice.sample
                              ? draw_beams(request, logits)
                              : search_beams(request, log_prob, ids, count, logits);

    if (status < 0)
        return status;
    if (request->choice.beam_logprobs.top > 0)
        b2_beam_logprobs_keep(&request->choice.beam_logprobs, &branches->beams);
    if (branches->beams.done && branches->beams.finished_count < branches->answers)
        return b2_fail(BLIP2_EFORMAT,
                       "the language model's scores are not numbers: are the weights sound?");
    if (!branches->beams.done)
        return b2_branches_fork(branches, request->fed);
    finish_beams(request);
    return BLIP2_OK;
}
