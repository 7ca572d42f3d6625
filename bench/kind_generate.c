/* Generation cases of Hugging Face models, greedy or with beams, through the engine: the whole
 * batch is submitted at once and advances in packed steps. */
#include "base/alloc.h"
#include "generate_args.h"
#include "generated.h"
#include "hf_batch.h"
#include "kinds.h"
#include "watch.h"

typedef struct generation {
    hf_batch hf;
    verdict *v;
    generate_args args;
    int32_t *pads; /* as many as the longest prompt gives the others at most */
    generated out;
    blip2_engine *engine;
} generation;

static blip2_status make_pads(generation *g) {
    if ((g->pads = b2_alloc_array(g->hf.prompt_length, sizeof *g->pads)) == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < g->hf.prompt_length; i++)
        g->pads[i] = g->hf.model->config.pad;
    return BLIP2_OK;
}

/* Lengths that count the prompt as those that do not. */
static blip2_status count_new_tokens(generation *g) {
    b2_request_options *request = &g->args.request;
    uint32_t prompt = g->hf.prompt_length, least = g->args.min_length, most = g->args.max_length;

    if (least > prompt + request->min_new_tokens)
        request->min_new_tokens = least - prompt;
    if (most == 0)
        return BLIP2_OK;
    if (most <= prompt)
        return b2_fail(BLIP2_ENOTSUP, "generate_args.max_length %u with a prompt of %u", most,
                       prompt);
    request->max_new_tokens = most - prompt;
    return BLIP2_OK;
}

static blip2_status open_requests(generation *g) {
    bool counts_pads = !g->hf.model->writer.reads; /* among what penalty and bans have seen */
    b2_request_options request = g->args.request;
    blip2_status status = generated_open(&g->out, g->hf.model, g->v, g->hf.count, g->args.answers);

    if (status == BLIP2_OK)
        status = make_pads(g);
    request.seen = g->pads;
    request.logprobs = json_object_get(g->hf.golden->expect, "token_logprobs") != NULL;
    for (uint32_t i = 0; i < g->hf.count && status == BLIP2_OK; i++) {
        request.prompt = g->hf.rows[i].prompt;
        request.seen_count = counts_pads ? g->hf.rows[i].pads : 0;
        status = generated_add(&g->out, i, g->hf.rows[i].image, &request);
    }
    return status;
}

static blip2_status open_engine(generation *g) {
    blip2_engine_options options;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests =
        g->hf.count *
        (g->args.request.penalty_alpha > 0.0f ? g->args.request.candidates : g->args.beams);
    options.max_images = g->hf.count;
    options.max_tokens = g->hf.padded_length + g->args.request.max_new_tokens;
    return blip2_engine_open(&g->engine, g->hf.model, &options);
}

static blip2_status run(generation *g) {
    static const watch_name names[] = {{"vit.features", "vision_last_hidden", false},
                                       {"qformer.out", "qformer_out", false},
                                       {"soft_prompt", "soft_prompt", false}};
    blip2_status status;
    watch w;

    watch_init(&w, g->hf.model->device, g->v, names, sizeof names / sizeof *names);
    g->engine->run.trace = &w.trace;
    status = generated_run(&g->out, g->engine);
    return status < 0 ? status : w.status;
}

static json_t *start(const void *context, uint32_t i) {
    return hf_batch_start(context, i);
}

/* Behind an encoder the cases count the start token among the new ones. */
static blip2_status compare(const generation *g) {
    const generated *out = &g->out;
    bool reads = g->hf.model->writer.reads;
    uint32_t before = reads ? 0 : g->hf.prompt_length, among = g->hf.prompt_length - before;
    blip2_status status;

    if ((status = hf_batch_compare(&g->hf, g->v)) < 0 ||
        (status = verdict_value(g->v, "prompt_length", json_integer(before), NULL)) < 0 ||
        (status = generated_compare_tokens(out, "sequences", g->hf.prompt_length, start, &g->hf)) <
            0 ||
        (status = generated_compare_tokens(out, "new_tokens", among, reads ? start : NULL,
                                           &g->hf)) < 0 ||
        (status = generated_compare_texts(out)) < 0 ||
        (status = generated_compare_scores(out)) < 0 ||
        (status = generated_compare_logprobs(out)) < 0)
        return status;
    return generated_compare_logits(out);
}

blip2_status run_generate(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",
                                        "preprocess",
                                        "image_size",
                                        "prompts",
                                        "padding_side",
                                        "generate_args",
                                        "pixel_size_h_w",
                                        "interpolate_pos_encoding",
                                        NULL};
    generation g = {.v = v, .hf = {.golden = golden}};
    blip2_status status = generate_args_read(&g.args, golden);

    if (status == BLIP2_OK && (status = hf_batch_open(&g.hf, golden, device, known)) == BLIP2_OK &&
        (status = count_new_tokens(&g)) == BLIP2_OK && (status = open_requests(&g)) == BLIP2_OK &&
        (status = open_engine(&g)) == BLIP2_OK && (status = run(&g)) == BLIP2_OK)
        status = compare(&g);
    blip2_engine_close(g.engine);
    generated_close(&g.out);
    hf_batch_close(&g.hf);
    generate_args_free(&g.args);
    b2_free(g.pads);
    return status;
}
