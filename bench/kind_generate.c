/* Generation cases of Hugging Face models, greedy or with beams, through the engine: the whole
 * batch is submitted at once and advances in packed steps. */
#include <string.h>

#include "base/alloc.h"
#include "generated.h"
#include "hf_batch.h"
#include "kinds.h"
#include "watch.h"

typedef struct generation {
    hf_batch hf;
    verdict *v;
    uint32_t min_new_tokens, max_new_tokens, min_length;
    uint32_t beams, answers;
    float repetition_penalty, length_penalty;
    generated out;
    blip2_engine *engine;
} generation;

static blip2_status read_options(generation *g) {
    static const char *const known[] = {
        "max_new_tokens", "min_new_tokens",     "do_sample",
        "num_beams",      "repetition_penalty", "num_return_sequences",
        "min_length",     "length_penalty",     NULL};
    const json_t *args = json_object_get(g->hf.golden->inputs, "generate_args");
    b2_fields fields = golden_fields(g->hf.golden, "inputs.generate_args.");
    blip2_status status;

    if (!json_is_object(args))
        return golden_bad(g->hf.golden, "inputs.generate_args", "an object", args);
    g->repetition_penalty = g->length_penalty = 1.0f;
    g->beams = g->answers = 1;
    b2_field_u32(&fields, args, "max_new_tokens", 1, 1 << 16, &g->max_new_tokens);
    b2_field_u32(&fields, args, "min_new_tokens", 0, 1 << 16, &g->min_new_tokens);
    b2_field_u32(&fields, args, "num_beams", 1, 1024, &g->beams);
    b2_field_u32(&fields, args, "num_return_sequences", 1, 1024, &g->answers);
    b2_field_u32(&fields, args, "min_length", 0, 1 << 16, &g->min_length);
    b2_field_f32(&fields, args, "length_penalty", -1e3, 1e3, &g->length_penalty);
    b2_field_f32(&fields, args, "repetition_penalty", 1e-6, 1e6, &g->repetition_penalty);
    if (fields.status == BLIP2_OK && g->max_new_tokens == 0)
        b2_field_fail(&fields, "max_new_tokens", "a number", NULL);
    if ((status = golden_check(&fields)) < 0)
        return status;
    if (json_is_true(json_object_get(args, "do_sample")))
        return b2_fail(BLIP2_ENOTSUP, "do_sample");
    return golden_only(args, "generate_args.", known);
}

static blip2_status open_requests(generation *g) {
    const b2_config *config = &g->hf.model->config;
    bool counts_pads = !g->hf.model->writer.reads; /* among what the penalty has seen */
    uint32_t least = g->min_new_tokens;
    blip2_status status = generated_open(&g->out, g->hf.model, g->v, g->hf.count, g->answers);

    if (g->min_length > g->hf.prompt_length + least) /* which counts the prompt */
        least = g->min_length - g->hf.prompt_length;
    for (uint32_t i = 0; i < g->hf.count && status == BLIP2_OK; i++) {
        const hf_row *row = &g->hf.rows[i];

        status = generated_add(&g->out, i, row->image,
                               &(b2_request_options){.prompt = row->prompt,
                                                     .min_new_tokens = least,
                                                     .max_new_tokens = g->max_new_tokens,
                                                     .repetition_penalty = g->repetition_penalty,
                                                     .beams = g->beams > 1 ? g->beams : 0,
                                                     .answers = g->answers,
                                                     .length_penalty = g->length_penalty,
                                                     .seen = &config->pad,
                                                     .seen_count = counts_pads && row->pads > 0});
    }
    return status;
}

static blip2_status open_engine(generation *g) {
    blip2_engine_options options;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = g->hf.count * g->beams;
    options.max_images = g->hf.count;
    options.max_tokens = g->hf.padded_length + g->max_new_tokens;
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
        (status = generated_compare_texts(out)) < 0 || (status = generated_compare_scores(out)) < 0)
        return status;
    return generated_compare_logits(out);
}

blip2_status run_generate(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",       "preprocess",    "image_size", "prompts",
                                        "padding_side", "generate_args", NULL};
    generation g = {.v = v, .hf = {.golden = golden}};
    blip2_status status = read_options(&g);

    if (status < 0)
        return status;
    if ((status = hf_batch_open(&g.hf, golden, device, known)) == BLIP2_OK &&
        (status = open_requests(&g)) == BLIP2_OK && (status = open_engine(&g)) == BLIP2_OK &&
        (status = run(&g)) == BLIP2_OK)
        status = compare(&g);
    blip2_engine_close(g.engine);
    generated_close(&g.out);
    hf_batch_close(&g.hf);
    return status;
}
