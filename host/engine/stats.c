#include <string.h>

#include "base/size.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "engine/stats.h"

void b2_stats_take(const blip2_engine *engine, blip2_engine_counts *out) {
    *out = (blip2_engine_counts){.images_encoded = engine->images.encoded,
                                 .image_hits = engine->images.hits,
                                 .texts_scored = engine->score.texts_run,
                                 .pairs_scored = engine->score.pairs_run,
                                 .cross_kv_runs = engine->encode.cross_runs,
                                 .query_runs = engine->encode.query_runs,
                                 .query_hits = engine->query_hits,
                                 .images_restored = engine->images.restored,
                                 .requests_ended = engine->ended,
                                 .steps = engine->steps,
                                 .rows_read = engine->rows_fed,
                                 .tokens_chosen = engine->chosen,
                                 .pages = engine->plan.limits.page_count,
                                 .pages_free = engine->pages.free_count + engine->prefix.idle,
                                 .pages_kept = engine->prefix.cached,
                                 .put_backs = engine->put_backs,
                                 .prefix_hits = engine->prefix_hits,
                                 .prefix_rows = engine->prefix_rows,
                                 .soft_prefills = engine->soft_prefills,
                                 .ns_host = engine->times.spent[B2_STAGE_HOST],
                                 .ns_encode = engine->times.spent[B2_STAGE_ENCODE],
                                 .ns_score = engine->times.spent[B2_STAGE_SCORE],
                                 .ns_read = engine->times.spent[B2_STAGE_READ],
                                 .ns_write = engine->times.spent[B2_STAGE_WRITE]};
    for (uint32_t i = 0; i < engine->plan.limits.max_requests; i++)
        out->running += engine->running[i] != NULL;
    for (const b2_request *r = engine->queue; r != NULL; r = r->next)
        out->waiting++;
}

blip2_status blip2_engine_stats(const blip2_engine *engine, blip2_engine_counts *counts,
                                size_t size) {
    blip2_engine_counts known;
    b2_scheduler *s;

    if (engine == NULL || counts == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_engine_stats: %s is NULL",
                       engine == NULL ? "engine" : "counts");
    s = engine->scheduler;
    (void)pthread_mutex_lock(&s->lock);
    if (!s->started)
        b2_stats_take(engine, &s->shown);
    known = s->shown;
    (void)pthread_mutex_unlock(&s->lock);
    memset(counts, 0, size);
    memcpy(counts, &known, b2_size_min(size, sizeof known));
    return BLIP2_OK;
}
