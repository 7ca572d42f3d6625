/* How well pairs match. Up to three requests a pair: the picture and the text by themselves, for
 * their contrast, and both together, for the matching head. A picture and a text (by their
 * addresses) are asked for their contrast once a job. The call that waits takes pairs in groups, a
 * job each, so that what is held at once does not grow with it. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/contrast.h"
#include "engine/engine.h"
#include "engine/job.h"

enum { DEFAULT_TOKENS = 32, GROUP = 64, PARTS = 3 };

typedef struct matching {
    blip2_job job; /* requests: those of pair i are parts[i, PARTS] that are not NULL */
    size_t count;
    b2_request **parts;         /* [count, PARTS] in the order of b2_score_mode; NULL: not wanted */
    size_t *image_of, *text_of; /* [count] the first pair with the same picture, text */
    bool itm, itc;
    uint32_t max_tokens;
    blip2_match_score *scores; /* [count] */
} matching;

static void find_firsts(matching *m, const blip2_input *pairs) {
    for (size_t i = 0; i < m->count; i++) {
        size_t image = 0, text = 0;

        while (pairs[image].image != pairs[i].image)
            image++;
        while (pairs[text].prompt != pairs[i].prompt)
            text++;
        m->image_of[i] = image;
        m->text_of[i] = text;
    }
}

static blip2_status open_pair(matching *m, const blip2_model *model, const blip2_input *in,
                              size_t i) {
    const struct {
        bool wanted;
        const blip2_image *image;
        const char *text;
        b2_score score;
    } parts[PARTS] = {
        {m->itc && m->image_of[i] == i,
         in->image,
         NULL,
         {.mode = B2_SCORE_IMAGE, .wants_contrast = true}},
        {m->itc && m->text_of[i] == i,
         NULL,
         in->prompt,
         {.mode = B2_SCORE_TEXT, .wants_contrast = true}},
        {m->itm, in->image, in->prompt, {.mode = B2_SCORE_PAIR, .wants_match = true}}};
    blip2_status status = BLIP2_OK;

    for (size_t k = 0; k < PARTS && status == BLIP2_OK; k++) {
        b2_request **request = &m->parts[i * PARTS + k];

        if (!parts[k].wanted)
            continue;
        status = b2_request_open_score(request, model, parts[k].image, parts[k].text,
                                       &parts[k].score, m->max_tokens);
        if (status == BLIP2_OK)
            m->job.call.requests[m->job.call.count++] = *request;
    }
    return status;
}

static void fill(blip2_match_score *out, const matching *m, size_t i, size_t width) {
    b2_request *const *parts = m->parts + i * PARTS;

    *out = (blip2_match_score){0};
    if (m->itm) {
        const float *logits = parts[B2_SCORE_PAIR]->score.match;

        out->itm_logits[0] = logits[0];
        out->itm_logits[1] = logits[1];
        out->itm_probability = (float)(1.0 / (1.0 + exp((double)logits[0] - logits[1])));
    }
    if (m->itc)
        out->itc =
            (float)b2_contrast_of(&m->parts[m->image_of[i] * PARTS + B2_SCORE_IMAGE]->score,
                                  &m->parts[m->text_of[i] * PARTS + B2_SCORE_TEXT]->score, width);
}

static void finish(blip2_job *job) {
    matching *m = (matching *)job;

    for (size_t i = 0; i < m->count; i++)
        fill(&m->scores[i], m, i, (size_t)job->call.engine->model->stage1.text.rows);
}

static void close_matching(blip2_job *job) {
    matching *m = (matching *)job;

    b2_free(m->parts);
    b2_free(m->image_of);
    b2_free(m->text_of);
    b2_free(m->scores);
}

static const b2_job_type type = {.name = "scores", .finish = finish, .close = close_matching};

/* ---- the calls ---------------------------------------------------------------------------- */

