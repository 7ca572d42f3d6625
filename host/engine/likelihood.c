/* How likely given texts are: a request for each input, with all of its texts as candidates. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/engine.h"
#include "engine/generate_options.h"
#include "engine/job.h"

typedef struct scored {
    blip2_logprob *logprob; /* [count, columns] */
    size_t count;           /* tokens */
    double sum, loss;
} scored;

typedef struct scored_input {
    scored *texts; /* [count] */
    size_t count;
    uint32_t prompt; /* rows in front of each text, as LAVIS counts them */
} scored_input;

struct blip2_likelihood {
    scored_input *inputs; /* [count] */
    size_t count, columns;
};

typedef struct scoring {
    blip2_job job;
    const blip2_candidates *inputs; /* [count]; while it is opened */
    size_t count;
    bool one_batch; /* as LAVIS would run them */
    blip2_likelihood_options options;
    b2_request_options request;
    blip2_likelihood *likelihood;
} scoring;

/* ---- texts to tokens ---------------------------------------------------------------------- */

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Is a space missing between prompt and text? */
static bool wants_space(const scoring *c, const char *prompt, const char *text) {
    size_t length = prompt != NULL ? strlen(prompt) : 0;

    return !c->options.verbatim &&
           b2_tokenizer_is_byte_level(c->job.call.engine->model->tokenizer) && length > 0 &&
           !is_space(prompt[length - 1]) && !is_space(text[0]);
}

static bool has_end(const scoring *c) {
    if (c->options.end == BLIP2_END_AUTO)
        return c->job.call.engine->model->config.language == B2_LANGUAGE_T5;
    return c->options.end == BLIP2_END_WITH;
}

static blip2_status check_tokens(const scoring *c, const b2_tokens *tokens, size_t input,
                                 size_t t) {
    const blip2_model *model = c->job.call.engine->model;
    uint32_t most = c->job.call.engine->plan.limits.max_tokens;

    if (tokens->count > most)
        return b2_fail(BLIP2_EINVAL,
                       "input %zu, text %zu: %zu tokens, the engine's max_tokens is %u", input, t,
                       tokens->count, most);
    for (size_t i = 0; i < tokens->count; i++)
        if ((uint32_t)tokens->ids[i] >= model->writer.vocab)
            return b2_fail(BLIP2_EINVAL, "input %zu, text %zu: token %d, the language model has %u",
                           input, t, tokens->ids[i], model->writer.vocab);
    return BLIP2_OK;
}

static blip2_status encode(const scoring *c, size_t input, size_t t, b2_tokens *out) {
    const blip2_candidates *given = &c->inputs[input];
    const blip2_model *model = c->job.call.engine->model;
    const char *text = given->texts[t];
    b2_text_buffer whole = {0};
    blip2_status status;

    if (text == NULL || *text == '\0')
        return b2_fail(BLIP2_EINVAL, "input %zu, text %zu is %s, expected a text", input, t,
                       text == NULL ? "NULL" : "empty");
    b2_text_appendf(&whole, "%s%s", wants_space(c, given->prompt, text) ? " " : "", text);
    status = whole.failed ? b2_fail_memory()
                          : b2_tokenizer_encode(model->tokenizer, b2_text_data(&whole),
                                                whole.length, false, out);
    b2_text_free(&whole);
    if (status == BLIP2_OK && out->count == 0)
        status = b2_fail(BLIP2_EINVAL, "input %zu, text %zu has no tokens", input, t);
    if (status == BLIP2_OK && has_end(c))
        status = b2_tokens_append(out, model->config.stop_ids[0]);
    return status == BLIP2_OK ? check_tokens(c, out, input, t) : status;
}

static blip2_status encode_all(const scoring *c, size_t input, b2_candidates *out) {
    for (uint32_t t = 0; t < out->count; t++) {
        b2_tokens *tokens = &out->list[t].tokens;
        blip2_status status = encode(c, input, t, tokens);

        if (status < 0)
            return status;
        if (tokens->count > out->longest)
            out->longest = (uint32_t)tokens->count;
    }
    return b2_candidates_prepare(out);
}

/* ---- results ------------------------------------------------------------------------------ */

static void finish_request(b2_request *request, void *payload) {
    scoring *c = payload;
    scored_input *out = &c->likelihood->inputs[request->index];

    if (request->status < 0)
        return;
    for (size_t t = 0; t < out->count; t++) {
        b2_candidate *text = &request->candidates->list[t];
        scored *s = &out->texts[t];

        s->logprob = text->logprob;
        text->logprob = NULL;
        s->count = text->tokens.count;
        for (size_t i = 0; i < s->count; i++)
            s->sum += (double)s->logprob[i * c->likelihood->columns].log_prob;
        s->loss = -s->sum;
    }
}

/* Do all inputs have one list of texts? LAVIS runs those as one batch, others one by one. */
static bool is_one_batch(const scoring *c) {
    for (size_t i = 1; i < c->count; i++)
        if (c->inputs[i].texts != c->inputs[0].texts ||
            c->inputs[i].text_count != c->inputs[0].text_count)
            return false;
    return true;
}

