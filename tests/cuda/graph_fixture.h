/* What the files of the suite "cuda_graph" share. */
#ifndef B2_TESTS_CUDA_GRAPH_FIXTURE_H
#define B2_TESTS_CUDA_GRAPH_FIXTURE_H
#include <check.h>

#include "engine/engine.h"

#define TINY BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_opt"
#define T5 BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_t5"
#define DEMO BLIP2_SOURCE_DIR "/models/demo/caption"

enum { REQUESTS = 4 };

/* A model, an engine, a picture, and what was logged. */
typedef struct fixture {
    blip2_model *model;
    blip2_engine *engine;
    blip2_image *image;
    int lines;
    char line[512];
} fixture;

void open_fixture(fixture *f, const char *folder, const char *device, blip2_compute compute);
void close_fixture(fixture *f);

b2_request *submit(fixture *f, const char *prompt, uint32_t new_tokens, float penalty);
void step(fixture *f);

/* test_graph_faults.c */
void suite_graph_faults(TCase *tests);

#endif
