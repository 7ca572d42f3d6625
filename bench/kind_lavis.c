/* generate and predict_answers of LAVIS's models with a language model, through the engine. Options
 * are taken as LAVIS gave them on (hf_generate_args); the start token, which a model without an
 * encoder is never fed, counts in its lengths. */
#include <string.h>

#include "base/alloc.h"
#include "generated.h"
#include "image/image.h"
#include "kinds.h"
#include "lavis_prompts.h"
#include "stage1_case.h"
#include "watch.h"

typedef struct lavis {
    stage1_case c;
    generated out;
    lavis_prompts prompts;
    uint32_t max_new_tokens, min_new_tokens, beams, answers;
    float repetition_penalty, length_penalty;
    int32_t stop;
} lavis;

static blip2_status read_options(lavis *l, const golden_case *golden) {
    static const char *const known[] = {"do_sample",      "top_p",
                                        "temperature",    "num_beams",
                                        "max_length",     "min_length",
                                        "eos_token_id",   "repetition_penalty",
                                        "length_penalty", "num_return_sequences",
                                        "max_new_tokens", NULL};
    const json_t *args = json_object_get(golden->inputs, "hf_generate_args");
    b2_fields fields = golden_fields(golden, "inputs.hf_generate_args.");
    uint32_t max_length = 0, min_length = 0;
    blip2_status status;

    if (!json_is_object(args))
        return golden_bad(golden, "inputs.hf_generate_args", "an object", args);
    l->repetition_penalty = l->length_penalty = 1.0f;
    l->beams = l->answers = 1;
    b2_field_u32(&fields, args, "max_new_tokens", 1, 1 << 16, &l->max_new_tokens);
    b2_field_u32(&fields, args, "max_length", 2, 1 << 16, &max_length);
    b2_field_u32(&fields, args, "min_length", 0, 1 << 16, &min_length);
    b2_field_u32(&fields, args, "num_beams", 1, 1024, &l->beams);
    b2_field_u32(&fields, args, "num_return_sequences", 1, 1024, &l->answers);
    b2_field_f32(&fields, args, "length_penalty", -1e3, 1e3, &l->length_penalty);
    b2_field_f32(&fields, args, "repetition_penalty", 1e-6, 1e6, &l->repetition_penalty);
    b2_field_token(&fields, args, "eos_token_id", &l->stop);
    if ((status = golden_check(&fields)) < 0 ||
        (status = golden_only(args, "hf_generate_args.", known)) < 0)
        return status;
    if (json_is_true(json_object_get(args, "do_sample")))
        return b2_fail(BLIP2_ENOTSUP, "do_sample");
    if (l->max_new_tokens == 0)
        l->max_new_tokens = max_length > 0 ? max_length - 1 : 1;
    l->min_new_tokens = min_length > 0 ? min_length - 1 : 0;
    return BLIP2_OK;
}

static blip2_status generate(lavis *l, verdict *v) {
    static const watch_name names[] = {{"qformer.out", "qformer_out", false},
                                       {"soft_prompt", "soft_prompt", false}};
    blip2_status status =
        generated_open(&l->out, l->c.model, v, (uint32_t)l->c.image_count, l->answers);
    watch w;

    for (uint32_t i = 0; i < l->out.count && status == BLIP2_OK; i++)
        status = generated_add(&l->out, i, l->c.images[i],
                               &(b2_request_options){.prompt = l->prompts.texts[i],
                                                     .max_prompt_tokens = l->prompts.max_tokens,
                                                     .min_new_tokens = l->min_new_tokens,
                                                     .max_new_tokens = l->max_new_tokens,
                                                     .repetition_penalty = l->repetition_penalty,
                                                     .beams = l->beams > 1 ? l->beams : 0,
                                                     .answers = l->answers,
                                                     .length_penalty = l->length_penalty,
                                                     .rule = B2_BEAM_LAVIS});
    if (status < 0)
        return status;
    watch_init(&w, l->c.model->device, v, names, sizeof names / sizeof *names);
    l->c.engine->run.trace = &w.trace;
    status = generated_run(&l->out, l->c.engine);
    return status < 0 ? status : w.status;
}

static json_t *start(const void *context, uint32_t i) {
    const blip2_model *model = context;

    (void)i;
    return json_pack("[i]", (int)(model->writer.reads ? model->writer.start : model->config.bos));
}

static blip2_status compare(const lavis *l, verdict *v) {
    const generated *out = &l->out;
    uint32_t queries = l->c.model->config.qformer.queries;
    uint32_t frames = b2_image_frames(l->c.images[0]);
    bool strips = l->c.model->config.language != B2_LANGUAGE_T5;
    blip2_status status;

    if (l->stop >= 0 && l->c.model->config.stop_ids[0] != l->stop)
        verdict_fail(v, "texts end with token %d, expected %d", (int)l->c.model->config.stop_ids[0],
                     (int)l->stop);
    if ((status = lavis_prompts_compare(&l->prompts, v, queries * frames)) < 0 ||
        (status = generated_compare_tokens(out, "sequences", 1, start, l->c.model)) < 0 ||
        (status = strips ? generated_compare_stripped(out) : generated_compare_texts(out)) < 0 ||
        (status = generated_compare_scores(out)) < 0)
        return status;
    return generated_compare_logits(out);
}

static void lavis_close(lavis *l) {
    generated_close(&l->out);
    lavis_prompts_free(&l->prompts);
    stage1_case_close(&l->c);
}

blip2_status run_lavis(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",     "frames",           "image_size",
                                        "preprocess", "method",           "samples",
                                        "args",       "hf_generate_args", NULL};
    lavis l = {.stop = -1};
    blip2_status status = read_options(&l, golden);

    if (status < 0)
        return status;
    if ((status = stage1_case_open(&l.c, golden, device, known, UINT32_MAX)) == BLIP2_OK &&
        (status = lavis_prompts_make(&l.prompts, golden, l.c.model, l.c.image_count)) == BLIP2_OK &&
        (status = generate(&l, v)) == BLIP2_OK)
        status = compare(&l, v);
    lavis_close(&l);
    return status;
}
