/* What the tests of Q-Former models share: models, pictures and engines, on the CPU. */
#ifndef B2_TESTS_ENGINE_STAGE1_FIXTURE_H
#define B2_TESTS_ENGINE_STAGE1_FIXTURE_H
#include "blip2.h"

#define GOLDEN BLIP2_SOURCE_DIR "/tests/golden"
#define STAGE1 GOLDEN "/models/lavis_stage1" /* with the head that writes captions */
#define ITM GOLDEN "/models/hf_blip2_itm"    /* without */

void open_model(blip2_model **out, const char *folder);

/* Pictures numbers[0 .. count) of the golden cases. numbers NULL: the first ones. */
void open_pictures(blip2_image *images[], const int numbers[], int count);
void close_pictures(blip2_image *images[], int count);

/* 0: the library's choice. */
blip2_engine *open_engine(blip2_model *model, uint32_t requests, uint32_t together,
                          uint64_t cache_bytes);

/* For paths whose allocations fail: two requests, the smallest cache. */
blip2_status open_small_engine(blip2_engine **out, blip2_model *model);

#endif
