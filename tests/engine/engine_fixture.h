/* What the files of the suite "engine" share. */
#ifndef B2_TESTS_ENGINE_ENGINE_FIXTURE_H
#define B2_TESTS_ENGINE_ENGINE_FIXTURE_H
#include <check.h>

#include "engine/engine.h"

/* For requests of up to 100 rows. kv_bytes 0: the library's choice. */
blip2_engine *engine_of(blip2_model *model, uint32_t requests, uint32_t images, uint64_t kv_bytes);
blip2_generate_options generate_options(void); /* 12 new tokens at most */

/* test_refusals.c */
void suite_refusals(Suite *suite);

#endif
