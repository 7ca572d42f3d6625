/* What is searched for, as vectors: a text is one, a picture one a learned query. Texts are read as
 * blip2_similarity reads them, pictures as a build does, so that the scores are the same. */
#include <string.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "index/index.h"

/* Queries of one kind, read together. */
typedef struct group {
    size_t number[B2_CONTRAST_TEXTS];
    size_t count;
} group;

static blip2_status read_texts(b2_queries *q, blip2_engine *engine, const blip2_input *inputs,
                               const group *g, uint32_t max_text_tokens) {
    size_t width = (size_t)engine->model->stage1.text.rows;
    float *vectors = b2_alloc_array(g->count, width * sizeof *vectors);
    const char *texts[B2_CONTRAST_TEXTS];
    blip2_status status;

    if (vectors == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < g->count; i++)
        texts[i] = inputs[g->number[i]].prompt;
    status = b2_contrast_texts(engine, texts, g->count, max_text_tokens, vectors);
    for (size_t i = 0; i < g->count && status == BLIP2_OK; i++)
        memcpy(q->vectors + q->first[g->number[i]] * width, vectors + i * width,
               width * sizeof *vectors);
    b2_free(vectors);
    return status;
}

static blip2_status read_images(b2_queries *q, blip2_engine *engine, const blip2_input *inputs,
                                const group *g) {
    blip2_features *features;
    blip2_input images[B2_CONTRAST_TEXTS];
    blip2_status status;

    for (size_t i = 0; i < g->count; i++)
        images[i] = inputs[g->number[i]];
    if ((status = blip2_features_extract(engine, images, g->count, NULL, &features)) < 0)
        return status;
    for (size_t i = 0; i < g->count; i++) {
        size_t rows, width;
        const float *vectors = blip2_features_projected(features, i, &rows, &width);

        memcpy(q->vectors + q->first[g->number[i]] * width, vectors,
               rows * width * sizeof *vectors);
    }
    blip2_features_free(features);
    return BLIP2_OK;
}

static blip2_status read_kind(b2_queries *q, blip2_engine *engine, const blip2_input *inputs,
                              bool text, uint32_t max_text_tokens) {
    group g = {.count = 0};
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < q->count && status == BLIP2_OK; i++) {
        if ((inputs[i].image == NULL) == text)
            g.number[g.count++] = i;
        if (g.count < B2_CONTRAST_TEXTS && (i + 1 < q->count || g.count == 0))
            continue;
        status = text ? read_texts(q, engine, inputs, &g, max_text_tokens)
                      : read_images(q, engine, inputs, &g);
        g.count = 0;
    }
    return status;
}

blip2_status b2_queries_open(b2_queries *out, blip2_engine *engine, const blip2_input *inputs,
                             size_t count, uint32_t max_text_tokens) {
    size_t width = (size_t)engine->model->stage1.text.rows;
    blip2_status status;

    *out = (b2_queries){.count = count};
    if ((out->first = b2_calloc(count + 1, sizeof *out->first)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++)
        out->first[i + 1] =
            out->first[i] + (inputs[i].image != NULL ? engine->model->config.qformer.queries : 1);
    if ((out->vectors = b2_alloc_array(out->first[count], width * sizeof *out->vectors)) == NULL)
        return b2_fail_memory();
    if ((status = read_kind(out, engine, inputs, true, max_text_tokens)) < 0)
        return status;
    return read_kind(out, engine, inputs, false, max_text_tokens);
}

void b2_queries_free(b2_queries *queries) {
    b2_free(queries->vectors);
    b2_free(queries->first);
    *queries = (b2_queries){0};
}
