/* Engines under a pool, each on a model and a CPU device of its own, whose devices can break. */
#ifndef B2_TESTS_ENGINE_POOL_FIXTURE_H
#define B2_TESTS_ENGINE_POOL_FIXTURE_H
#include <stdatomic.h>

#include "fixture.h"

enum { ENGINES = 3 };

typedef struct pool_fixture {
    fixture members[ENGINES]; /* the pictures of the first are used */
    blip2_engine *engines[ENGINES];
    blip2_pool *pool;
    size_t count;
} pool_fixture;

void pool_fixture_open_models(pool_fixture *p, const char *folder, size_t count);
/* max_waiting 0: the default; margin as in blip2_pool_options. */
blip2_status pool_fixture_open_pool(pool_fixture *p, uint32_t max_waiting, int32_t margin);
void pool_fixture_close_pool(pool_fixture *p); /* and the engines */
void pool_fixture_close_models(pool_fixture *p);

/* From now on operations of that engine's device fail. */
void pool_fixture_break(const pool_fixture *p, size_t engine);

blip2_pool_counts pool_fixture_counts(const pool_fixture *p, size_t engine);
blip2_engine_counts pool_fixture_engine_counts(const pool_fixture *p, size_t engine);

/* ---- jobs --------------------------------------------------------------------------------- */

/* A text of that many tokens. */
blip2_generate_options some_tokens(uint32_t tokens);
/* What an engine's thread does while *payload, an atomic_int, is 0: wait, as an on_text. */
int hold(size_t index, const char *text, size_t length, void *payload);
/* Waits for the job, which must have gone well, takes its texts and frees it. */
blip2_result *end_texts(blip2_job *job);

#endif
