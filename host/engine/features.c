/* Features of pictures, texts and pairs: a SCORE request each. */
#include "base/alloc.h"
#include "base/options.h"
#include "engine/engine.h"
#include "engine/job.h"

typedef struct matrix {
    float *data; /* [rows, cols]; NULL: none */
    size_t rows, cols;
} matrix;

typedef struct feature {
    matrix hidden, projected;
} feature;

struct blip2_features {
    size_t count;
    feature *items; /* [count] */
};

typedef struct extraction {
    blip2_job job;
    blip2_features *features;
} extraction;

/* Take over what a request found. */
static void keep(b2_request *request, void *payload) {
    const extraction *e = payload;
    feature *item = &e->features->items[request->index];
    b2_score *score = &request->score;
    const blip2_model *model = request->model;

    if (request->status < 0)
        return;
    item->hidden = (matrix){score->rows, score->row_count, model->config.qformer.width};
    item->projected =
        (matrix){score->contrast, b2_score_contrast_rows(score), (size_t)model->stage1.text.rows};
    score->rows = score->contrast = NULL;
}

static blip2_status open_requests(extraction *e, const blip2_model *model,
                                  const blip2_input *inputs,
                                  const blip2_features_options *options) {
    static const b2_score_mode modes[] = {B2_SCORE_IMAGE, B2_SCORE_TEXT, B2_SCORE_PAIR};
    bool pair = options->mode == BLIP2_MODE_MULTIMODAL;
    const b2_score wanted = {.mode = modes[options->mode],
                             .wants_rows = true,
                             .wants_contrast = !pair && model->stage1.contrasts};
    uint32_t tokens = options->max_text_tokens != 0 ? options->max_text_tokens : UINT32_MAX;
    blip2_status status;

    for (size_t i = 0; i < e->job.call.count; i++) {
        b2_request **request = &e->job.call.requests[i];
        const blip2_image *image = options->mode != BLIP2_MODE_TEXT ? inputs[i].image : NULL;
        const char *text = options->mode != BLIP2_MODE_IMAGE ? inputs[i].prompt : NULL;

        if ((options->mode != BLIP2_MODE_TEXT && image == NULL) ||
            (options->mode != BLIP2_MODE_IMAGE && text == NULL))
            return b2_fail(BLIP2_EINVAL, "input %zu: %s is NULL", i,
                           image == NULL && options->mode != BLIP2_MODE_TEXT ? "image" : "prompt");
        if ((status = b2_request_open_score(request, model, image, text, &wanted, tokens)) < 0)
            return status;
        (*request)->index = i;
        (*request)->payload = e;
        (*request)->on_done = keep;
    }
    return BLIP2_OK;
}

static blip2_status make_features(blip2_features **out, size_t count) {
    blip2_features *features = b2_calloc(1, sizeof *features);

    *out = features;
    if (features == NULL || (features->items = b2_calloc(count, sizeof *features->items)) == NULL)
        return b2_fail_memory();
    features->count = count;
    return BLIP2_OK;
}

static void close_extraction(blip2_job *job) {
    blip2_features_free(((extraction *)job)->features);
}

static const b2_job_type type = {.name = "features", .close = close_extraction};

blip2_status b2_job_open_features(blip2_job **out, blip2_engine *engine, const blip2_input *inputs,
                                  size_t count, const blip2_features_options *options) {
    blip2_features_options known;
    extraction *e;
    blip2_status status;

    if (inputs == NULL && count > 0)
        return b2_fail(BLIP2_EINVAL, "blip2_features_extract: inputs is NULL");
    if ((status = b2_options_copy(&known, sizeof known, options, "blip2_features_options")) < 0)
        return status;
    if ((unsigned)known.mode > BLIP2_MODE_MULTIMODAL)
        return b2_fail(BLIP2_EINVAL, "mode: %d is none of IMAGE, TEXT, MULTIMODAL",
                       (int)known.mode);
    if ((e = b2_job_open(sizeof *e, &type, engine, count)) == NULL)
        return BLIP2_ENOMEM;
    if ((status = make_features(&e->features, count)) < 0 ||
        (status = open_requests(e, engine->model, inputs, &known)) < 0) {
        b2_job_free(&e->job);
        return status;
    }
    *out = &e->job;
    return BLIP2_OK;
}

static blip2_features *take(extraction *e) {
    blip2_features *features = e->features;

    e->features = NULL;
    return features;
}

blip2_status blip2_features_extract(blip2_engine *engine, const blip2_input *inputs, size_t count,
                                    const blip2_features_options *options, blip2_features **out) {
    blip2_job *job;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_features_extract: out is NULL");
    *out = NULL;
    if ((status = b2_call_check(engine, "blip2_features_extract")) < 0 ||
        (status = b2_job_open_features(&job, engine, inputs, count, options)) < 0)
        return status;
    if ((status = b2_job_run(job, NULL)) == BLIP2_OK)
        *out = take((extraction *)job);
    b2_job_free(job);
    return status;
}

blip2_status blip2_submit_features(blip2_job **out, blip2_engine *engine, const blip2_input *inputs,
                                   size_t count, const blip2_features_options *options,
                                   const blip2_submit_options *submit) {
    blip2_job *job;
    blip2_status status = b2_job_check(out, engine, "blip2_submit_features");

    if (status < 0 || (status = b2_job_open_features(&job, engine, inputs, count, options)) < 0)
        return status;
    return b2_job_submit(out, job, submit);
}

blip2_status blip2_job_take_features(blip2_job *job, blip2_features **out) {
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_job_take_features: out is NULL");
    *out = NULL;
    if ((status = b2_job_take(job, &type)) == BLIP2_OK)
        *out = take((extraction *)job);
    return status;
}

size_t blip2_features_count(const blip2_features *features) {
    return features != NULL ? features->count : 0;
}

static const float *give(const matrix *m, size_t *rows, size_t *cols) {
    if (rows != NULL)
        *rows = m->data != NULL ? m->rows : 0;
    if (cols != NULL)
        *cols = m->data != NULL ? m->cols : 0;
    return m->data;
}

const float *blip2_features_hidden(const blip2_features *features, size_t index, size_t *rows,
                                   size_t *cols) {
    return give(index < blip2_features_count(features) ? &features->items[index].hidden
                                                       : &(matrix){0},
                rows, cols);
}

const float *blip2_features_projected(const blip2_features *features, size_t index, size_t *rows,
                                      size_t *cols) {
    return give(index < blip2_features_count(features) ? &features->items[index].projected
                                                       : &(matrix){0},
                rows, cols);
}

void blip2_features_free(blip2_features *features) {
    if (features == NULL)
        return;
    for (size_t i = 0; i < features->count && features->items != NULL; i++) {
        b2_free(features->items[i].hidden.data);
        b2_free(features->items[i].projected.data);
    }
    b2_free(features->items);
    b2_free(features);
}
