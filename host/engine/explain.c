/* Heat maps of one picture: a watched pass of the Q-Former over picture and text (looks.h), and for
 * CONTRAST a request a patch, whose queries read nothing but that patch. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/contrast.h"
#include "engine/engine.h"
#include "engine/looks.h"

enum { DEFAULT_TOKENS = 32 };

/* BLIP-2's training starts with it. Learned temperatures are smaller: they tell the best patch from
 * the next one, where a map should show the whole thing. */
static const double temperature = 0.07;

struct blip2_explanation {
    size_t rows, cols;  /* of patches */
    float *map;         /* [rows, cols] */
    size_t token_count; /* of a caption, without start and end */
    char **tokens;      /* [token_count] */
    float *token_maps;  /* [token_count, rows, cols] */
};

typedef struct job {
    blip2_engine *engine;
    const blip2_input *input;
    blip2_explain_options options;
    b2_request *request; /* the watched one */
    b2_looks looks;
    float *share;     /* [Lx, Q, n] the queries over the picture's rows */
    float *cross_kv;  /* [n, Lx 2C] */
    b2_request *text; /* CONTRAST: whose vector patches are compared with */
    b2_request **patches;
    double *contrast; /* [rows * cols] of each patch */
    blip2_explanation *out;
} job;

static size_t patches_of(const job *j) {
    return j->out->rows * j->out->cols;
}

/* ---- attention ---------------------------------------------------------------------------- */

static blip2_status open_watched(job *j) {
    const blip2_model *model = j->engine->model;
    const char *text = j->input->prompt;
    const b2_score wanted = {.mode = text == NULL              ? B2_SCORE_READ
                                     : j->options.caption != 0 ? B2_SCORE_CAPTION
                                                               : B2_SCORE_PAIR,
                             .read_count = model->vit.tokens};
    blip2_status status = b2_request_open_score(&j->request, model, j->input->image, text, &wanted,
                                                j->options.max_text_tokens);

    if (status == BLIP2_OK && wanted.mode == B2_SCORE_CAPTION)
        status = b2_request_start_caption(j->request);
    return status;
}

static blip2_status fetch_keys(job *j) {
    b2_mat all = j->engine->images.where.cross_kv;
    size_t n = j->engine->model->vit.tokens, size;
    b2_mat kept = b2_mat_rows(all, (int64_t)(j->request->image_place * n), (int64_t)n);

    if (!b2_size_mul(n * sizeof(float), (size_t)all.cols, &size) ||
        (j->cross_kv = b2_alloc(size)) == NULL)
        return b2_fail_memory();
    return j->engine->model->device->ops->download(j->engine->model->device, j->cross_kv, kept.data,
                                                   size);
}

/* On the engine's thread, while the picture's keys and values are where they were read. */
static void finish_watched(b2_request *request, void *payload) {
    job *j = payload;

    if (request->status == BLIP2_OK)
        request->status = j->looks.status < 0 ? j->looks.status : fetch_keys(j);
}

static blip2_status watch(job *j) {
    const blip2_model *model = j->engine->model;
    size_t shares;
    blip2_status status;

    if ((status = open_watched(j)) < 0 ||
        (status = b2_looks_open(&j->looks, model, j->request->id_count)) < 0)
        return status;
    j->request->trace = &j->looks.trace;
    j->request->payload = j;
    j->request->on_done = finish_watched;
    if ((status = b2_call_run(j->engine, &j->request, 1)) < 0)
        return status;
    shares = (size_t)j->looks.cross_layers * model->config.qformer.queries;
    if ((j->share = b2_alloc_array(shares, model->vit.tokens * sizeof *j->share)) == NULL)
        return b2_fail_memory();
    return b2_looks_cross(&j->looks, j->cross_kv, j->share);
}

/* heat [patches] = attention of the queries, each by its weight, mean over the layers; weight: [Q].
 * The picture's first row, the class token, is left out. */
static void sum_up(const job *j, const double *weight, float *heat) {
    size_t n = j->engine->model->vit.tokens, queries = j->engine->model->config.qformer.queries;
    size_t first = j->options.layer != 0 ? j->options.layer - 1 : 0;
    size_t layers = j->options.layer != 0 ? 1 : j->looks.cross_layers;

    for (size_t p = 0; p + 1 < n; p++) {
        double sum = 0.0;

        for (size_t l = first; l < first + layers; l++)
            for (size_t q = 0; q < queries; q++)
                sum += weight[q] * (double)j->share[(l * queries + q) * n + p + 1];
        heat[p] = (float)(sum / (double)layers);
    }
}

