#include "fixture.h"

#include <stdio.h>

#include "run.h"

blip2_status fixture_open(fixture *f) {
    return fixture_open_model(f, MODEL);
}

blip2_status fixture_open_model(fixture *f, const char *folder) {
    return fixture_open_device(f, folder, NULL);
}

blip2_status fixture_open_device(fixture *f, const char *folder, const char *device) {
    static const char *const names[3] = {"p0", "p2", "p3"};
    static const char *const prompts[INPUTS] = {
        NULL, "a photo of",
        "Question: how many cats are there on the very long table? Answer:", "which city is this?",
        "x"};
    blip2_model_options options;
    blip2_status status;

    *f = (fixture){0};
    blip2_model_options_init(&options, sizeof options);
    options.threads = 1;
    options.device = device != NULL ? device : "cpu";
    options.compute = BLIP2_COMPUTE_F32;
    if ((status = blip2_model_open(&f->model, folder, &options)) < 0)
        return status;
    for (int i = 0; i < 3; i++) {
        char path[1024];

        (void)snprintf(path, sizeof path, "%s/images/%s.png", GOLDEN, names[i]);
        if ((status = blip2_image_open(&f->images[i], path, NULL)) < 0)
            return status;
    }
    for (int i = 0; i < INPUTS; i++)
        f->inputs[i] = (blip2_input){f->images[i % 3], prompts[i]};
    return BLIP2_OK;
}

void fixture_close(fixture *f) {
    for (int i = 0; i < 3; i++)
        blip2_image_free(f->images[i]);
    blip2_model_close(f->model);
}

blip2_engine *fixture_engine(blip2_model *model, uint32_t requests, uint32_t max_tokens) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_tokens = max_tokens;
    ck_assert_status_ok(blip2_engine_open(&engine, model, &options));
    return engine;
}

void fixture_assert_same(const blip2_result *a, size_t i, const blip2_result *b, size_t j) {
    size_t n, m;
    const int32_t *x = blip2_result_tokens(a, i, &n), *y = blip2_result_tokens(b, j, &m);

    ck_assert_uint_gt(n, 0);
    ck_assert_uint_eq(n, m);
    ck_assert_mem_eq(x, y, n * sizeof *x);
    ck_assert_str_eq(blip2_result_text(a, i), blip2_result_text(b, j));
}
