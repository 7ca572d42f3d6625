/* What the tests of pages, prefixes and packing share: requests of many sorts, and their answers in
 * an engine without any want. */
#ifndef B2_TESTS_ENGINE_PRESSURE_FIXTURE_H
#define B2_TESTS_ENGINE_PRESSURE_FIXTURE_H
#include "engine/engine.h"
#include "fixture.h"

/* The device that BLIP2_TEST_DEVICE names, or the CPU. */
void open_model_of(fixture *f, const char *folder);
/* pages: 0, or how many the pool has. */
blip2_engine *open_engine_of(const fixture *f, uint32_t requests, uint32_t max_tokens,
                             uint32_t pages);
/* Nobody uses a page any more; afterwards nothing is kept, and all pages are free. */
void assert_pool_is_whole(blip2_engine *engine);

/* A request for exactly `tokens` new tokens: greedy, but drawn where seed > 0, and with beams where
 * there are any. */
b2_request *request_for(const fixture *f, int image, const char *prompt, uint32_t tokens,
                        uint32_t beams, uint64_t seed);
void submit(blip2_engine *engine, b2_request *request);
void step(blip2_engine *engine);
void run_all(blip2_engine *engine);

void assert_same_answer(const b2_request *a, const b2_request *b);
void close_requests(b2_request **requests, int count);

#endif