static blip2_status mean_map(job *j) {
    uint32_t queries = j->engine->model->config.qformer.queries, chosen = j->options.query;
    double *weight = b2_calloc(queries, sizeof *weight);

    j->out->map = b2_alloc_array(patches_of(j), sizeof *j->out->map);
    if (weight == NULL || j->out->map == NULL) {
        b2_free(weight);
        return b2_fail_memory();
    }
    for (uint32_t q = 0; q < queries; q++)
        weight[q] = chosen == 0 ? 1.0 / queries : chosen == q + 1 ? 1.0 : 0.0;
    sum_up(j, weight, j->out->map);
    b2_free(weight);
    return BLIP2_OK;
}

/* ---- contrast of patches ------------------------------------------------------------------ */

static void keep_contrast(b2_request *request, void *payload) {
    job *j = payload;

    if (request->status < 0)
        return;
    j->contrast[request->index] = b2_contrast_of(&request->score, &j->text->score,
                                                 (size_t)j->engine->model->stage1.text.rows);
    b2_score_free(&request->score);
}

static blip2_status open_patches(job *j) {
    const blip2_model *model = j->engine->model;
    b2_score wanted = {.mode = B2_SCORE_READ, .wants_contrast = true, .read_count = 1};
    blip2_status status;

    for (size_t i = 0; i < patches_of(j); i++) {
        wanted.read_first = (uint32_t)i + 1;
        if ((status = b2_request_open_score(&j->patches[i], model, j->input->image, NULL, &wanted,
                                            0)) < 0)
            return status;
        j->patches[i]->index = i;
        j->patches[i]->payload = j;
        j->patches[i]->on_done = keep_contrast;
    }
    return BLIP2_OK;
}

/* What contrast says of each patch alone: the cosine of the text and the best query. */
static blip2_status read_patches(job *j) {
    const b2_score wanted = {.mode = B2_SCORE_TEXT, .wants_contrast = true};
    size_t count = patches_of(j);
    blip2_status status;

    j->patches = b2_calloc(count, sizeof(b2_request *));
    j->contrast = b2_calloc(count, sizeof *j->contrast);
    if (j->patches == NULL || j->contrast == NULL)
        return b2_fail_memory();
    if ((status = b2_request_open_score(&j->text, j->engine->model, NULL, j->input->prompt, &wanted,
                                        j->options.max_text_tokens)) < 0 ||
        (status = b2_call_run(j->engine, &j->text, 1)) < 0 || (status = open_patches(j)) < 0)
        return status;
    return b2_call_run(j->engine, j->patches, count);
}

/* map = map x softmax(contrast / temperature), to a sum of 1. */
static void weigh(job *j) {
    size_t count = patches_of(j);
    double most = -INFINITY, sum = 0.0;

    for (size_t i = 0; i < count; i++)
        most = fmax(most, j->contrast[i]);
    for (size_t i = 0; i < count; i++) {
        j->contrast[i] = exp((j->contrast[i] - most) / temperature) * (double)j->out->map[i];
        sum += j->contrast[i];
    }
    for (size_t i = 0; i < count; i++)
        j->out->map[i] = (float)(sum > 0.0 ? j->contrast[i] / sum : 0.0);
}

/* ---- tokens ------------------------------------------------------------------------------- */

static blip2_status name_token(job *j, size_t i) {
    b2_text_buffer text = {0};
    blip2_status status = b2_tokenizer_decode(j->engine->model->tokenizer, &j->request->ids[i + 1],
                                              1, false, false, &text);

    if (status == BLIP2_OK && ((j->out->tokens[i] = b2_text_take(&text)) == NULL))
        status = b2_fail_memory();
    b2_text_free(&text);
    return status;
}

/* Of all tokens but the first and the last one. */
static blip2_status map_tokens(job *j) {
    size_t queries = j->engine->model->config.qformer.queries, all = j->request->id_count;
    size_t count = all > 2 ? all - 2 : 0;
    float *share = b2_alloc_array(all * queries, sizeof *share);
    double *weight = b2_alloc_array(queries, sizeof *weight);
    blip2_status status = BLIP2_OK;

    j->out->tokens = b2_calloc(count, sizeof(char *));
    j->out->token_maps = b2_alloc_array(count * patches_of(j), sizeof(float));
    if (share == NULL || weight == NULL || j->out->tokens == NULL || j->out->token_maps == NULL)
        status = b2_fail_memory();
    else {
        j->out->token_count = count;
        status = b2_looks_text(&j->looks, share);
    }
    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        for (size_t q = 0; q < queries; q++)
            weight[q] = (double)share[(i + 1) * queries + q];
        sum_up(j, weight, j->out->token_maps + i * patches_of(j));
        status = name_token(j, i);
    }
    b2_free(share);
    b2_free(weight);
    return status;
}

/* ---- the call ----------------------------------------------------------------------------- */

static blip2_status check_choice(const char *what, uint32_t got, uint32_t most) {
    if (got <= most)
        return BLIP2_OK;
    return b2_fail(BLIP2_EINVAL, "%s: got %u, this checkpoint has %u", what, got, most);
}