/* LAVIS's Vicuna takes the mean over all places of a padded batch but one: only those of the text
 * count. Its texts go through in segments, each as long as its longest. */
static void divide_losses(const scoring *c, scored_input *out, uint32_t prompt) {
    size_t segments = c->options.segments > 0 ? c->options.segments : 1;
    size_t usual = out->count / segments;

    for (size_t s = 0; s < segments; s++) {
        size_t first = s * usual, end = s + 1 == segments ? out->count : first + usual;
        size_t longest = 0;

        for (size_t t = first; t < end; t++)
            longest = b2_size_max(longest, out->texts[t].count);
        for (size_t t = first; t < end; t++)
            out->texts[t].loss /= (double)(prompt + longest - 1);
    }
}

static void compute_losses(const scoring *c) {
    scored_input *inputs = c->likelihood->inputs;
    uint32_t longest = 0;

    if (c->job.call.engine->model->config.language != B2_LANGUAGE_LLAMA)
        return;
    for (size_t i = 0; i < c->count; i++)
        longest = inputs[i].prompt > longest ? inputs[i].prompt : longest;
    for (size_t i = 0; i < c->count; i++)
        divide_losses(c, &inputs[i], c->one_batch ? longest : inputs[i].prompt);
}

/* ---- the call ----------------------------------------------------------------------------- */

static blip2_status open_request(scoring *c, size_t i) {
    const blip2_candidates *input = &c->inputs[i];
    const blip2_model *model = c->job.call.engine->model;
    scored_input *out = &c->likelihood->inputs[i];
    b2_request_options options = c->request;
    b2_candidates *candidates;
    b2_request *request;
    blip2_status status = b2_candidates_open(&candidates, input->text_count,
                                             c->options.top_logprobs, model->writer.vocab);

    if (status < 0)
        return status;
    options.prompt = input->prompt;
    if ((status = encode_all(c, i, candidates)) == BLIP2_OK) {
        options.max_new_tokens = candidates->longest;
        status = b2_request_open(&c->job.call.requests[i], model, input->image, &options);
    }
    if (status < 0) {
        b2_candidates_close(candidates);
        return status;
    }
    request = c->job.call.requests[i];
    request->candidates = candidates;
    request->index = i;
    request->payload = c;
    request->on_done = finish_request;
    out->prompt = request->soft_count + request->prompt_count;
    out->count = input->text_count;
    out->texts = b2_calloc(out->count, sizeof *out->texts);
    return out->texts != NULL ? BLIP2_OK : b2_fail_memory();
}

static blip2_status check_input(const scoring *c, size_t i) {
    const blip2_candidates *input = &c->inputs[i];

    if (input->image == NULL)
        return b2_fail(BLIP2_EINVAL, "input %zu: image is NULL", i);
    if (input->texts == NULL || input->text_count == 0)
        return b2_fail(BLIP2_EINVAL, "input %zu has no texts, expected at least one", i);
    if (c->options.segments > input->text_count)
        return b2_fail(BLIP2_EINVAL, "segments: got %u, expected at most one a text: %zu",
                       c->options.segments, input->text_count);
    return BLIP2_OK;
}

static blip2_status check(scoring *c) {
    const blip2_model *model = c->job.call.engine->model;
    blip2_status status = b2_generate_rule(&c->request.rule, c->options.compat, model);

    if (status < 0)
        return status;
    if (model->writer.kind != B2_WRITER_LANGUAGE)
        return b2_fail(BLIP2_ENOTSUP,
                       "this checkpoint (%s) has no language model: it cannot say how likely a "
                       "text is",
                       b2_model_name(model));
    if (c->options.end > BLIP2_END_WITHOUT)
        return b2_fail(BLIP2_EINVAL, "end: %d is none of AUTO, WITH, WITHOUT", (int)c->options.end);
    for (size_t i = 0; i < c->count; i++)
        if ((status = check_input(c, i)) < 0)
            return status;
    return BLIP2_OK;
}

static void finish(blip2_job *job) {
    compute_losses((const scoring *)job);
}

static void close_scoring(blip2_job *job) {
    blip2_likelihood_free(((scoring *)job)->likelihood);
}

static const b2_job_type type = {.name = "likelihoods", .finish = finish, .close = close_scoring};

static blip2_status open_requests(scoring *c) {
    blip2_likelihood *out = b2_calloc(1, sizeof *out);
    blip2_status status = check(c);

    if ((c->likelihood = out) == NULL)
        return b2_fail_memory();
    if (status < 0)
        return status;
    out->columns = (size_t)c->options.top_logprobs + 1;
    if ((out->inputs = b2_calloc(c->count, sizeof *out->inputs)) == NULL)
        return b2_fail_memory();
    out->count = c->count;
    for (size_t i = 0; i < c->count && status == BLIP2_OK; i++)
        status = open_request(c, i);
    return status;
}

