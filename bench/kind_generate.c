/* Greedy generation cases of Hugging Face models, through the engine: the whole batch is submitted
 * at once and advances in packed steps. */
#include <string.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "hf_batch.h"
#include "kinds.h"
#include "watch.h"

typedef struct generation {
    hf_batch hf;
    verdict *v;
    uint32_t min_new_tokens, max_new_tokens;
    float repetition_penalty;
    blip2_engine *engine;
    b2_request **requests; /* [B] */
    float *first_logits;   /* [B, V]; rows that never came stay NaN */
    blip2_status status;   /* of copying logits */
} generation;

static blip2_status read_options(generation *g) {
    static const char *const known[] = {"max_new_tokens", "min_new_tokens",     "do_sample",
                                        "num_beams",      "repetition_penalty", NULL};
    const json_t *args = json_object_get(g->hf.golden->inputs, "generate_args");
    b2_fields fields = golden_fields(g->hf.golden, "inputs.generate_args.");
    uint32_t beams = 1;
    blip2_status status;

    if (!json_is_object(args))
        return golden_bad(g->hf.golden, "inputs.generate_args", "an object", args);
    g->repetition_penalty = 1.0f;
    b2_field_u32(&fields, args, "max_new_tokens", 1, 1 << 16, &g->max_new_tokens);
    b2_field_u32(&fields, args, "min_new_tokens", 0, 1 << 16, &g->min_new_tokens);
    b2_field_u32(&fields, args, "num_beams", 1, 1024, &beams);
    b2_field_f32(&fields, args, "repetition_penalty", 1e-6, 1e6, &g->repetition_penalty);
    if (fields.status == BLIP2_OK && g->max_new_tokens == 0)
        b2_field_fail(&fields, "max_new_tokens", "a number", NULL);
    if ((status = golden_check(&fields)) < 0)
        return status;
    if (beams != 1)
        return b2_fail(BLIP2_ENOTSUP, "num_beams %u", beams);
    if (json_is_true(json_object_get(args, "do_sample")))
        return b2_fail(BLIP2_ENOTSUP, "do_sample");
    return golden_only(args, "generate_args.", known);
}

static void see_logits(b2_request *request, const b2_mat *row, void *payload) {
    generation *g = payload;
    size_t vocab = (size_t)row->cols;
    float *copy;

    if (request->decoding.new_count > 0 || g->status < 0)
        return;
    g->status = bench_download(g->hf.model->device, row, &copy);
    if (g->status == BLIP2_OK)
        memcpy(g->first_logits + request->index * vocab, copy, vocab * sizeof *copy);
    b2_free(copy);
}

static blip2_status open_requests(generation *g) {
    const b2_config *config = &g->hf.model->config;
    size_t logits = (size_t)g->hf.count * config->opt.vocab;

    g->requests = b2_calloc(g->hf.count, sizeof(b2_request *));
    g->first_logits = b2_alloc_array(logits, sizeof *g->first_logits);
    if (g->requests == NULL || g->first_logits == NULL)
        return b2_fail_memory();
    memset(g->first_logits, 0xff, logits * sizeof *g->first_logits);
    for (uint32_t i = 0; i < g->hf.count; i++) {
        const hf_row *row = &g->hf.rows[i];
        const b2_request_options options = {.prompt = row->prompt,
                                            .min_new_tokens = g->min_new_tokens,
                                            .max_new_tokens = g->max_new_tokens,
                                            .repetition_penalty = g->repetition_penalty,
                                            .seen = &config->pad,
                                            .seen_count = row->pads > 0 ? 1 : 0};
        b2_request *request;
        blip2_status status = b2_request_open(&request, g->hf.model, row->image, &options);

        if (status < 0)
            return status;
        g->requests[i] = request;
        request->index = i;
        request->payload = g;
        request->on_logits = see_logits;
    }
    return BLIP2_OK;
}

static blip2_status open_engine(generation *g) {
    blip2_engine_options options;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = g->hf.count;
    options.max_images = g->hf.count;
    options.max_tokens = g->hf.prompt_length + g->max_new_tokens;
    return blip2_engine_open(&g->engine, g->hf.model, &options);
}

static blip2_status run(generation *g) {
    static const watch_name names[] = {{"vit.features", "vision_last_hidden", false},
                                       {"qformer.out", "qformer_out", false},
                                       {"soft_prompt", "soft_prompt", false}};
    blip2_status status = BLIP2_OK;
    bool busy = true;
    watch w;

    watch_init(&w, g->hf.model->device, g->v, names, sizeof names / sizeof *names);
    g->engine->run.trace = &w.trace;
    for (uint32_t i = 0; i < g->hf.count && status == BLIP2_OK; i++)
        status = b2_engine_submit(g->engine, g->requests[i]);
    while (busy && status == BLIP2_OK)
        status = b2_engine_step(g->engine, &busy);
    for (uint32_t i = 0; i < g->hf.count && status == BLIP2_OK; i++)
        status = g->requests[i]->status;
    if (status < 0)
        return status;
    return w.status < 0 ? w.status : g->status;
}

