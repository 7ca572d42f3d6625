/* Texts of pictures: a request an input, or one a text where those are drawn. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/engine.h"
#include "engine/generate_options.h"
#include "engine/job.h"

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

typedef struct generation {
    blip2_job job;
    blip2_generate_options options;
    blip2_result *result;
    b2_generate_plan plan;
} generation;

static void tell_done(const generation *g, size_t index) {
    const output *out = &g->result->outputs[index];

    if (g->options.on_done != NULL)
        g->options.on_done(index, out->text, out->tokens, out->count, g->options.payload);
}

/* Where the caller waits. */
static int hear(const b2_event *event, void *payload) {
    const generation *g = payload;

    if (event->bytes != NULL)
        return g->options.on_text(event->index, event->bytes, event->length, g->options.payload);
    tell_done(g, event->index);
    return 0;
}

/* On the engine's thread: nobody hears of a job any more that was freed, or of which a text has
 * failed or was stopped, though its other texts may go on to the end of the step. */
static bool is_heard(const generation *g) {
    return !g->job.call.abandoned && g->job.call.failure.status == BLIP2_OK;
}

static int pass_text(b2_request *request, const char *piece, size_t length, void *payload) {
    generation *g = payload;
    size_t index = request->index * g->plan.request.answers;

    if (g->job.waits)
        return b2_call_tell(&g->job.call, index, piece, length) < 0;
    return !is_heard(g) || g->options.on_text(index, piece, length, g->options.payload) != 0;
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

/* On the engine's thread. */
static void finish_request(b2_request *request, void *payload) {
    generation *g = payload;
    uint32_t answers = g->plan.request.answers;
    size_t first = request->index * answers;

    for (uint32_t i = 0; i < answers && request->status == BLIP2_OK; i++)
        request->status = keep(&g->result->outputs[first + i], request, i, g->result->columns);
    for (uint32_t i = 0; i < answers && request->status == BLIP2_OK; i++) {
        if (!g->job.waits && is_heard(g))
            tell_done(g, first + i);
        else if (g->job.waits && g->options.on_done != NULL)
            request->status = b2_call_tell(&g->job.call, first + i, NULL, 0);
    }
}

/* Those of one input beside each other. */
static blip2_status open_requests(generation *g, const blip2_model *model,
                                  const blip2_input *inputs) {
    blip2_status status;

    for (size_t i = 0; i < g->job.call.count; i++) {
        const blip2_input *input = &inputs[i / g->plan.requests];
        b2_request_options options = g->plan.request;
        b2_request **request = &g->job.call.requests[i];

        if (input->image == NULL)
            return b2_fail(BLIP2_EINVAL, "input %zu: image is NULL", i / g->plan.requests);
        options.prompt = input->prompt;
        options.seed = b2_generate_seed(g->options.seed, (uint32_t)(i % g->plan.requests));
        if ((status = b2_request_open(request, model, input->image, &options)) < 0)
            return status;
        (*request)->index = i;
        (*request)->payload = g;
        (*request)->on_done = finish_request;
        if (g->options.on_text != NULL)
            (*request)->on_text = pass_text;
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

static void close_generation(blip2_job *job) {
    blip2_result_free(((generation *)job)->result);
}

static const b2_job_type type = {.name = "texts", .close = close_generation};

blip2_status b2_job_open_texts(blip2_job **out, blip2_engine *engine, const blip2_input *inputs,
                               size_t count, const blip2_generate_options *options) {
    blip2_generate_options known;
    b2_generate_plan plan;
    generation *g;
    size_t all;
    blip2_status status;

    if (inputs == NULL && count > 0)
        return b2_fail(BLIP2_EINVAL, "blip2_generate: inputs is NULL");
    if ((status = b2_options_copy(&known, sizeof known, options, "blip2_generate_options")) < 0 ||
        (status = b2_generate_plan_make(&plan, &known, engine->model)) < 0)
        return status;
    if (!b2_size_mul(count, plan.requests, &all))
        return b2_fail_memory();
    if ((g = b2_job_open(sizeof *g, &type, engine, all)) == NULL)
        return BLIP2_ENOMEM;
    g->options = known;
    g->plan = plan;
    if ((status = make_result(&g->result, count, &plan)) < 0 ||
        (status = open_requests(g, engine->model, inputs)) < 0) {
        b2_job_free(&g->job);
        return status;
    }
    *out = &g->job;
    return BLIP2_OK;
}

static blip2_result *take(generation *g) {
    blip2_result *result = g->result;

    g->result = NULL;
    return result;
}

blip2_status blip2_generate(blip2_engine *engine, const blip2_input *inputs, size_t count,
                            const blip2_generate_options *options, blip2_result **out) {
    blip2_job *job;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_generate: out is NULL");
    *out = NULL;
    if ((status = b2_call_check(engine, "blip2_generate")) < 0 ||
        (status = b2_job_open_texts(&job, engine, inputs, count, options)) < 0)
        return status;
    if ((status = b2_job_run(job, hear)) == BLIP2_OK)
        *out = take((generation *)job);
    b2_job_free(job);
    return status;
}

blip2_status blip2_submit_texts(blip2_job **out, blip2_engine *engine, const blip2_input *inputs,
                                size_t count, const blip2_generate_options *options,
                                const blip2_submit_options *submit) {
    blip2_job *job;
    blip2_status status = b2_job_check(out, engine, "blip2_submit_texts");

    if (status < 0 || (status = b2_job_open_texts(&job, engine, inputs, count, options)) < 0)
        return status;
    return b2_job_submit(out, job, submit);
}

blip2_status blip2_job_take_texts(blip2_job *job, blip2_result **out) {
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_job_take_texts: out is NULL");
    *out = NULL;
    if ((status = b2_job_take(job, &type)) == BLIP2_OK)
        *out = take((generation *)job);
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