blip2_status b2_job_open_likelihood(blip2_job **out, blip2_engine *engine,
                                    const blip2_candidates *inputs, size_t count,
                                    const blip2_likelihood_options *options) {
    blip2_likelihood_options known;
    scoring *c;
    blip2_status status;

    if (inputs == NULL && count > 0)
        return b2_fail(BLIP2_EINVAL, "blip2_likelihood_compute: inputs is NULL");
    if ((status = b2_options_copy(&known, sizeof known, options, "blip2_likelihood_options")) < 0)
        return status;
    if ((c = b2_job_open(sizeof *c, &type, engine, count)) == NULL)
        return BLIP2_ENOMEM;
    c->inputs = inputs;
    c->count = count;
    c->options = known;
    c->request.repetition_penalty = 1.0f;
    if ((status = open_requests(c)) < 0) {
        b2_job_free(&c->job);
        return status;
    }
    c->one_batch = is_one_batch(c);
    c->inputs = NULL;
    *out = &c->job;
    return BLIP2_OK;
}

static blip2_likelihood *take(scoring *c) {
    blip2_likelihood *likelihood = c->likelihood;

    c->likelihood = NULL;
    return likelihood;
}

blip2_status blip2_likelihood_compute(blip2_engine *engine, const blip2_candidates *inputs,
                                      size_t count, const blip2_likelihood_options *options,
                                      blip2_likelihood **out) {
    blip2_job *job;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_likelihood_compute: out is NULL");
    *out = NULL;
    if ((status = b2_call_check(engine, "blip2_likelihood_compute")) < 0 ||
        (status = b2_job_open_likelihood(&job, engine, inputs, count, options)) < 0)
        return status;
    if ((status = b2_job_run(job, NULL)) == BLIP2_OK)
        *out = take((scoring *)job);
    b2_job_free(job);
    return status;
}

blip2_status blip2_submit_likelihood(blip2_job **out, blip2_engine *engine,
                                     const blip2_candidates *inputs, size_t count,
                                     const blip2_likelihood_options *options,
                                     const blip2_submit_options *submit) {
    blip2_job *job;
    blip2_status status = b2_job_check(out, engine, "blip2_submit_likelihood");

    if (status < 0 || (status = b2_job_open_likelihood(&job, engine, inputs, count, options)) < 0)
        return status;
    return b2_job_submit(out, job, submit);
}

blip2_status blip2_job_take_likelihood(blip2_job *job, blip2_likelihood **out) {
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_job_take_likelihood: out is NULL");
    *out = NULL;
    if ((status = b2_job_take(job, &type)) == BLIP2_OK)
        *out = take((scoring *)job);
    return status;
}

static const scored *find(const blip2_likelihood *likelihood, size_t input, size_t text) {
    bool there =
        likelihood != NULL && input < likelihood->count && text < likelihood->inputs[input].count;

    return there ? &likelihood->inputs[input].texts[text] : NULL;
}

double blip2_likelihood_sum(const blip2_likelihood *likelihood, size_t input, size_t text) {
    const scored *s = find(likelihood, input, text);

    return s != NULL ? s->sum : 0.0;
}

double blip2_likelihood_loss(const blip2_likelihood *likelihood, size_t input, size_t text) {
    const scored *s = find(likelihood, input, text);

    return s != NULL ? s->loss : 0.0;
}

const blip2_logprob *blip2_likelihood_tokens(const blip2_likelihood *likelihood, size_t input,
                                             size_t text, size_t *count, size_t *columns) {
    const scored *s = find(likelihood, input, text);

    if (count != NULL)
        *count = s != NULL ? s->count : 0;
    if (columns != NULL)
        *columns = s != NULL ? likelihood->columns : 0;
    return s != NULL ? s->logprob : NULL;
}

size_t blip2_likelihood_best(const blip2_likelihood *likelihood, size_t input, size_t most,
                             size_t *order) {
    const scored *texts =
        find(likelihood, input, 0) != NULL ? likelihood->inputs[input].texts : NULL;
    size_t count = 0;

    for (size_t t = 0; texts != NULL && order != NULL && t < likelihood->inputs[input].count; t++) {
        size_t i = count;

        if (most == 0 || (count == most && !(texts[t].loss < texts[order[count - 1]].loss)))
            continue;
        i = count < most ? count++ : count - 1;
        for (; i > 0 && texts[t].loss < texts[order[i - 1]].loss; i--)
            order[i] = order[i - 1];
        order[i] = t;
    }
    return count;
}

void blip2_likelihood_free(blip2_likelihood *likelihood) {
    if (likelihood == NULL)
        return;
    for (size_t i = 0; i < likelihood->count; i++) {
        for (size_t t = 0; t < likelihood->inputs[i].count && likelihood->inputs[i].texts != NULL;
             t++)
            b2_free(likelihood->inputs[i].texts[t].logprob);
        b2_free(likelihood->inputs[i].texts);
    }
    b2_free(likelihood->inputs);
    b2_free(likelihood);
}