/* ---- what came out ------------------------------------------------------------------------ */

static bool is_stop(const b2_config *config, const json_t *id) {
    for (uint32_t i = 0; i < config->stop_count; i++)
        if (json_is_integer(id) && json_integer_value(id) == config->stop_ids[i])
            return true;
    return false;
}

/* The expected rows (lists of ids), each up to and including the first stop id at `from` or later:
 * only padding follows. NULL: out of memory. */
static json_t *up_to_stop(const b2_config *config, const json_t *rows, size_t from) {
    json_t *out = json_array();

    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        json_t *cut = json_array();
        bool stopped = false;

        for (size_t k = 0; k < json_array_size(row) && !stopped; k++) {
            json_t *id = json_array_get(row, k);

            stopped = k >= from && is_stop(config, id);
            json_array_append(cut, id);
        }
        if (json_array_append_new(out, cut) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* New tokens of request i appended to list. */
static blip2_status append_tokens(const generation *g, uint32_t i, json_t *list) {
    const b2_decoding *decoding = &g->requests[i]->decoding;

    for (uint32_t k = 0; k < decoding->new_count; k++)
        if (json_array_append_new(list, json_integer(b2_decoding_tokens(decoding)[k])) != 0)
            return b2_fail_memory();
    return BLIP2_OK;
}

/* new_tokens, or with whole: sequences, which have the padded prompt in front. */
static blip2_status compare_tokens(const generation *g, const char *key, bool whole) {
    const json_t *expect = json_object_get(g->hf.golden->expect, key);
    size_t from = whole ? g->hf.prompt_length : 0;
    json_t *all = json_array(), *expected = up_to_stop(&g->hf.model->config, expect, from);
    blip2_status status = expected != NULL ? BLIP2_OK : b2_fail_memory();

    for (uint32_t i = 0; i < g->hf.count && status == BLIP2_OK; i++) {
        json_t *row = whole ? hf_batch_ids(&g->hf, i, false) : json_array();

        status = append_tokens(g, i, row);
        if (json_array_append_new(all, row) != 0 && status == BLIP2_OK)
            status = b2_fail_memory();
    }
    if (status == BLIP2_OK)
        status = verdict_value(g->v, key, all, expected);
    else
        json_decref(all);
    json_decref(expected);
    return status;
}

/* The new tokens, stop token included, decoded plainly. */
static blip2_status compare_texts(const generation *g) {
    json_t *all = json_array();
    b2_text_buffer text = {0};
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0; i < g->hf.count && status == BLIP2_OK; i++) {
        const b2_decoding *decoding = &g->requests[i]->decoding;

        b2_text_clear(&text);
        status = b2_tokenizer_decode(g->hf.model->tokenizer, b2_decoding_tokens(decoding),
                                     decoding->new_count, true, false, &text);
        if (status == BLIP2_OK &&
            json_array_append_new(all, json_stringn_nocheck(b2_text_data(&text), text.length)) != 0)
            status = b2_fail_memory();
    }
    b2_text_free(&text);
    if (status == BLIP2_OK)
        return verdict_value(g->v, "texts", all, NULL);
    json_decref(all);
    return status;
}

static blip2_status compare(const generation *g) {
    const json_t *expect = g->hf.golden->expect;
    blip2_status status;

    if ((status = hf_batch_compare(&g->hf, g->v)) < 0 ||
        (status = verdict_value(g->v, "prompt_length", json_integer(g->hf.prompt_length), NULL)) <
            0 ||
        (status = compare_tokens(g, "sequences", true)) < 0 ||
        (status = compare_tokens(g, "new_tokens", false)) < 0 || (status = compare_texts(g)) < 0)
        return status;
    if (json_is_null(json_object_get(expect, "sequence_scores")) &&
        (status = verdict_done(g->v, "sequence_scores")) < 0)
        return status;
    if (!verdict_expects(g->v, "first_logits"))
        return BLIP2_OK;
    return verdict_tensor(g->v, "first_logits", g->first_logits, g->hf.count,
                          g->hf.model->config.opt.vocab, NULL);
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
    for (uint32_t i = 0; i < g.hf.count && g.requests != NULL; i++)
        b2_request_close(g.requests[i]);
    b2_free(g.requests);
    b2_free(g.first_logits);
    hf_batch_close(&g.hf);
    return status;
}
