#include "base/options.h"

#include <string.h>

#include "base/size.h"
#include "blip2.h"

blip2_status b2_options_copy(void *out, size_t size, const void *options, const char *name) {
    const unsigned char *bytes = options;
    size_t given;

    memset(out, 0, size);
    if (options == NULL)
        return BLIP2_OK;
    memcpy(&given, options, sizeof given);
    if (given < sizeof given || given > 65536)
        return b2_fail(BLIP2_EINVAL, "%s: size is %zu; was %s_init called?", name, given, name);
    for (size_t i = size; i < given; i++)
        if (bytes[i] != 0)
            return b2_fail(BLIP2_ENOTSUP, "%s: a field newer than this library is set", name);
    memcpy(out, options, b2_size_min(size, given));
    memcpy(out, &size, sizeof size);
    return BLIP2_OK;
}

static void init(void *options, size_t size) {
    if (options == NULL)
        return;
    memset(options, 0, size);
    if (size >= sizeof size)
        memcpy(options, &size, sizeof size);
}

void blip2_model_options_init(blip2_model_options *options, size_t size) {
    init(options, size);
}

void blip2_convert_options_init(blip2_convert_options *options, size_t size) {
    init(options, size);
}

void blip2_image_options_init(blip2_image_options *options, size_t size) {
    init(options, size);
}

void blip2_engine_options_init(blip2_engine_options *options, size_t size) {
    init(options, size);
}

void blip2_generate_options_init(blip2_generate_options *options, size_t size) {
    init(options, size);
}

void blip2_likelihood_options_init(blip2_likelihood_options *options, size_t size) {
    init(options, size);
}

void blip2_features_options_init(blip2_features_options *options, size_t size) {
    init(options, size);
}

void blip2_match_options_init(blip2_match_options *options, size_t size) {
    init(options, size);
}

void blip2_losses_options_init(blip2_losses_options *options, size_t size) {
    init(options, size);
}

void blip2_similarity_options_init(blip2_similarity_options *options, size_t size) {
    init(options, size);
}

void blip2_explain_options_init(blip2_explain_options *options, size_t size) {
    init(options, size);
}

void blip2_index_options_init(blip2_index_options *options, size_t size) {
    init(options, size);
}

void blip2_index_build_options_init(blip2_index_build_options *options, size_t size) {
    init(options, size);
}

void blip2_search_options_init(blip2_search_options *options, size_t size) {
    init(options, size);
}

void blip2_pool_options_init(blip2_pool_options *options, size_t size) {
    init(options, size);
}

void blip2_submit_options_init(blip2_submit_options *options, size_t size) {
    init(options, size);
}
