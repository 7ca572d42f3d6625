/* The tiny random model and the pictures that the engine's tests share. */
#ifndef B2_TESTS_ENGINE_FIXTURE_H
#define B2_TESTS_ENGINE_FIXTURE_H
#include "blip2.h"

#define GOLDEN BLIP2_SOURCE_DIR "/tests/golden"
#define MODEL GOLDEN "/models/hf_blip2_opt"

enum { INPUTS = 5 };

typedef struct fixture {
    blip2_model *model;
    blip2_image *images[3];
    blip2_input inputs[INPUTS]; /* pictures and prompts of different lengths */
} fixture;

blip2_status fixture_open(fixture *f); /* MODEL */
blip2_status fixture_open_model(fixture *f, const char *folder);
/* device: NULL for the CPU; in fp32. */
blip2_status fixture_open_device(fixture *f, const char *folder, const char *device);
void fixture_close(fixture *f);
/* For so many requests of up to max_tokens. */
blip2_engine *fixture_engine(blip2_model *model, uint32_t requests, uint32_t max_tokens);

/* Text i of a has the tokens, at least one, and the words of text j of b. */
void fixture_assert_same(const blip2_result *a, size_t i, const blip2_result *b, size_t j);

#endif
