#include "work.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

enum { NEW_TOKENS = 3, BEAMS = 3 };

/* ---- open and close ----------------------------------------------------------------------- */

static blip2_status open_all(place *p, const work *w, const char *device) {
    blip2_model_options options;
    blip2_status status;

    blip2_model_options_init(&options, sizeof options);
    options.device = device;
    options.compute = BLIP2_COMPUTE_F32;
    options.weight_type = BLIP2_WEIGHT_F32; /* half ones: another order in batches of few rows */
    options.threads = 1;
    if ((status = blip2_model_open(&p->model, w->folder, &options)) < 0)
        return status;
    for (int i = 0; i < PICTURES; i++) {
        char path[1024];

        (void)snprintf(path, sizeof path, GOLDEN "/images/p%d.png", i);
        ck_assert_status_ok(blip2_image_open(&p->images[i], path, NULL));
    }
    return place_open_engine(p);
}

blip2_status place_open(place *p, const work *w, const char *device) {
    blip2_status status;

    *p = (place){.requests = MIXED, .new_tokens = NEW_TOKENS};
    if ((status = open_all(p, w, device)) < 0)
        place_close(p);
    return status;
}

/* Fewer places than requests: some wait, and pictures leave the cache. */
blip2_status place_open_engine(place *p) {
    blip2_engine_options options;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = 4;
    options.max_images = 2;
    options.max_tokens = 64;
    options.image_cache_bytes = 1;
    return blip2_engine_open(&p->engine, p->model, &options);
}

void place_close(place *p) {
    blip2_engine_close(p->engine);
    for (int i = 0; i < PICTURES; i++)
        blip2_image_free(p->images[i]);
    blip2_model_close(p->model);
    *p = (place){0};
}

/* ---- answers ------------------------------------------------------------------------------ */

void answer_add(answer *out, double number) {
    ck_assert_uint_lt(out->count, ANSWER);
    out->numbers[out->count++] = number;
}

void assert_same_answer(const answer *a, const answer *expected, double tolerance,
                        const char *when) {
    ck_assert_msg(a->count == expected->count, "%s: %zu numbers, not %zu", when, a->count,
                  expected->count);
    for (size_t i = 0; i < a->count; i++)
        ck_assert_msg(fabs(a->numbers[i] - expected->numbers[i]) <= tolerance,
                      "%s: number %zu is %.9g, not %.9g", when, i, a->numbers[i],
                      expected->numbers[i]);
}

void assert_whole(const blip2_engine *engine) {
    const b2_engine_limits *limits = &engine->plan.limits;
    uint32_t kept = 0;

    ck_assert_ptr_null(engine->queue);
    ck_assert_uint_eq(engine->sequences, 0);
    ck_assert_ptr_null(engine->run.trace);
    for (uint32_t i = 0; i < limits->max_requests; i++)
        ck_assert_ptr_null(engine->running[i]);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    for (uint32_t i = 0; i < engine->pages.count; i++) {
        ck_assert_uint_le(engine->pages.users[i], 1); /* the prefix cache */
        kept += engine->pages.users[i];
    }
    ck_assert_uint_eq(kept, engine->prefix.idle);
    for (uint32_t i = 0; i < engine->images.count; i++)
        ck_assert_uint_eq(engine->images.places[i].pins, 0);
}

/* ---- requests of all kinds beside each other ---------------------------------------------- */

typedef struct ends {
    int count;
    blip2_status status;
} ends;

static void note_end(b2_request *request, void *payload) {
    ends *e = payload;

    e->count++;
    e->status = request->status;
}

/* Greedy, with a penalty, beams, drawn, with log-probabilities, with a prompt over pages. */
static b2_request_options options_of(int i, uint32_t new_tokens) {
    static const char *const prompts[MIXED] = {
        "a photo of", "which city is this?",
        "x",          "Question: how many cats are there on the very long table? Answer:",
        "a dog",      "a"};
    b2_request_options options = {.prompt = prompts[i],
                                  .max_new_tokens = new_tokens,
                                  .min_new_tokens = i == 0 ? new_tokens : 0,
                                  .repetition_penalty = i == 1 ? 1.3f : 1.0f,
                                  .length_penalty = 1.0f};

    if (i == 2) {
        options.beams = BEAMS;
        options.answers = 2;
    }
    if (i == 3) {
        options.sample = true;
        options.seed = 9;
        options.warpers = (b2_warpers){2.0f, 40, 0.9f, 0.0f, 1.0f, 1};
    }
    options.logprobs = i == 4 ? 2 : 0;
    return options;
}

static void add_request(answer *out, const b2_request *request, uint32_t texts) {
    for (uint32_t k = 0; k < texts; k++) {
        b2_answer got = b2_request_answer(request, k);

        answer_add(out, got.count);
        answer_add(out, got.score);
        for (uint32_t i = 0; i < got.count; i++)
            answer_add(out, got.tokens[i]);
    }
    answer_add(out, (double)request->text.length);
}

