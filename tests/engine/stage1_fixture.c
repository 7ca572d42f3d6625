#include "stage1_fixture.h"

#include <stdio.h>

#include "run.h"

void open_model(blip2_model **out, const char *folder) {
    blip2_model_options options;

    blip2_model_options_init(&options, sizeof options);
    options.threads = 1;
    options.device = "cpu";
    ck_assert_status_ok(blip2_model_open(out, folder, &options));
}

void open_pictures(blip2_image *images[], const int numbers[], int count) {
    for (int i = 0; i < count; i++) {
        char path[1024];

        (void)snprintf(path, sizeof path, "%s/images/p%d.png", GOLDEN,
                       numbers != NULL ? numbers[i] : i);
        ck_assert_status_ok(blip2_image_open(&images[i], path, NULL));
    }
}

void close_pictures(blip2_image *images[], int count) {
    for (int i = 0; i < count; i++)
        blip2_image_free(images[i]);
}

blip2_engine *open_engine(blip2_model *model, uint32_t requests, uint32_t together,
                          uint64_t cache_bytes) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_images = together;
    options.image_cache_bytes = cache_bytes;
    ck_assert_status_ok(blip2_engine_open(&engine, model, &options));
    return engine;
}

blip2_status open_small_engine(blip2_engine **out, blip2_model *model) {
    blip2_engine_options options;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = 2;
    options.image_cache_bytes = 1;
    return blip2_engine_open(out, model, &options);
}
