#include "engine/candidates.h"

#include <math.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/logprobs.h"
#include "engine/pages.h"

blip2_status b2_candidates_open(b2_candidates **out, size_t count, uint32_t top, uint32_t vocab) {
    b2_candidates *candidates;

    *out = NULL;
    if (top > B2_TOP_MOST || top > vocab)
        return b2_fail(BLIP2_EINVAL, "top_logprobs: got %u, expected at most %d of %u tokens", top,
                       B2_TOP_MOST, vocab);
    if (count == 0 || count > INT32_MAX)
        return b2_fail(BLIP2_EINVAL, "texts: got %zu, expected at least one, at most %d", count,
                       INT32_MAX);
    if ((candidates = b2_calloc(1, sizeof *candidates)) == NULL)
        return b2_fail_memory();
    candidates->top = top;
    candidates->vocab = vocab;
    candidates->list = b2_calloc(count, sizeof *candidates->list);
    candidates->row = b2_alloc_array(vocab, sizeof *candidates->row);
    if (candidates->list == NULL || candidates->row == NULL) {
        b2_candidates_close(candidates);
        return b2_fail_memory();
    }
    candidates->count = (uint32_t)count;
    *out = candidates;
    return BLIP2_OK;
}

blip2_status b2_candidates_prepare(b2_candidates *candidates) {
    for (uint32_t i = 0; i < candidates->count; i++) {
        b2_candidate *text = &candidates->list[i];
        size_t cells;

        if (!b2_size_mul(text->tokens.count, (size_t)candidates->top + 1, &cells) ||
            (text->logprob = b2_calloc(cells, sizeof *text->logprob)) == NULL)
            return b2_fail_memory();
    }
    b2_candidates_advance(candidates, &candidates->fed, 0);
    candidates->taken = candidates->fed;
    return BLIP2_OK;
}

void b2_candidates_close(b2_candidates *candidates) {
    if (candidates == NULL)
        return;
    for (uint32_t i = 0; i < candidates->count; i++) {
        b2_tokens_free(&candidates->list[i].tokens);
        b2_free(candidates->list[i].logprob);
    }
    b2_free(candidates->list);
    b2_free(candidates->row);
    b2_free(candidates);
}

void b2_candidates_advance(const b2_candidates *candidates, b2_candidate_row *at, uint32_t rows) {
    at->row += rows;
    while (at->text < candidates->count &&
           at->row == b2_candidate_rows(&candidates->list[at->text])) {
        at->text++;
        at->row = 0;
    }
}

uint32_t b2_candidates_plan(b2_candidates *candidates, uint32_t prefix, uint32_t rows,
                            uint32_t page_tokens, uint32_t most, uint32_t sequences) {
    uint32_t first = b2_pages_for(rows, page_tokens), shared = prefix / page_tokens, fed = 0;
    uint32_t size = first - shared, lanes = 1;

    for (uint32_t i = 0; i < candidates->count; i++)
        fed += b2_candidate_rows(&candidates->list[i]) > 0;
    while (lanes < fed && lanes < sequences && first + lanes * size <= most)
        lanes++;
    candidates->prefix = prefix;
    candidates->shared = shared;
    candidates->first = first;
    candidates->lane_size = size;
    candidates->lanes = lanes;
    candidates->ready = 1;
    return first + (lanes - 1) * size;
}

/* The log-probability of token `row` of a text. */
static blip2_status keep(b2_candidates *candidates, const b2_row_look *look, uint32_t text,
                         uint32_t row) {
    b2_candidate *c = &candidates->list[text];
    blip2_logprob *out = c->logprob + (size_t)row * (candidates->top + 1);

    b2_row_look_put(look, c->tokens.ids[row], out);
    return isnan(out->log_prob) ? b2_fail(BLIP2_EFORMAT, "the language model's scores are not "
                                                         "numbers: are the weights sound?")
                                : BLIP2_OK;
}

blip2_status b2_candidates_take(b2_candidates *candidates, b2_device *device, b2_mat row) {
    blip2_status status = device->ops->download(device, candidates->row, row.data,
                                                candidates->vocab * sizeof *candidates->row);
    b2_candidate_row *taken = &candidates->taken;
    b2_row_look look;

    if (status < 0)
        return status;
    b2_row_look_at(&look, candidates->row, candidates->vocab, candidates->top);
    if (candidates->begun) {
        status = keep(candidates, &look, taken->text, taken->row + 1);
        b2_candidates_advance(candidates, taken, 1);
        return status;
    }
    candidates->begun = true;
    for (uint32_t i = 0; i < candidates->count && status == BLIP2_OK; i++)
        status = keep(candidates, &look, i, 0);
    return status;
}

uint32_t b2_candidates_pending(const b2_candidates *candidates) {
    b2_candidate_row at = candidates->fed;
    uint32_t rows = 0;

    for (uint32_t lane = 0; lane < candidates->lanes && at.text < candidates->count; lane++) {
        uint32_t left = b2_candidate_rows(&candidates->list[at.text]) - at.row;

        rows += left;
        b2_candidates_advance(candidates, &at, left);
    }
    return rows;
}

bool b2_candidates_are_done(const b2_candidates *candidates) {
    return candidates->begun && candidates->taken.text == candidates->count;
}