/* Every request that was submitted ends once, with what the step said. */
static blip2_status run_mixed(place *p, answer *out) {
    b2_request *requests[MIXED];
    ends e[MIXED] = {{0, BLIP2_OK}};
    bool busy = true;
    blip2_status status = BLIP2_OK;

    for (int i = 0; i < p->requests; i++) {
        b2_request_options options = options_of(i, p->new_tokens);

        ck_assert_status_ok(
            b2_request_open(&requests[i], p->model, p->images[i % PICTURES], &options));
        requests[i]->on_done = note_end;
        requests[i]->payload = &e[i];
        ck_assert_status_ok(b2_engine_submit(p->engine, requests[i]));
    }
    while (busy && status == BLIP2_OK)
        status = b2_engine_step(p->engine, &busy);
    ck_assert(!busy);
    for (int i = 0; i < p->requests; i++) {
        ck_assert_int_eq(e[i].count, 1);
        ck_assert(requests[i]->phase == B2_PHASE_DONE);
        ck_assert(e[i].status == status || e[i].status == BLIP2_OK);
        if (status == BLIP2_OK)
            add_request(out, requests[i], i == 2 ? 2 : 1);
        b2_request_close(requests[i]);
    }
    return status;
}

/* ---- the synchronous calls ---------------------------------------------------------------- */

static void count_done(size_t index, const char *text, const int32_t *tokens, size_t count,
                       void *payload) {
    int *done = payload;

    (void)text, (void)tokens, (void)count;
    done[index]++;
}

static blip2_status run_generate(place *p, answer *out) {
    static const char *const prompts[4] = {"a photo of", "a dog", NULL, "which city is this?"};
    blip2_generate_options options;
    blip2_input inputs[4];
    blip2_result *result;
    int done[4] = {0};
    blip2_status status;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = p->new_tokens;
    options.on_done = count_done;
    options.payload = done;
    for (int i = 0; i < 4; i++)
        inputs[i] = (blip2_input){p->images[i % PICTURES],
                                  p->model->writer.kind == B2_WRITER_LANGUAGE ? prompts[i] : NULL};
    status = blip2_generate(p->engine, inputs, 4, &options, &result);
    ck_assert(status == BLIP2_OK ? result != NULL : result == NULL);
    for (size_t i = 0; i < 4; i++) {
        size_t count;
        const int32_t *tokens = blip2_result_tokens(result, i, &count);

        ck_assert_int_le(done[i], 1);
        ck_assert(status < 0 || done[i] == 1);
        for (size_t k = 0; k < count; k++)
            answer_add(out, tokens[k]);
    }
    blip2_result_free(result);
    return status;
}

static blip2_status run_likelihood(place *p, answer *out) {
    static const char *const texts[3] = {"a cat", "yes", "a horse that runs in the street"};
    blip2_likelihood_options options;
    blip2_likelihood *likelihood;
    blip2_candidates inputs[2];
    blip2_status status;

    blip2_likelihood_options_init(&options, sizeof options);
    options.top_logprobs = 2;
    for (int i = 0; i < 2; i++)
        inputs[i] = (blip2_candidates){p->images[i], i == 0 ? "a photo of" : "is this", texts, 3};
    status = blip2_likelihood_compute(p->engine, inputs, 2, &options, &likelihood);
    ck_assert(status == BLIP2_OK ? likelihood != NULL : likelihood == NULL);
    for (size_t i = 0; i < 6 && status == BLIP2_OK; i++) {
        answer_add(out, blip2_likelihood_sum(likelihood, i / 3, i % 3));
        answer_add(out, blip2_likelihood_loss(likelihood, i / 3, i % 3));
    }
    blip2_likelihood_free(likelihood);
    return status;
}

#define FOLDER(name) GOLDEN "/models/" name
/* The first FOLDERS are of different folders. */
const work works[] = {{"opt", FOLDER("hf_blip2_opt"), run_mixed},
                      {"t5", FOLDER("hf_blip2_t5"), run_mixed},
                      {"instructblip llama", FOLDER("hf_instructblip_llama"), run_mixed},
                      {"instructblip t5", FOLDER("hf_instructblip_t5"), run_mixed},
                      {"match", FOLDER("lavis_stage1"), run_match},
                      {"caption of stage 1", FOLDER("lavis_stage1"), run_generate},
                      {"likelihood", FOLDER("hf_blip2_opt"), run_likelihood},
                      {"likelihood of t5", FOLDER("hf_blip2_t5"), run_likelihood},
                      {"features", FOLDER("lavis_stage1"), run_features},
                      {"similarity", FOLDER("lavis_stage1"), run_similarity},
                      {"explain", FOLDER("lavis_stage1"), run_explain},
                      {"losses", FOLDER("lavis_stage1"), run_losses}};
const size_t work_count = sizeof works / sizeof *works;
