/* The synchronous call: submit every input, step until all are done. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/call.h"
#include "engine/generate_options.h"

typedef struct output {
    char *text;
    int32_t *tokens; /* [count] */
    size_t count;
    float score;
    blip2_logprob *logprob; /* [count, columns] */
} output;

struct blip2_result {
    size_t count;    /* texts of all inputs */
    output *outputs; /* [count] */
    size_t columns;  /* of log-probabilities; 0: none */
};

typedef struct call {
    const blip2_generate_options *options;
    blip2_result *result;
    b2_generate_plan plan;
    blip2_status status; /* of the first input that failed */
} call;

static int pass_text(b2_request *request, const char *piece, size_t length, void *payload) {
    const call *c = payload;

    return c->options->on_text(request->index * c->plan.request.answers, piece, length,
                               c->options->payload);
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The text without surrounding white space, as BLIP-2's own generate gives it. */
static char *stripped(const b2_text_buffer *text) {
    const char *start = b2_text_data(text);
    const char *end = start + text->length;

    while (start < end && is_space(*start))
        start++;
    while (end > start && is_space(end[-1]))
        end--;
    return b2_strndup(start, (size_t)(end - start));
}

/* Of text i. */
static blip2_status keep_logprobs(output *out, const b2_request *request, uint32_t i,
                                  size_t columns) {
    size_t count = out->count * columns; /* no more than the request has */

    if ((out->logprob = b2_alloc_array(count, sizeof *out->logprob)) == NULL)
        return b2_fail_memory();
    b2_request_logprobs(request, i, out->logprob);
    return BLIP2_OK;
}

/* Text i of the request; beams' texts were never streamed. */
static blip2_status keep(output *out, const b2_request *request, uint32_t i, size_t columns) {
    b2_answer answer = b2_request_answer(request, i);
    b2_text_buffer text = {0};
    blip2_status status = BLIP2_OK;

    if (i == 0)
        out->text = stripped(&request->text);
    else if ((status = b2_tokenizer_decode(request->model->tokenizer, answer.tokens,
                                           answer.count - answer.stopped, true, false, &text)) ==
             BLIP2_OK)
        out->text = stripped(&text);
    b2_text_free(&text);
    if (status < 0)
        return status;
    out->tokens = b2_alloc_array(answer.count, sizeof *out->tokens);
    if (out->text == NULL || out->tokens == NULL)
        return b2_fail_memory();
    memcpy(out->tokens, answer.tokens, answer.count * sizeof *out->tokens);
    out->count = answer.count;
    out->score = (float)answer.score;
    return columns > 0 ? keep_logprobs(out, request, i, columns) : BLIP2_OK;
}

static void finish(b2_request *request, void *payload) {
    call *c = payload;
    uint32_t answers = c->plan.request.answers;
    size_t first = request->index * answers;
    output *outputs = c->result->outputs + first;
    blip2_status status = request->status;

    for (uint32_t i = 0; i < answers && status == BLIP2_OK; i++)
        status = keep(&outputs[i], request, i, c->result->columns);
    if (status < 0 && c->status == BLIP2_OK)
        c->status = status;
    for (uint32_t i = 0; i < answers && status == BLIP2_OK && c->options->on_done != NULL; i++)
        c->options->on_done(first + i, outputs[i].text, outputs[i].tokens, outputs[i].count,
                            c->options->payload);
}

/* [count] of inputs, those of one beside each other. */
static blip2_status open_requests(blip2_engine *engine, b2_request **requests,
                                  const blip2_input *inputs, size_t count, call *c) {
    const blip2_generate_options *options = c->options;
    blip2_status status;

    for (size_t i = 0; i < count; i++) {
        const blip2_input *input = &inputs[i / c->plan.requests];
        b2_request_options request = c->plan.request;

        if (input->image == NULL)
            return b2_fail(BLIP2_EINVAL, "input %zu: image is NULL", i / c->plan.requests);
        request.prompt = input->prompt;
        request.seed = b2_generate_seed(options->seed, (uint32_t)(i % c->plan.requests));
        status = b2_request_open(&requests[i], engine->model, input->image, &request);
        if (status < 0)
            return status;
        requests[i]->index = i;
        requests[i]->payload = c;
        requests[i]->on_done = finish;
        if (options->on_text != NULL)
            requests[i]->on_text = pass_text;
    }
    return BLIP2_OK;
}

static blip2_status make_result(blip2_result **out, size_t inputs, const b2_generate_plan *plan) {
    blip2_result *result = b2_calloc(1, sizeof *result);
    size_t count;

    *out = result;
    if (result == NULL || !b2_size_mul(inputs, plan->answers, &count) ||
        (result->outputs = b2_calloc(count, sizeof *result->outputs)) == NULL)
        return b2_fail_memory();
    result->count = count;
    result->columns = plan->request.logprobs > 0 ? plan->request.logprobs + 1 : 0;
    return BLIP2_OK;
}

blip2_status blip2_generate(blip2_engine *engine, const blip2_input *inputs, size_t count,
                            const blip2_generate_options *options, blip2_result **out) {
    blip2_generate_options known;
    b2_request **requests = NULL;
    call c = {.options = &known};
    size_t all;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_generate: out is NULL");
    *out = NULL;
    if ((status = b2_call_check(engine, "blip2_generate")) < 0)
        return status;
    if (inputs == NULL && count > 0)
        return b2_fail(BLIP2_EINVAL, "blip2_generate: inputs is NULL");
    if ((status = b2_options_copy(&known, sizeof known, options, "blip2_generate_options")) < 0)
        return status;
    if ((status = b2_generate_plan_make(&c.plan, &known, engine->model)) < 0)
        return status;
    if (!b2_size_mul(count, c.plan.requests, &all) ||
        (requests = b2_calloc(all, sizeof(b2_request *))) == NULL)
        return b2_fail_memory();
    if ((status = make_result(&c.result, count, &c.plan)) == BLIP2_OK &&
        (status = open_requests(engine, requests, inputs, all, &c)) == BLIP2_OK)
        status = b2_call_run(engine, requests, all, &c.status);
    for (size_t i = 0; i < all; i++)
        b2_request_close(requests[i]);
    b2_free(requests);
    if (status < 0)
        blip2_result_free(c.result);
    else
        *out = c.result;
    return status;
}

size_t blip2_result_count(const blip2_result *result) {
    return result != NULL ? result->count : 0;
}

const char *blip2_result_text(const blip2_result *result, size_t index) {
    return index < blip2_result_count(result) ? result->outputs[index].text : NULL;
}

const int32_t *blip2_result_tokens(const blip2_result *result, size_t index, size_t *count) {
    const output *out = index < blip2_result_count(result) ? &result->outputs[index] : &(output){0};

    if (count != NULL)
        *count = out->count;
    return out->tokens;
}

float blip2_result_score(const blip2_result *result, size_t index) {
    return index < blip2_result_count(result) ? result->outputs[index].score : 0.0f;
}

const blip2_logprob *blip2_result_logprobs(const blip2_result *result, size_t index, size_t *steps,
                                           size_t *columns) {
    bool there = index < blip2_result_count(result) && result->columns > 0;

    if (steps != NULL)
        *steps = there ? result->outputs[index].count : 0;
    if (columns != NULL)
        *columns = there ? result->columns : 0;
    return there ? result->outputs[index].logprob : NULL;
}

void blip2_result_free(blip2_result *result) {
    if (result == NULL)
        return;
    for (size_t i = 0; i < result->count; i++) {
        b2_free(result->outputs[i].text);
        b2_free(result->outputs[i].tokens);
        b2_free(result->outputs[i].logprob);
    }
    b2_free(result->outputs);
    b2_free(result);
}
