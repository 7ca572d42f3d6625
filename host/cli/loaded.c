#include "loaded.h"

#include "base/alloc.h"
#include "base/size.h"
#include "default_model.h"

enum { MOST_REQUESTS = 4096 /* that an engine takes */ };

static void on_log(blip2_log_level level, const char *line, void *payload) {
    b2_loaded *loaded = payload;
    bool warning = level == BLIP2_LOG_WARNING;

    if (loaded->settings->verbose) {
        b2_progress_erase(loaded->progress);
        b2_complain("%s%s", warning ? "warning: " : "", line);
    } else if (warning) { /* what errors say in full, the failing call's message says in short */
        if (loaded->warning_count < B2_SHOWN_WARNINGS)
            loaded->warnings[loaded->warning_count] = b2_strdup(line);
        loaded->warning_count++;
    }
}

/* A model that cannot be used has its error, which warnings must not hide. */
static void tell_warnings(b2_loaded *loaded, bool show) {
    size_t shown = b2_size_min(loaded->warning_count, B2_SHOWN_WARNINGS);

    for (size_t i = 0; i < shown; i++) {
        char **line = &loaded->warnings[i];

        if (show)
            b2_complain("warning: %s", *line != NULL ? *line : "out of memory");
        b2_free(*line);
    }
    if (show && loaded->warning_count > shown)
        b2_complain("warning: and %zu more; --verbose shows all", loaded->warning_count - shown);
    loaded->warning_count = 0;
}

static int on_load(uint64_t done, uint64_t total, void *payload) {
    b2_loaded *loaded = payload;

    b2_progress_show(loaded->progress, "loading: %.0f %%",
                     total > 0 ? 100.0 * (double)done / (double)total : 100.0);
    return 0;
}

static blip2_status open_model(b2_loaded *loaded) {
    const b2_settings *settings = loaded->settings;
    blip2_model_options options;
    char *fallback = NULL;
    blip2_status status;

    if (settings->model == NULL && (status = b2_default_model(&fallback, loaded->demo)) < 0)
        return status;
    blip2_model_options_init(&options, sizeof options);
    options.device = settings->device;
    options.threads = settings->threads;
    options.weight_type = (blip2_weight_type)settings->weights;
    options.compute = (blip2_compute)settings->compute;
    options.image_height = settings->image_pixels[0];
    options.image_width = settings->image_pixels[1];
    options.deterministic = settings->deterministic;
    options.log = settings->quiet ? NULL : on_log;
    options.log_payload = loaded;
    options.log_level = settings->verbose ? BLIP2_LOG_INFO : BLIP2_LOG_WARNING;
    options.on_progress = on_load;
    options.progress_payload = loaded;
    status = blip2_model_open(&loaded->model, settings->model != NULL ? settings->model : fallback,
                              &options);
    b2_progress_erase(loaded->progress);
    b2_free(fallback);
    return status;
}

/* For how many requests one takes room: each beam may need as much. Candidates differ in their last
 * rows only; an engine runs 5 of them for a request. */
static size_t width(const b2_settings *settings) {
    if (settings->penalty_alpha > 0.0f)
        return ((size_t)settings->top_k + 4) / 5;
    return settings->beams > 1 ? settings->beams : 1;
}

static blip2_status open_engine(b2_loaded *loaded, size_t max_requests) {
    blip2_engine_options options;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = (uint32_t)b2_size_min(
        b2_size_min(loaded->settings->batch, max_requests) * width(loaded->settings),
        MOST_REQUESTS);
    options.max_tokens = loaded->settings->max_tokens;
    options.max_frames = (uint32_t)b2_size_min(loaded->frames, UINT32_MAX);
    options.image_cache_bytes = (uint64_t)loaded->settings->image_cache << 20;
    return blip2_engine_open(&loaded->engine, loaded->model, &options);
}

blip2_status b2_loaded_open(b2_loaded *loaded, size_t max_requests) {
    blip2_status status;

    if (loaded->model != NULL)
        return BLIP2_OK;
    if ((status = open_model(loaded)) == BLIP2_OK)
        status = open_engine(loaded, max_requests);
    tell_warnings(loaded, status == BLIP2_OK);
    return status;
}

static void print_stats(const blip2_engine *engine) {
    blip2_engine_counts c;

    if (blip2_engine_stats(engine, &c, sizeof c) == BLIP2_OK)
        b2_complain("%llu pictures encoded, %llu from kept features, %llu found in the cache; %llu "
                    "texts read, %llu pairs matched",
                    (unsigned long long)c.images_encoded, (unsigned long long)c.images_restored,
                    (unsigned long long)c.image_hits, (unsigned long long)c.texts_scored,
                    (unsigned long long)c.pairs_scored);
}

void b2_loaded_close(b2_loaded *loaded) {
    if (loaded->settings->stats && loaded->engine != NULL)
        print_stats(loaded->engine);
    blip2_engine_close(loaded->engine);
    blip2_model_close(loaded->model);
    loaded->engine = NULL;
    loaded->model = NULL;
}