static blip2_status check(job *j) {
    const blip2_model *model = j->engine->model;
    uint32_t layers = (uint32_t)(model->qformer.cross_kv.rows / model->config.qformer.width / 2);
    bool text = j->input->prompt != NULL, caption = j->options.caption != 0;
    blip2_status status;

    if (j->input->image == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_explain: input->image is NULL");
    if (text && j->input->prompt[0] == '\0')
        return b2_fail(BLIP2_EINVAL, "the text to look for is empty");
    if ((unsigned)j->options.map > BLIP2_MAP_CONTRAST)
        return b2_fail(BLIP2_EINVAL, "map: %d is none of AUTO, MEAN, CONTRAST",
                       (int)j->options.map);
    if (!text && (caption || j->options.map == BLIP2_MAP_CONTRAST))
        return b2_fail(BLIP2_EINVAL, "%s needs a text", caption ? "a caption" : "map CONTRAST");
    if ((status = check_choice("layer", j->options.layer, layers)) < 0 ||
        (status = check_choice("query", j->options.query, model->config.qformer.queries)) < 0)
        return status;
    if (j->options.map == BLIP2_MAP_AUTO)
        j->options.map =
            text && !caption && model->stage1.contrasts ? BLIP2_MAP_CONTRAST : BLIP2_MAP_MEAN;
    if (j->options.max_text_tokens == 0)
        j->options.max_text_tokens = DEFAULT_TOKENS;
    return BLIP2_OK;
}

static blip2_status explain(job *j) {
    const blip2_model *model = j->engine->model;
    blip2_status status = check(j);

    if (status < 0)
        return status;
    j->out->rows = b2_vit_rows(&model->config.vit);
    j->out->cols = b2_vit_cols(&model->config.vit);
    if ((status = watch(j)) < 0 || (status = mean_map(j)) < 0)
        return status;
    if (j->options.map == BLIP2_MAP_CONTRAST) {
        if ((status = read_patches(j)) < 0)
            return status;
        weigh(j);
    }
    return j->options.caption != 0 ? map_tokens(j) : BLIP2_OK;
}

static void close_job(job *j) {
    for (size_t i = 0; j->patches != NULL && i < patches_of(j); i++)
        b2_request_close(j->patches[i]);
    b2_free(j->patches);
    b2_free(j->contrast);
    b2_request_close(j->text);
    b2_request_close(j->request);
    b2_looks_close(&j->looks);
    b2_free(j->share);
    b2_free(j->cross_kv);
}

blip2_status blip2_explain(blip2_engine *engine, const blip2_input *input,
                           const blip2_explain_options *options, blip2_explanation **out) {
    job j = {.engine = engine, .input = input};
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_explain: out is NULL");
    *out = NULL;
    if ((status = b2_call_check(engine, "blip2_explain")) < 0)
        return status;
    if (input == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_explain: input is NULL");
    if ((status = b2_options_copy(&j.options, sizeof j.options, options, "blip2_explain_options")) <
        0)
        return status;
    if ((j.out = b2_calloc(1, sizeof *j.out)) == NULL)
        return b2_fail_memory();
    status = explain(&j);
    close_job(&j);
    if (status < 0)
        blip2_explanation_free(j.out);
    else
        *out = j.out;
    return status;
}

/* ---- what came out ------------------------------------------------------------------------ */

static const float *give(const blip2_explanation *e, const float *map, size_t *rows, size_t *cols) {
    if (rows != NULL)
        *rows = map != NULL ? e->rows : 0;
    if (cols != NULL)
        *cols = map != NULL ? e->cols : 0;
    return map;
}

const float *blip2_explanation_map(const blip2_explanation *e, size_t *rows, size_t *cols) {
    return give(e, e != NULL ? e->map : NULL, rows, cols);
}

size_t blip2_explanation_tokens(const blip2_explanation *e) {
    return e != NULL ? e->token_count : 0;
}

const char *blip2_explanation_token(const blip2_explanation *e, size_t index) {
    return index < blip2_explanation_tokens(e) ? e->tokens[index] : NULL;
}

const float *blip2_explanation_token_map(const blip2_explanation *e, size_t index, size_t *rows,
                                         size_t *cols) {
    bool there = index < blip2_explanation_tokens(e);

    return give(e, there ? e->token_maps + index * e->rows * e->cols : NULL, rows, cols);
}

void blip2_explanation_free(blip2_explanation *e) {
    if (e == NULL)
        return;
    for (size_t i = 0; i < e->token_count; i++)
        b2_free(e->tokens[i]);
    b2_free(e->tokens);
    b2_free(e->token_maps);
    b2_free(e->map);
    b2_free(e);
}
