/* config.json, and the same text as the image processor's file. What is accepted must keep the
 * promises of config.h that the model code divides by. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "load/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void promise(bool kept) {
    if (!kept)
        abort();
}

static void check(const b2_config *c) {
    promise(c->vit.heads > 0 && c->vit.width % c->vit.heads == 0);
    promise(c->qformer.heads > 0 && c->qformer.width % c->qformer.heads == 0);
    promise(c->language != B2_LANGUAGE_OPT || c->opt.width % c->opt.heads == 0);
    promise(c->language != B2_LANGUAGE_T5 ||
            (c->t5.heads > 0 && c->t5.buckets >= 4 && c->t5.max_distance > c->t5.buckets / 2 &&
             c->t5.start >= 0 && (uint32_t)c->t5.start < c->t5.vocab));
    promise(c->vit.patch > 0 && c->vit.image % c->vit.patch == 0);
    promise(c->image.width > 0 && c->image.width % c->vit.patch == 0);
    promise(c->image.height > 0 && c->image.height % c->vit.patch == 0);
    promise(c->qformer.cross_every > 0 && c->stop_count <= B2_MAX_STOP_IDS);
    promise(c->vit.block_eps > 0 && c->qformer.eps > 0);
    for (int i = 0; i < 3; i++)
        promise(isfinite(c->image.mean[i]) && c->image.std[i] > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char plain[] = "{\"model_type\":\"blip-2\"}";
    b2_config config;
    bool found;

    if (b2_config_parse(&config, (const char *)data, size, "config.json") == BLIP2_OK)
        check(&config);
    if (b2_config_parse(&config, plain, sizeof plain - 1, "config.json") != BLIP2_OK)
        abort();
    (void)b2_config_parse_processor(&config, (const char *)data, size, "processor", &found);
    check(&config);
    return 0;
}