static blip2_status check(const blip2_engine *engine, const blip2_input *pairs, size_t count) {
    if (count > 0 && pairs == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_match: pairs is NULL");
    for (size_t i = 0; i < count; i++)
        if (pairs[i].image == NULL || pairs[i].prompt == NULL)
            return b2_fail(BLIP2_EINVAL, "pair %zu: %s is NULL", i,
                           pairs[i].image == NULL ? "image" : "prompt");
    if (!engine->model->stage1.matches && !engine->model->stage1.contrasts)
        return b2_fail(BLIP2_ENOTSUP, "this checkpoint (%s) has no matching and no contrast heads",
                       b2_model_name(engine->model));
    return BLIP2_OK;
}

static blip2_status open_pairs(matching *m, const blip2_model *model, const blip2_input *pairs) {
    blip2_status status = BLIP2_OK;

    m->parts = b2_calloc(m->count * PARTS, sizeof(b2_request *));
    m->image_of = b2_alloc_array(m->count, sizeof *m->image_of);
    m->text_of = b2_alloc_array(m->count, sizeof *m->text_of);
    m->scores = b2_alloc_array(m->count, sizeof *m->scores);
    if (m->parts == NULL || m->image_of == NULL || m->text_of == NULL || m->scores == NULL)
        return b2_fail_memory();
    find_firsts(m, pairs);
    for (size_t i = 0; i < m->count && status == BLIP2_OK; i++)
        status = open_pair(m, model, &pairs[i], i);
    return status;
}

static blip2_status open_job(matching **out, blip2_engine *engine, const blip2_input *pairs,
                             size_t count, const blip2_match_options *options) {
    const blip2_model *model = engine->model;
    matching *m;
    size_t most;
    blip2_status status;

    if (!b2_size_mul(count, PARTS, &most))
        return b2_fail_memory();
    if ((m = b2_job_open(sizeof *m, &type, engine, most)) == NULL)
        return BLIP2_ENOMEM;
    m->job.call.count = 0; /* those that are there */
    m->count = count;
    m->itm = options->no_itm == 0 && model->stage1.matches;
    m->itc = options->no_itc == 0 && model->stage1.contrasts;
    m->max_tokens = options->max_text_tokens != 0 ? options->max_text_tokens : DEFAULT_TOKENS;
    status = open_pairs(m, model, pairs);
    m->job.call.left = m->job.call.count;
    if (status < 0) {
        b2_job_free(&m->job);
        return status;
    }
    *out = m;
    return BLIP2_OK;
}

blip2_status b2_job_open_match(blip2_job **out, blip2_engine *engine, const blip2_input *pairs,
                               size_t count, const blip2_match_options *options) {
    blip2_match_options known;
    matching *m;
    blip2_status status = check(engine, pairs, count);

    if (status < 0 ||
        (status = b2_options_copy(&known, sizeof known, options, "blip2_match_options")) < 0 ||
        (status = open_job(&m, engine, pairs, count, &known)) < 0)
        return status;
    *out = &m->job;
    return BLIP2_OK;
}

blip2_status blip2_match(blip2_engine *engine, const blip2_input *pairs, size_t count,
                         const blip2_match_options *options, blip2_match_score *scores) {
    blip2_match_options known;
    blip2_status status = b2_call_check(engine, "blip2_match");

    if (status == BLIP2_OK && count > 0 && scores == NULL)
        status = b2_fail(BLIP2_EINVAL, "blip2_match: scores is NULL");
    if (status < 0 || (status = check(engine, pairs, count)) < 0 ||
        (status = b2_options_copy(&known, sizeof known, options, "blip2_match_options")) < 0)
        return status;
    for (size_t first = 0; first < count && status == BLIP2_OK; first += GROUP) {
        size_t some = b2_size_min(GROUP, count - first);
        matching *m;

        if ((status = open_job(&m, engine, pairs + first, some, &known)) < 0)
            return status;
        if ((status = b2_job_run(&m->job, NULL)) == BLIP2_OK)
            memcpy(scores + first, m->scores, some * sizeof *scores);
        b2_job_free(&m->job);
    }
    return status;
}

blip2_status blip2_submit_match(blip2_job **out, blip2_engine *engine, const blip2_input *pairs,
                                size_t count, const blip2_match_options *options,
                                const blip2_submit_options *submit) {
    blip2_job *job;
    blip2_status status = b2_job_check(out, engine, "blip2_submit_match");

    if (status < 0 || (status = b2_job_open_match(&job, engine, pairs, count, options)) < 0)
        return status;
    return b2_job_submit(out, job, submit);
}

blip2_status blip2_job_take_scores(blip2_job *job, blip2_match_score *scores, size_t count) {
    const matching *m = (const matching *)job;
    blip2_status status;

    if (job != NULL && job->type == &type && (count != m->count || (count > 0 && scores == NULL)))
        return b2_fail(BLIP2_EINVAL, "blip2_job_take_scores: room for %zu, the job has %zu pairs",
                       scores != NULL ? count : 0, m->count);
    if ((status = b2_job_take(job, &type)) == BLIP2_OK && count > 0)
        memcpy(scores, m->scores, count * sizeof *scores);
    return status;
}
