/* blip2_index_search: what it is asked, checked, and its parts one after the other. */
#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/engine.h"
#include "engine/scheduler.h"
#include "index/index.h"

enum { DEFAULT_TOP = 10, DEFAULT_TOKENS = 35 };

blip2_status b2_search_tell(b2_search_progress *progress, uint64_t more) {
    progress->done += more;
    if (progress->call != NULL &&
        progress->call(progress->done, progress->total, progress->payload) != 0)
        return b2_fail(BLIP2_ESTOP, "the caller's on_progress asked to stop");
    return BLIP2_OK;
}

typedef struct job {
    blip2_index *index;
    blip2_engine *engine;
    const blip2_input *queries; /* [count] */
    size_t count;
    blip2_search_options options;
    size_t top;  /* hits of a query that the caller gets */
    size_t wide; /* hits of a query that are looked for: the matched ones too */
    b2_queries vectors;
    b2_best *lists;  /* [count] */
    blip2_hit *hits; /* [count, wide] */
    b2_search_progress progress;
} job;

static blip2_status check(const job *j, const blip2_hit *hits) {
    const blip2_model *model;

    if (j->index == NULL || (j->count > 0 && (j->queries == NULL || hits == NULL)))
        return b2_fail(BLIP2_EINVAL, "blip2_index_search: %s is NULL",
                       j->index == NULL     ? "index"
                       : j->queries == NULL ? "queries"
                                            : "hits");
    for (size_t i = 0; i < j->count; i++)
        if ((j->queries[i].image == NULL) == (j->queries[i].prompt == NULL))
            return b2_fail(BLIP2_EINVAL, "query %zu: expected either an image or a prompt", i);
        else if (j->queries[i].image == NULL && *j->queries[i].prompt == '\0')
            return b2_fail(BLIP2_EINVAL, "query %zu: its text is empty", i);
    model = j->engine->model;
    if (!model->stage1.contrasts)
        return b2_fail(BLIP2_ENOTSUP, "this checkpoint (%s) has no contrast heads",
                       b2_model_name(model));
    if (j->options.rerank > 0 && !model->stage1.matches)
        return b2_fail(BLIP2_ENOTSUP, "this checkpoint (%s) has no matching head",
                       b2_model_name(model));
    return b2_index_file_check(&j->index->file, model);
}

static blip2_status search(job *j) {
    blip2_status status =
        b2_queries_open(&j->vectors, j->engine, j->queries, j->count, j->options.max_text_tokens);

    if (status < 0)
        return status;
    j->hits = b2_alloc_array(j->count, j->wide * sizeof *j->hits);
    j->lists = b2_calloc(j->count, sizeof *j->lists);
    if (j->hits == NULL || j->lists == NULL)
        return b2_fail_memory();
    for (size_t q = 0; q < j->count; q++)
        j->lists[q] = (b2_best){.hits = j->hits + q * j->wide, .most = j->wide};
    status = j->options.ann > 0
                 ? b2_search_near(j->index, &j->vectors, j->options.ann, j->lists, &j->progress)
                 : b2_search_exact(j->index, &j->vectors, j->lists, &j->progress);
    for (size_t q = 0; q < j->count && status == BLIP2_OK; q++) {
        b2_best_sort(&j->lists[q]);
        for (size_t i = j->lists[q].count; i < j->wide; i++)
            j->lists[q].hits[i] = (blip2_hit){.picture = SIZE_MAX};
    }
    return status;
}

static blip2_status run(job *j, blip2_hit *hits) {
    size_t k = b2_size_min(j->options.rerank, j->index->file.count);
    blip2_status status;

    j->top = b2_size_min(j->options.top, j->index->file.count);
    j->wide = b2_size_max(j->top, k);
    j->progress = (b2_search_progress){.call = j->options.on_progress,
                                       .payload = j->options.payload,
                                       .total = j->index->file.count + k * j->count};
    if ((status = search(j)) < 0)
        return status;
    if (k > 0) {
        const b2_rerank rerank = {j->index, j->engine, j->queries,  j->count,
                                  j->wide,  k,         &j->options, &j->progress};

        if ((status = b2_rerank_run(&rerank, j->hits)) < 0)
            return status;
    }
    for (size_t q = 0; q < j->count; q++)
        memcpy(hits + q * j->top, j->hits + q * j->wide, j->top * sizeof *hits);
    return b2_search_tell(&j->progress, j->progress.total - j->progress.done);
}

blip2_status blip2_index_search(blip2_index *index, blip2_engine *engine,
                                const blip2_input *queries, size_t count,
                                const blip2_search_options *options, blip2_hit *hits) {
    job j = {.index = index, .engine = engine, .queries = queries, .count = count};
    blip2_status status = b2_call_check(engine, "blip2_index_search");

    if (status < 0 ||
        (status = b2_options_copy(&j.options, sizeof j.options, options, "blip2_search_options")) <
            0 ||
        (status = check(&j, hits)) < 0 || count == 0)
        return status;
    if (j.options.top == 0)
        j.options.top = DEFAULT_TOP;
    if (j.options.max_text_tokens == 0)
        j.options.max_text_tokens = DEFAULT_TOKENS;
    b2_scheduler_enter(engine); /* a callback may close it */
    status = run(&j, hits);
    b2_queries_free(&j.vectors);
    b2_free(j.lists);
    b2_free(j.hits);
    b2_scheduler_leave(engine);
    return status;
}
