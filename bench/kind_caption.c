/* LAVIS's stage-1 captions (Blip2Qformer.generate), through the engine. */
#include "generated.h"
#include "kinds.h"
#include "stage1_case.h"

typedef struct caption {
    stage1_case c;
    generated out;
    uint32_t max_length, min_length; /* the start token counts */
    uint32_t beams;
} caption;

static blip2_status read_options(caption *o, const golden_case *golden) {
    b2_fields fields = golden_fields(golden, "inputs.");
    blip2_status status;

    o->max_length = 30;
    o->min_length = 10;
    o->beams = 1;
    b2_field_u32(&fields, golden->inputs, "max_length", 2, 1 << 16, &o->max_length);
    b2_field_u32(&fields, golden->inputs, "min_length", 1, 1 << 16, &o->min_length);
    b2_field_u32(&fields, golden->inputs, "num_beams", 1, 1024, &o->beams);
    if ((status = golden_check(&fields)) < 0)
        return status;
    return json_is_true(json_object_get(golden->inputs, "do_sample"))
               ? b2_fail(BLIP2_ENOTSUP, "do_sample")
               : BLIP2_OK;
}

static blip2_status generate(caption *o, verdict *v) {
    blip2_status status = generated_open(&o->out, o->c.model, v, (uint32_t)o->c.image_count, 1);

    for (uint32_t i = 0; i < o->out.count && status == BLIP2_OK; i++)
        status = generated_add(&o->out, i, o->c.images[i],
                               &(b2_request_options){.min_new_tokens = o->min_length - 1,
                                                     .max_new_tokens = o->max_length - 1,
                                                     .repetition_penalty = 1.0f,
                                                     .beams = o->beams > 1 ? o->beams : 0,
                                                     .answers = 1,
                                                     .length_penalty = 1.0f,
                                                     .rule = B2_BEAM_LAVIS});
    return status < 0 ? status : generated_run(&o->out, o->c.engine);
}

static json_t *start(const void *context, uint32_t i) {
    const blip2_model *model = context;

    (void)i;
    return json_pack("[i]", (int)model->writer.start);
}

static blip2_status compare(const caption *o) {
    const generated *out = &o->out;
    blip2_status status = generated_compare_tokens(out, "sequences", 1, start, o->c.model);

    if (status < 0 || (status = generated_compare_texts(out)) < 0 ||
        (status = generated_compare_scores(out)) < 0)
        return status;
    return generated_compare_logits(out);
}

blip2_status run_caption(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",     "image_size", "preprocess", "num_beams",
                                        "max_length", "min_length", "do_sample",  NULL};
    caption o = {0};
    blip2_status status = read_options(&o, golden);

    if (status < 0)
        return status;
    if ((status = stage1_case_open(&o.c, golden, device, known, UINT32_MAX)) == BLIP2_OK &&
        (status = generate(&o, v)) == BLIP2_OK)
        status = compare(&o);
    generated_close(&o.out);
    stage1_case_close(&o.c);
    return status;
}
