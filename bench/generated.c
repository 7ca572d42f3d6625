#include "generated.h"

#include <string.h>

#include "base/alloc.h"
#include "lists.h"
#include "watch.h"

blip2_status generated_open(generated *out, const blip2_model *model, verdict *v, uint32_t count,
                            uint32_t answers) {
    size_t logits = (size_t)count * model->writer.vocab;

    *out = (generated){.model = model, .v = v, .count = count, .answers = answers};
    out->requests = b2_calloc(count, sizeof(b2_request *));
    out->first_logits = b2_alloc_array(logits, sizeof *out->first_logits);
    if (out->requests == NULL || out->first_logits == NULL)
        return b2_fail_memory();
    memset(out->first_logits, 0xff, logits * sizeof *out->first_logits);
    return BLIP2_OK;
}

void generated_close(generated *g) {
    for (uint32_t i = 0; i < g->count && g->requests != NULL; i++)
        b2_request_close(g->requests[i]);
    b2_free(g->requests);
    b2_free(g->first_logits);
    *g = (generated){0};
}

static void see_logits(b2_request *request, const b2_mat *row, void *payload) {
    generated *g = payload;
    size_t vocab = (size_t)row->cols;
    float *copy;

    if (b2_request_new_count(request) > 0 || g->status < 0)
        return;
    g->status = bench_download(g->model->device, row, &copy);
    if (g->status == BLIP2_OK)
        memcpy(g->first_logits + request->index * vocab, copy, vocab * sizeof *copy);
    b2_free(copy);
}

blip2_status generated_add(generated *g, uint32_t i, const blip2_image *image,
                           const b2_request_options *options) {
    blip2_status status = b2_request_open(&g->requests[i], g->model, image, options);

    if (status < 0)
        return status;
    g->requests[i]->index = i;
    g->requests[i]->payload = g;
    g->requests[i]->on_logits = see_logits;
    return BLIP2_OK;
}

blip2_status generated_run(generated *g, blip2_engine *engine) {
    blip2_status status = BLIP2_OK;
    bool busy = true;

    for (uint32_t i = 0; i < g->count && status == BLIP2_OK; i++)
        status = b2_engine_submit(engine, g->requests[i]);
    while (busy && status == BLIP2_OK)
        status = b2_engine_step(engine, &busy);
    for (uint32_t i = 0; i < g->count && status == BLIP2_OK; i++)
        status = g->requests[i]->status;
    return status < 0 ? status : g->status;
}

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
            list_add(&cut, json_incref(id));
        }
        list_add(&out, cut);
    }
    return out;
}

static blip2_status append_tokens(const b2_answer *answer, json_t *list) {
    for (uint32_t k = 0; k < answer->count; k++)
        if (json_array_append_new(list, json_integer(answer->tokens[k])) != 0)
            return b2_fail_memory();
    return BLIP2_OK;
}

blip2_status generated_compare_tokens(const generated *g, const char *key, size_t prefix_count,
                                      json_t *(*prefix)(const void *context, uint32_t i),
                                      const void *context) {
    const json_t *expect = json_object_get(g->v->golden->expect, key);
    json_t *all = json_array(), *expected = up_to_stop(&g->model->config, expect, prefix_count);
    blip2_status status = expected != NULL ? BLIP2_OK : b2_fail_memory();

    for (uint32_t i = 0; i < g->count * g->answers && status == BLIP2_OK; i++) {
        b2_answer answer = b2_request_answer(g->requests[i / g->answers], i % g->answers);
        json_t *row = prefix != NULL ? prefix(context, i / g->answers) : json_array();

        status = append_tokens(&answer, row);
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

static const char white[] = " \t\n\v\f\r\x1c\x1d\x1e\x1f"; /* of Python's strip, in ASCII */

static json_t *text_json(const b2_text_buffer *text, bool strip) {
    const char *start = b2_text_data(text);
    size_t length = text->length;

    while (strip && length > 0 && strchr(white, *start) != NULL && *start != '\0') {
        start++;
        length--;
    }
    while (strip && length > 0 && strchr(white, start[length - 1]) != NULL &&
           start[length - 1] != '\0')
        length--;
    return json_stringn_nocheck(start, length);
}

static blip2_status compare_texts(const generated *g, bool strip) {
    json_t *all = json_array();
    b2_text_buffer text = {0};
    blip2_status status = BLIP2_OK;

    for (uint32_t i = 0; i < g->count * g->answers && status == BLIP2_OK; i++) {
        b2_answer answer = b2_request_answer(g->requests[i / g->answers], i % g->answers);

        b2_text_clear(&text);
        status = b2_tokenizer_decode(g->model->tokenizer, answer.tokens, answer.count, true, false,
                                     &text);
        if (status == BLIP2_OK && json_array_append_new(all, text_json(&text, strip)) != 0)
            status = b2_fail_memory();
    }
    b2_text_free(&text);
    if (status == BLIP2_OK)
        return verdict_value(g->v, "texts", all, NULL);
    json_decref(all);
    return status;
}

blip2_status generated_compare_texts(const generated *g) {
    return compare_texts(g, false);
}

blip2_status generated_compare_stripped(const generated *g) {
    return compare_texts(g, true);
}

blip2_status generated_compare_scores(const generated *g) {
    const char *key = "sequence_scores";
    const json_t *expect = json_object_get(g->v->golden->expect, key);
    json_t *all;

    if (expect == NULL)
        return BLIP2_OK;
    if (json_is_null(expect))
        return verdict_done(g->v, key);
    all = json_array();
    for (uint32_t i = 0; i < g->count * g->answers; i++) {
        b2_answer answer = b2_request_answer(g->requests[i / g->answers], i % g->answers);

        list_add(&all, json_real(answer.score));
    }
    return verdict_numbers(g->v, key, all, "scores");
}

static blip2_status append_logprobs(const b2_request *request, uint32_t i, json_t *all) {
    uint32_t count = b2_request_answer(request, i).count;
    blip2_logprob(*rows)[2] = b2_alloc_array(count, sizeof *rows);
    json_t *list = json_array();

    if (rows == NULL) {
        json_decref(list);
        return b2_fail_memory();
    }
    b2_request_logprobs(request, i, rows[0]);
    for (uint32_t k = 0; k < count; k++)
        list_add(&list, json_real((double)rows[k][0].log_prob));
    b2_free(rows);
    return json_array_append_new(all, list) == 0 ? BLIP2_OK : b2_fail_memory();
}

blip2_status generated_compare_logprobs(const generated *g) {
    const char *key = "token_logprobs";
    json_t *all;
    blip2_status status = BLIP2_OK;

    if (json_object_get(g->v->golden->expect, key) == NULL)
        return BLIP2_OK;
    all = json_array();
    for (uint32_t i = 0; i < g->count * g->answers && status == BLIP2_OK; i++)
        status = append_logprobs(g->requests[i / g->answers], i % g->answers, all);
    if (status == BLIP2_OK)
        return verdict_numbers(g->v, key, all, "logprobs");
    json_decref(all);
    return status;
}

blip2_status generated_compare_logits(const generated *g) {
    if (!verdict_expects(g->v, "first_logits"))
        return BLIP2_OK;
    return verdict_tensor(g->v, "first_logits", g->first_logits, g->count, g->model->writer.vocab,
                          NULL);
}
