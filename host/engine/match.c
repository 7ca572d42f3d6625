/* How well pairs match. Up to three requests a pair: the picture and the text by themselves, for
 * their contrast, and both together, for the matching head. Pairs are taken in groups, so that what
 * is held at once does not grow with the call; in a group a picture and a text (by their addresses)
 * are asked for their contrast once. */
#include <math.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/call.h"
#include "engine/contrast.h"

enum { DEFAULT_TOKENS = 32, GROUP = 64, PARTS = 3 };

typedef struct pairs {
    const blip2_input *inputs;
    size_t count;
    b2_request **requests; /* [count, PARTS] in the order of b2_score_mode; NULL: not wanted */
    size_t image_of[GROUP], text_of[GROUP]; /* [count] the first pair with the same picture, text */
    bool itm, itc;
    uint32_t max_tokens;
} pairs;

static void find_firsts(pairs *p) {
    for (size_t i = 0; i < p->count; i++) {
        size_t image = 0, text = 0;

        while (p->inputs[image].image != p->inputs[i].image)
            image++;
        while (p->inputs[text].prompt != p->inputs[i].prompt)
            text++;
        p->image_of[i] = image;
        p->text_of[i] = text;
    }
}

static blip2_status open_pair(const blip2_engine *engine, const pairs *p, size_t i) {
    const blip2_input *in = &p->inputs[i];
    const struct {
        bool wanted;
        const blip2_image *image;
        const char *text;
        b2_score score;
    } parts[PARTS] = {
        {p->itc && p->image_of[i] == i,
         in->image,
         NULL,
         {.mode = B2_SCORE_IMAGE, .wants_contrast = true}},
        {p->itc && p->text_of[i] == i,
         NULL,
         in->prompt,
         {.mode = B2_SCORE_TEXT, .wants_contrast = true}},
        {p->itm, in->image, in->prompt, {.mode = B2_SCORE_PAIR, .wants_match = true}}};
    blip2_status status = BLIP2_OK;

    for (size_t k = 0; k < PARTS && status == BLIP2_OK; k++)
        if (parts[k].wanted)
            status =
                b2_request_open_score(&p->requests[i * PARTS + k], engine->model, parts[k].image,
                                      parts[k].text, &parts[k].score, p->max_tokens);
    return status;
}

static void fill(blip2_match_score *out, const pairs *p, size_t i, size_t width) {
    b2_request *const *parts = p->requests + i * PARTS;

    *out = (blip2_match_score){0};
    if (p->itm) {
        const float *logits = parts[B2_SCORE_PAIR]->score.match;

        out->itm_logits[0] = logits[0];
        out->itm_logits[1] = logits[1];
        out->itm_probability = (float)(1.0 / (1.0 + exp((double)logits[0] - logits[1])));
    }
    if (p->itc)
        out->itc = (float)b2_contrast_of(
            &p->requests[p->image_of[i] * PARTS + B2_SCORE_IMAGE]->score,
            &p->requests[p->text_of[i] * PARTS + B2_SCORE_TEXT]->score, width);
}

/* One group. The requests that are there go in one behind the other. */
static blip2_status run_group(blip2_engine *engine, const pairs *p, blip2_match_score *scores) {
    const blip2_status none = BLIP2_OK;
    size_t width = (size_t)engine->model->stage1.text.rows, there = 0;
    b2_request *queue[GROUP * PARTS];
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < p->count * PARTS; i++)
        p->requests[i] = NULL;
    for (size_t i = 0; i < p->count && status == BLIP2_OK; i++)
        status = open_pair(engine, p, i);
    for (size_t i = 0; i < p->count * PARTS; i++)
        if (p->requests[i] != NULL)
            queue[there++] = p->requests[i];
    if (status == BLIP2_OK)
        status = b2_call_run(engine, queue, there, &none);
    for (size_t i = 0; i < p->count && status == BLIP2_OK; i++)
        fill(&scores[i], p, i, width);
    for (size_t i = 0; i < there; i++)
        b2_request_close(queue[i]);
    return status;
}

static blip2_status check(const blip2_engine *engine, const blip2_input *pairs, size_t count,
                          const blip2_match_score *scores) {
    blip2_status status = b2_call_check(engine, "blip2_match");

    if (status < 0)
        return status;
    if (count > 0 && (pairs == NULL || scores == NULL))
        return b2_fail(BLIP2_EINVAL, "blip2_match: %s is NULL", pairs == NULL ? "pairs" : "scores");
    for (size_t i = 0; i < count; i++)
        if (pairs[i].image == NULL || pairs[i].prompt == NULL)
            return b2_fail(BLIP2_EINVAL, "pair %zu: %s is NULL", i,
                           pairs[i].image == NULL ? "image" : "prompt");
    if (!engine->model->stage1.matches && !engine->model->stage1.contrasts)
        return b2_fail(BLIP2_ENOTSUP, "this checkpoint (%s) has no matching and no contrast heads",
                       b2_model_name(engine->model));
    return BLIP2_OK;
}

blip2_status blip2_match(blip2_engine *engine, const blip2_input *inputs, size_t count,
                         const blip2_match_options *options, blip2_match_score *scores) {
    b2_request *requests[GROUP * PARTS];
    blip2_match_options known;
    blip2_status status = check(engine, inputs, count, scores);
    pairs p = {.requests = requests};

    if (status < 0 ||
        (status = b2_options_copy(&known, sizeof known, options, "blip2_match_options")) < 0)
        return status;
    p.itm = known.no_itm == 0 && engine->model->stage1.matches;
    p.itc = known.no_itc == 0 && engine->model->stage1.contrasts;
    p.max_tokens = known.max_text_tokens != 0 ? known.max_text_tokens : DEFAULT_TOKENS;
    for (size_t first = 0; first < count && status == BLIP2_OK; first += GROUP) {
        p.inputs = inputs + first;
        p.count = b2_size_min(GROUP, count - first);
        find_firsts(&p);
        status = run_group(engine, &p, scores + first);
    }
    return status;
}
