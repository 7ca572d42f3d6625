/* What the crowd asks: drawn by a seed from all tasks of the model, with lengths, beams, samples,
 * prompts and pictures. */
#include "../../bench/chance.h"
#include "crowd.h"
#include "run.h"

static const char *const texts[] = {"a small red ring", "a big red star",
                                    "a big red star above a small blue square", "red",
                                    "a small black square, a big orange star and a small white "
                                    "square"};
static const char *const prompts[] = {
    NULL,
    "Question: what colour is the ring? Answer:",
    "Question: how many shapes are there? Answer:",
    "Question: is there a star? Answer:",
    "a small",
};
enum { TEXTS = sizeof texts / sizeof *texts, PROMPTS = sizeof prompts / sizeof *prompts };

typedef struct draw {
    const crowd_plan *plan;
    const crowd_asks *asks;
    const blip2_model *model;
    uint64_t state;
} draw;

static uint32_t below(draw *d, uint32_t count) {
    return chance_below(&d->state, count);
}

/* Question models get prompts, others none. */
static const char *draw_prompt(draw *d) {
    return blip2_model_can(d->model, "vqa") ? prompts[below(d, PROMPTS)] : NULL;
}

static void draw_generate(draw *d, ask *out) {
    static const float length_penalties[] = {0.0f, 1.0f, -1.0f};
    blip2_generate_options *options = &out->generate;
    uint32_t way = below(d, 4);

    for (size_t i = 0; i < out->count; i++)
        out->inputs[i].prompt = draw_prompt(d);
    options->max_new_tokens = 1 + below(d, d->plan->longest);
    options->min_new_tokens = below(d, 3) == 0 ? below(d, options->max_new_tokens + 1) : 0;
    if (below(d, 3) == 0)
        options->repetition_penalty = 1.5f;
    if (way == 1) {
        options->num_beams = 2 + below(d, 3);
        options->num_return_sequences = 1 + below(d, 2);
        options->length_penalty = &length_penalties[below(d, 3)];
    } else if (way == 2) {
        options->do_sample = 1;
        options->temperature = 0.7f + (float)below(d, 6) * 0.2f;
        options->top_k = below(d, 2) * 20;
        options->top_p = below(d, 2) == 0 ? 0.0f : 0.9f;
        options->seed = chance_next(&d->state);
        options->num_return_sequences = 1 + below(d, 3);
    }
    if (way != 1 && below(d, 4) == 0)
        options->logprobs = 1 + below(d, 3);
    if (below(d, 6) == 0)
        options->no_repeat_ngram_size = 2;
}

static void draw_likelihood(draw *d, ask *out) {
    for (size_t i = 0; i < out->count; i++)
        out->inputs[i].prompt = draw_prompt(d);
    out->text_count = 1 + below(d, TEXTS);
    out->texts = texts;
    out->likelihood.top_logprobs = below(d, 2) * 3;
    out->likelihood.end = (blip2_end_token)below(d, 3);
}

static void draw_features(draw *d, ask *out) {
    out->features.mode = (blip2_mode)below(d, 3);
    for (size_t i = 0; i < out->count; i++) {
        if (out->features.mode == BLIP2_MODE_TEXT)
            out->inputs[i].image = NULL;
        if (out->features.mode != BLIP2_MODE_IMAGE)
            out->inputs[i].prompt = texts[below(d, TEXTS)];
    }
}

static void draw_match(draw *d, ask *out) {
    bool itm = blip2_model_can(d->model, "itm") != 0, itc = blip2_model_can(d->model, "itc") != 0;

    for (size_t i = 0; i < out->count; i++)
        out->inputs[i].prompt = texts[below(d, TEXTS)];
    if (itm && itc) {
        out->match.no_itm = below(d, 3) == 0;
        out->match.no_itc = !out->match.no_itm && below(d, 3) == 0;
    }
}

/* One of the kinds that the model can do. */
static ask_kind draw_kind(draw *d) {
    ask_kind kinds[5];
    uint32_t count = 0;

    if (blip2_model_can(d->model, "caption"))
        kinds[count++] = ASK_TEXTS;
    if (blip2_model_can(d->model, "vqa")) {
        kinds[count++] = ASK_TEXTS; /* twice as often */
        kinds[count++] = ASK_LIKELIHOOD;
    }
    if (blip2_model_can(d->model, "features"))
        kinds[count++] = ASK_FEATURES;
    if (blip2_model_can(d->model, "match"))
        kinds[count++] = ASK_MATCH;
    return kinds[below(d, count)];
}

static void draw_ask(draw *d, ask *out) {
    ask_init(out, draw_kind(d));
    out->count = 1 + (below(d, 3) == 0) * below(d, ASK_MOST_INPUTS);
    for (size_t i = 0; i < out->count; i++)
        out->inputs[i].image = d->asks->pictures[below(d, CROWD_PICTURES)];
    if (out->kind == ASK_TEXTS)
        draw_generate(d, out);
    else if (out->kind == ASK_LIKELIHOOD)
        draw_likelihood(d, out);
    else if (out->kind == ASK_FEATURES)
        draw_features(d, out);
    else
        draw_match(d, out);
}

void crowd_asks_open(crowd_asks *out, const crowd_plan *plan, blip2_model *model) {
    draw d = {.plan = plan, .asks = out, .model = model, .state = plan->seed};
    blip2_engine *engine;

    *out = (crowd_asks){.count = plan->asks};
    for (int i = 0; i < CROWD_PICTURES; i++)
        ck_assert_status_ok(blip2_image_open(&out->pictures[i], plan->pictures[i], NULL));
    ck_assert_status_ok(blip2_engine_open(&engine, model, NULL));
    for (size_t i = 0; i < out->count; i++) {
        draw_ask(&d, &out->asks[i]);
        ck_assert_status_ok(ask_run(&out->asks[i], engine, &out->answers[i]));
    }
    blip2_engine_close(engine);
}

void crowd_asks_close(crowd_asks *asks) {
    for (size_t i = 0; i < asks->count; i++)
        answer_free(&asks->answers[i]);
    for (int i = 0; i < CROWD_PICTURES; i++)
        blip2_image_free(asks->pictures[i]);
}
