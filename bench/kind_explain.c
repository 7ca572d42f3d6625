/* Heat maps: the cross-attention of every layer and query, with a text and without, and the map of
 * contrast, as blip2_explain gives them. */
#include <string.h>

#include "base/alloc.h"
#include "kinds.h"
#include "stage1_case.h"

enum { EXPLAIN_TOKENS = 32 };

/* The map of the picture for its text, or without one, goes to out [patches]. */
static blip2_status map_of(const stage1_case *c, const char *text,
                           const blip2_explain_options *options, float *out) {
    const blip2_input input = {c->images[0], text};
    blip2_explanation *explanation;
    size_t rows, cols;
    const float *map;
    blip2_status status = blip2_explain(c->engine, &input, options, &explanation);

    if (status < 0)
        return status;
    map = blip2_explanation_map(explanation, &rows, &cols);
    memcpy(out, map, rows * cols * sizeof *out);
    blip2_explanation_free(explanation);
    return BLIP2_OK;
}

/* A map for each of `layers` layers and each query. */
static blip2_status compare_layers(const stage1_case *c, const char *name, const char *text,
                                   uint32_t layers, verdict *v) {
    uint32_t queries = c->model->config.qformer.queries;
    size_t patches = c->model->vit.tokens - 1, row = 0;
    float *got = b2_alloc_array((size_t)layers * queries, patches * sizeof *got);
    blip2_explain_options options;
    blip2_status status = got != NULL ? BLIP2_OK : b2_fail_memory();

    blip2_explain_options_init(&options, sizeof options);
    options.map = BLIP2_MAP_MEAN;
    for (options.layer = 1; options.layer <= layers && status == BLIP2_OK; options.layer++)
        for (options.query = 1; options.query <= queries && status == BLIP2_OK; options.query++)
            status = map_of(c, text, &options, got + row++ * patches);
    if (status == BLIP2_OK)
        status = verdict_tensor(v, name, got, (int64_t)row, (int64_t)patches, NULL);
    b2_free(got);
    return status;
}

static blip2_status compare_contrast(const stage1_case *c, verdict *v) {
    size_t patches = c->model->vit.tokens - 1;
    float *got = b2_alloc_array(patches, sizeof *got);
    blip2_status status = got != NULL ? map_of(c, c->texts[0], NULL, got) : b2_fail_memory();

    if (status == BLIP2_OK)
        status = verdict_tensor(v, "contrast_map", got, 1, (int64_t)patches, NULL);
    b2_free(got);
    return status;
}

static blip2_status run(const stage1_case *c, verdict *v) {
    uint32_t layers =
        (uint32_t)(c->model->qformer.cross_kv.rows / c->model->config.qformer.width / 2);
    blip2_status status;

    if (c->image_count != 1 || c->text_count != 1)
        return golden_bad(c->golden, "inputs.texts", "one picture and one text",
                          json_object_get(c->golden->inputs, "texts"));
    if ((status = compare_layers(c, "cross_attention", c->texts[0], layers, v)) < 0 ||
        (status = compare_layers(c, "cross_attention_image", NULL, layers, v)) < 0 ||
        (status = compare_contrast(c, v)) < 0)
        return status;
    return stage1_case_compare_ids(c, v);
}

blip2_status run_explain(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images", "texts", "image_size", "preprocess", NULL};
    stage1_case c;
    blip2_status status = stage1_case_open(&c, golden, device, known, EXPLAIN_TOKENS);

    if (status == BLIP2_OK)
        status = run(&c, v);
    stage1_case_close(&c);
    return status;
}
