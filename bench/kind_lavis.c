/* generate and predict_answers of LAVIS's BLIP-2 with OPT, through the engine. Options are taken as
 * LAVIS gave them on (hf_generate_args); the start token, which is never fed, counts in its
 * lengths. */
#include <string.h>

#include "base/alloc.h"
#include "generated.h"
#include "kinds.h"
#include "load/lavis.h"
#include "stage1_case.h"
#include "watch.h"

typedef struct lavis {
    stage1_case c;
    generated out;
    char *prompts[1024]; /* [image_count] */
    b2_tokens *ids;      /* [image_count] of the prompts, cut */
    char prompt[256];    /* of model.json */
    uint32_t max_prompt_tokens;
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

/* The model's own prompt and how long one may be. */
static blip2_status read_model(lavis *l) {
    b2_lavis model;
    const json_t *hyper;
    b2_fields fields = {.section = "hyper."};
    blip2_status status;

    if (l->c.model->config.language != B2_LANGUAGE_OPT || l->c.model->files.checkpoint == NULL)
        return b2_fail(BLIP2_ENOTSUP, "a model other than LAVIS's with OPT");
    if ((status = b2_lavis_open(&model, l->c.model->directory)) < 0)
        return status;
    fields.file = model.file;
    hyper = json_object_get(model.json, "hyper");
    l->max_prompt_tokens = 32;
    b2_field_text(&fields, hyper, "prompt", l->prompt, sizeof l->prompt);
    b2_field_u32(&fields, hyper, "max_txt_len", 1, 1 << 16, &l->max_prompt_tokens);
    b2_lavis_close(&model);
    return fields.status;
}

/* The question, put into "... {} ..." where there is that. */
static char *ask(const char *format, const char *question) {
    const char *hole = strstr(format, "{}");
    b2_text_buffer text = {0};

    if (hole == NULL)
        return b2_strdup(question);
    b2_text_appendf(&text, "%.*s%s%s", (int)(hole - format), format, question, hole + 2);
    return b2_text_take(&text);
}

static const char *text_of(const json_t *value, size_t i) {
    return json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
}

static blip2_status make_prompts(lavis *l) {
    static const char *const known_samples[] = {"prompt", "text_input", NULL};
    const json_t *inputs = l->c.golden->inputs, *samples = json_object_get(inputs, "samples");
    const json_t *format = json_object_get(json_object_get(inputs, "args"), "prompt");
    const char *method = json_string_value(json_object_get(inputs, "method"));
    bool questions = method != NULL && strcmp(method, "predict_answers") == 0;
    const json_t *texts = json_object_get(samples, questions ? "text_input" : "prompt");
    blip2_status status = golden_only(samples, "samples.", known_samples);

    if (status < 0)
        return status;
    if (!questions && (method == NULL || strcmp(method, "generate") != 0))
        return b2_fail(BLIP2_ENOTSUP, "another method than generate and predict_answers");
    if (l->c.image_count > sizeof l->prompts / sizeof *l->prompts)
        return b2_fail(BLIP2_ENOTSUP, "so many pictures");
    if ((l->ids = b2_calloc(l->c.image_count, sizeof *l->ids)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < l->c.image_count && status == BLIP2_OK; i++) {
        const char *text = texts != NULL ? text_of(texts, i) : l->prompt;

        if (text == NULL)
            return golden_bad(l->c.golden, "inputs.samples", "texts, one a picture", samples);
        l->prompts[i] = questions && json_is_string(format) ? ask(json_string_value(format), text)
                                                            : b2_strdup(text);
        if (l->prompts[i] == NULL)
            return b2_fail_memory();
        status = b2_tokenizer_encode(l->c.model->tokenizer, l->prompts[i], strlen(l->prompts[i]),
                                     true, &l->ids[i]);
        if (l->ids[i].count > l->max_prompt_tokens)
            l->ids[i].count = l->max_prompt_tokens;
    }
    return status;
}

/* The prompts as LAVIS had them, padded on the left; mask: 1 and 0, of the queries too. */
static blip2_status compare_ids(const lavis *l, verdict *v, const char *key, bool mask) {
    const b2_config *config = &l->c.model->config;
    size_t longest = 0, queries = mask ? config->qformer.queries : 0;
    json_t *all = json_array();

    for (size_t i = 0; i < l->c.image_count; i++)
        longest = l->ids[i].count > longest ? l->ids[i].count : longest;
    for (size_t i = 0; i < l->c.image_count; i++) {
        size_t pads = longest - l->ids[i].count;
        json_t *row = json_array();

        for (size_t k = 0; k < queries; k++)
            list_add(&row, json_integer(1));
        for (size_t k = 0; k < longest; k++)
            list_add(&row, json_integer(k < pads ? (mask ? 0 : config->pad)
                                                 : (mask ? 1 : l->ids[i].ids[k - pads])));
        list_add(&all, row);
    }
    return verdict_value(v, key, all, NULL);
}

static blip2_status generate(lavis *l, verdict *v) {
    static const watch_name names[] = {{"qformer.out", "qformer_out", false},
                                       {"soft_prompt", "soft_prompt", false}};
    blip2_status status =
        generated_open(&l->out, l->c.model, v, (uint32_t)l->c.image_count, l->answers);
    watch w;

    for (uint32_t i = 0; i < l->out.count && status == BLIP2_OK; i++)
        status = generated_add(&l->out, i, l->c.images[i],
                               &(b2_request_options){.prompt = l->prompts[i],
                                                     .max_prompt_tokens = l->max_prompt_tokens,
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
    return json_pack("[i]", (int)model->config.bos);
}

static blip2_status compare(const lavis *l, verdict *v) {
    const generated *out = &l->out;
    blip2_status status;

    if (l->c.model->config.stop_ids[0] != l->stop)
        verdict_fail(v, "texts end with token %d, expected %d", (int)l->c.model->config.stop_ids[0],
                     (int)l->stop);
    if ((status = compare_ids(l, v, "llm_prompt_ids", false)) < 0 ||
        (status = compare_ids(l, v, "llm_attention_mask", true)) < 0 ||
        (status = generated_compare_tokens(out, "sequences", 1, start, l->c.model)) < 0 ||
        (status = generated_compare_stripped(out)) < 0 ||
        (status = generated_compare_scores(out)) < 0)
        return status;
    return generated_compare_logits(out);
}

static void lavis_close(lavis *l) {
    generated_close(&l->out);
    for (size_t i = 0; i < l->c.image_count && l->ids != NULL; i++) {
        b2_free(l->prompts[i]);
        b2_tokens_free(&l->ids[i]);
    }
    b2_free(l->ids);
    stage1_case_close(&l->c);
}

blip2_status run_lavis(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",  "image_size", "preprocess",       "method",
                                        "samples", "args",       "hf_generate_args", NULL};
    lavis l = {.stop = -1};
    blip2_status status = read_options(&l, golden);

    if (status < 0)
        return status;
    if ((status = stage1_case_open(&l.c, golden, device, known, UINT32_MAX)) == BLIP2_OK &&
        (status = read_model(&l)) == BLIP2_OK && (status = make_prompts(&l)) == BLIP2_OK &&
        (status = generate(&l, v)) == BLIP2_OK)
        status = compare(&l, v);
    lavis_close(&l);
    return status;
}
