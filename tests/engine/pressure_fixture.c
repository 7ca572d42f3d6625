#include "pressure_fixture.h"

#include <stdlib.h>

#include "run.h"

void open_model_of(fixture *f, const char *folder) {
    ck_assert_status_ok(fixture_open_device(f, folder, getenv("BLIP2_TEST_DEVICE")));
}

blip2_engine *open_engine_of(const fixture *f, uint32_t requests, uint32_t max_tokens,
                             uint32_t pages) {
    blip2_engine_options options;
    b2_engine_plan plan;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_tokens = max_tokens;
    ck_assert_status_ok(b2_engine_plan_make(&plan, f->model, &options));
    options.max_kv_bytes = pages * plan.kv.page_bytes;
    ck_assert_status_ok(blip2_engine_open(&engine, f->model, &options));
    if (pages > 0)
        ck_assert_uint_eq(engine->pages.count, pages);
    return engine;
}

void assert_pool_is_whole(blip2_engine *engine) {
    ck_assert_uint_eq(engine->prefix.cached, engine->prefix.idle);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.cached, engine->pages.count);
    b2_prefix_drop(&engine->prefix);
    ck_assert_uint_eq(engine->prefix.cached, 0);
    ck_assert_uint_eq(engine->pages.free_count, engine->pages.count);
    for (uint32_t i = 0; i < engine->images.count; i++)
        ck_assert_uint_eq(engine->images.places[i].pins, 0);
    ck_assert_uint_eq(engine->sequences, 0);
}

b2_request *request_for(const fixture *f, int image, const char *prompt, uint32_t tokens,
                        uint32_t beams, uint64_t seed) {
    const b2_request_options options = {.prompt = prompt,
                                        .min_new_tokens = tokens,
                                        .max_new_tokens = tokens,
                                        .repetition_penalty = 1.0f,
                                        .beams = beams,
                                        .answers = beams > 0,
                                        .length_penalty = 1.0f,
                                        .sample = seed > 0,
                                        .seed = seed,
                                        .warpers = {1.0f, 20, 0.9f, 0.0f, 1.0f, 1}};
    b2_request *request;

    ck_assert_status_ok(b2_request_open(&request, f->model, f->images[image], &options));
    return request;
}

void submit(blip2_engine *engine, b2_request *request) {
    ck_assert_status_ok(b2_engine_submit(engine, request));
}

void step(blip2_engine *engine) {
    bool busy;

    ck_assert_status_ok(b2_engine_step(engine, &busy));
}

void run_all(blip2_engine *engine) {
    bool busy = true;

    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
}

void assert_same_answer(const b2_request *a, const b2_request *b) {
    b2_answer x = b2_request_answer(a, 0), y = b2_request_answer(b, 0);

    ck_assert_status_ok(a->status);
    ck_assert_uint_gt(x.count, 0);
    ck_assert_uint_eq(x.count, y.count);
    ck_assert_mem_eq(x.tokens, y.tokens, x.count * sizeof *x.tokens);
    ck_assert_str_eq(b2_text_data(&a->text), b2_text_data(&b->text));
}

void close_requests(b2_request **requests, int count) {
    for (int i = 0; i < count; i++)
        b2_request_close(requests[i]);
}
