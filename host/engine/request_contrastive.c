/* A step of a request that is decoded by contrastive search: its candidates have been fed, one goes
 * on. */
#include "engine/request.h"

blip2_status b2_request_open_contrastive(b2_request *request, float alpha, uint32_t candidates) {
    const blip2_model *model = request->model;
    blip2_status status;

    if (model->writer.kind != B2_WRITER_LANGUAGE)
        return b2_fail(BLIP2_ENOTSUP, "penalty_alpha: this checkpoint has no language model, and "
                                      "its Q-Former has no contrastive search");
    status = b2_contrastive_open(&request->contrastive, alpha, candidates, model->writer.vocab,
                                 b2_language_embed(&model->config),
                                 (size_t)b2_request_rows(request) + 1);
    if (status == BLIP2_OK)
        status = b2_branches_open_candidates(&request->branches, candidates);
    return status;
}

/* One of the candidates becomes the next token. */
static blip2_status go_on(b2_request *request, uint32_t *chosen) {
    b2_contrastive *search = request->contrastive;
    int32_t best = b2_contrastive_choose(search);

    if (best < 0)
        return b2_fail(BLIP2_EFORMAT, "the language model's hidden states are not numbers: are the "
                                      "weights sound?");
    *chosen = (uint32_t)best;
    b2_choice_keep(&request->choice, request->decoding.new_count, search->ids[best]);
    b2_request_push(request, search->ids[best]);
    return BLIP2_OK;
}

blip2_status b2_request_contrast(b2_request *request, b2_mat logits) {
    b2_contrastive *search = request->contrastive;
    uint32_t chosen = 0;
    b2_processors processors;
    blip2_status status;

    if (search->count > 0 &&
        ((status = go_on(request, &chosen)) < 0 || request->phase == B2_PHASE_DONE))
        return status;
    processors = b2_request_processors(request, 0);
    status = b2_choice_look(&request->choice, request->model->device,
                            b2_mat_rows(logits, chosen, 1), &processors);
    if (status == BLIP2_OK)
        status =
            b2_contrastive_propose(search, request->choice.scores, request->model->writer.vocab);
    if (status < 0)
        return status;
    return b2_branches_fork_one(request->branches, request->fed, chosen, search->count);
}
