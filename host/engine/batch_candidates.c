/* Rows of given tokens in a batch: as many texts beside each other as there are lanes. */
#include <string.h>

#include "base/size.h"
#include "engine/batch.h"

/* The pages of the lane's sequences, after the prompt's last rows have got there. */
static const int32_t *lane_pages(b2_batch *batch, const b2_request *request, uint32_t page_tokens) {
    b2_candidates *c = request->candidates;
    uint32_t lane = c->lane, partial = c->prefix % page_tokens;
    const int32_t *own = request->pages + c->first + (size_t)(lane - 1) * c->lane_size;

    if (lane == 0)
        return request->pages;
    memcpy(batch->pages, request->pages, c->shared * sizeof *batch->pages);
    memcpy(batch->pages + c->shared, own, c->lane_size * sizeof *batch->pages);
    if (lane == c->ready) {
        if (partial > 0)
            b2_batch_add_copy(batch, request->pages[c->shared], own[0], partial);
        c->ready++;
    }
    return batch->pages;
}

/* `count` rows of the text that is being fed. */
static void add_rows(b2_batch *batch, b2_request *request, uint32_t count, uint32_t page_tokens) {
    b2_candidates *c = request->candidates;
    const b2_candidate *text = &c->list[c->fed.text];
    const int32_t *pages = lane_pages(batch, request, page_tokens);
    uint32_t first = batch->packed.rows, r = c->prefix + c->fed.row;

    for (uint32_t i = 0; i < count; i++) {
        b2_batch_add_id(batch, request, text->tokens.ids[c->fed.row + i], r + i, first + i,
                        b2_slot_of(pages, r + i, page_tokens));
        b2_batch_add_scored(batch, request, first + i);
    }
    b2_batch_add_segment(batch, request, pages, count, r + count - 1, page_tokens);
}

void b2_batch_add_candidates(b2_batch *batch, b2_request *request, uint32_t rows,
                             uint32_t page_tokens) {
    b2_candidates *c = request->candidates;

    while (rows > 0) {
        uint32_t text = c->fed.text;
        uint32_t take = (uint32_t)b2_size_min(b2_candidate_rows(&c->list[text]) - c->fed.row, rows);

        add_rows(batch, request, take, page_tokens);
        b2_candidates_advance(c, &c->fed, take);
        if (c->fed.text != text) /* else the rest of it in the next step */
            c->lane = (c->lane + 1) % c->lanes;
        rows -= take;
    }
}
