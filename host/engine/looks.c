#include "engine/looks.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* Of the pass over the request, in which it is alone. */
static void see(void *payload, const char *name, uint32_t index, const b2_mat *mat) {
    b2_looks *looks = payload;
    const b2_device_ops *ops = looks->model->device->ops;
    int64_t queries = looks->model->config.qformer.queries, rows = queries + looks->text_count;
    size_t size = (size_t)(mat->rows * mat->cols);
    float *to = NULL;

    if (strcmp(name, "qformer.cross_q") == 0 && mat->rows == queries)
        to = looks->cross_q;
    else if (strcmp(name, "qformer.self_qkv") == 0 && mat->rows == rows)
        to = looks->self_qkv;
    if (to != NULL && looks->status == BLIP2_OK)
        looks->status =
            ops->download(looks->model->device, to + index * size, mat->data, size * sizeof *to);
}

blip2_status b2_looks_open(b2_looks *out, const blip2_model *model, uint32_t text_count) {
    const b2_qformer_config *config = &model->config.qformer;
    size_t rows = (size_t)config->queries + text_count;

    *out = (b2_looks){.trace = {see, out},
                      .model = model,
                      .cross_layers = (uint32_t)(model->qformer.cross_kv.rows / config->width / 2),
                      .text_count = text_count};
    out->cross_q = b2_calloc((size_t)out->cross_layers * config->queries,
                             config->width * sizeof *out->cross_q);
    if (text_count > 0)
        out->self_qkv =
            b2_calloc(config->layers * rows, 3 * (size_t)config->width * sizeof *out->self_qkv);
    if (out->cross_q != NULL && (text_count == 0 || out->self_qkv != NULL))
        return BLIP2_OK;
    b2_looks_close(out);
    return b2_fail_memory();
}

void b2_looks_close(b2_looks *looks) {
    b2_free(looks->cross_q);
    b2_free(looks->self_qkv);
    looks->cross_q = looks->self_qkv = NULL;
}

/* weights [count] = softmax(q k' / sqrt(size)); q: [size], k: rows of size numbers, `stride` apart.
 */
static void attend(double *weights, const float *q, const float *k, size_t count, size_t stride,
                   size_t size) {
    double most = -INFINITY, sum = 0.0;

    for (size_t i = 0; i < count; i++) {
        double dot = 0.0;

        for (size_t d = 0; d < size; d++)
            dot += (double)q[d] * (double)k[i * stride + d];
        weights[i] = dot / sqrt((double)size);
        most = fmax(most, weights[i]);
    }
    for (size_t i = 0; i < count; i++)
        sum += weights[i] = exp(weights[i] - most);
    for (size_t i = 0; i < count; i++)
        weights[i] /= sum;
}

blip2_status b2_looks_cross(const b2_looks *looks, const float *cross_kv, float *share) {
    const b2_qformer_config *config = &looks->model->config.qformer;
    size_t n = looks->model->vit.tokens, c = config->width, heads = config->heads;
    size_t size = c / heads, stride = 2 * c * looks->cross_layers;
    size_t rows = (size_t)looks->cross_layers * config->queries;
    double *weights = b2_alloc_array(n, sizeof *weights);

    if (weights == NULL)
        return b2_fail_memory();
    memset(share, 0, rows * n * sizeof *share);
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < heads; h++) {
            size_t layer = r / config->queries;

            attend(weights, looks->cross_q + r * c + h * size, cross_kv + layer * 2 * c + h * size,
                   n, stride, size);
            for (size_t i = 0; i < n; i++)
                share[r * n + i] += (float)(weights[i] / (double)heads);
        }
    b2_free(weights);
    return BLIP2_OK;
}

/* Adds a token's attention over the queries in one layer, with qkv [Q + T, 3C]. */
static void add_token(float *share, double *weights, const float *qkv, size_t token,
                      const b2_qformer_config *config) {
    size_t c = config->width, heads = config->heads, size = c / heads, q = config->queries;

    for (size_t h = 0; h < heads; h++) {
        attend(weights, qkv + (q + token) * 3 * c + h * size, qkv + c + h * size, q + token + 1,
               3 * c, size);
        for (size_t i = 0; i < q; i++)
            share[i] += (float)(weights[i] / ((double)heads * config->layers));
    }
}

blip2_status b2_looks_text(const b2_looks *looks, float *share) {
    const b2_qformer_config *config = &looks->model->config.qformer;
    size_t queries = config->queries, rows = queries + looks->text_count;
    double *weights = b2_alloc_array(rows, sizeof *weights);

    if (weights == NULL)
        return b2_fail_memory();
    memset(share, 0, looks->text_count * queries * sizeof *share);
    for (size_t l = 0; l < config->layers; l++)
        for (size_t t = 0; t < looks->text_count; t++)
            add_token(share + t * queries, weights, looks->self_qkv + l * rows * 3 * config->width,
                      t, config);
    b2_free(weights);
    return BLIP2_OK;
}
