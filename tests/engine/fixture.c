#include "fixture.h"

#include <stdio.h>

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
