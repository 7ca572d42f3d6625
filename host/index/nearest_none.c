/* This build has no faiss. */
#include "index/nearest.h"

blip2_status b2_nearest_open(b2_nearest **out, size_t width, uint32_t threads) {
    (void)width;
    (void)threads;
    *out = NULL;
    return b2_fail(BLIP2_ENOTSUP, "this build has no faiss: approximate search needs libfaiss-dev "
                                  "when it is configured; the exact search needs nothing");
}

blip2_status b2_nearest_add(b2_nearest *nearest, const float *vectors, size_t count) {
    (void)nearest;
    (void)vectors;
    (void)count;
    return b2_fail(BLIP2_EINTERNAL, "nearest: not open");
}

blip2_status b2_nearest_find(const b2_nearest *nearest, const float *vector, size_t most,
                             int64_t *out) {
    (void)nearest;
    (void)vector;
    (void)most;
    (void)out;
    return b2_fail(BLIP2_EINTERNAL, "nearest: not open");
}

void b2_nearest_close(b2_nearest *nearest) {
    (void)nearest;
}
