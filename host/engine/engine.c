#include "engine/engine.h"

#include <string.h>

#include "base/alloc.h"
#include "base/options.h"
#include "base/size.h"
#include "engine/scheduler.h"

enum {
    DEFAULT_REQUESTS = 8,
    DEFAULT_IMAGES = 4,
    DEFAULT_TOKENS = 256, /* 32 image, 32 prompt and 30 new tokens are BLIP-2's usual 94 */
    MOST_REQUESTS = 4096,
    PAGE_TOKENS = 16,
    IMAGE_CACHE_BYTES = 64 << 20,
    MOST_IMAGES = 1 << 20,
    STEP_ROWS = 512, /* enough rows for GEMMs to be bound by arithmetic, not by weights */
    SCORE_ROWS = 2048,
    USUAL_BEAMS = 5,
    USUAL_SEQUENCES = 64, /* when requests have that many: 0.2 MB of logits each */
    SCORE_TEXT = 35,      /* tokens of a caption, as LAVIS's retrieval cuts them */
    DEFAULT_WAITING = 1024,
    HISTORY_EXTRA = 8 /* ids that a request may add to what the repetition penalty counts */
};

/* Positions that a sequence of the model can have, learned queries included. */
static uint32_t most_tokens(const blip2_model *model) {
    const b2_qformer_config *qformer = &model->config.qformer;

    return model->writer.kind != B2_WRITER_NONE ? model->writer.positions
                                                : qformer->queries + qformer->positions;
}

/* What is usual, and room for the further frames of a video. */
static uint32_t default_tokens(uint32_t queries, uint32_t frames, uint32_t positions) {
    uint64_t tokens = DEFAULT_TOKENS + (uint64_t)queries * (frames > 0 ? frames - 1 : 0);

    return tokens < positions ? (uint32_t)tokens : positions;
}

static blip2_status plan_limits(b2_engine_limits *limits, const blip2_model *model,
                                const blip2_engine_options *options) {
    const b2_qformer_config *qformer = &model->config.qformer;
    uint32_t positions = most_tokens(model), pair = qformer->queries + SCORE_TEXT;
    uint32_t least = qformer->queries + 1; /* a start token; a new one is not fed */
    uint32_t requests = options->max_requests != 0 ? options->max_requests : DEFAULT_REQUESTS;
    uint32_t images = options->max_images != 0 ? options->max_images : DEFAULT_IMAGES;
    uint32_t tokens = options->max_tokens != 0
                          ? options->max_tokens
                          : default_tokens(qformer->queries, options->max_frames, positions);

    if (requests > MOST_REQUESTS)
        return b2_fail(BLIP2_EINVAL, "max_requests: got %u, expected at most %d", requests,
                       MOST_REQUESTS);
    if (tokens < least || tokens > positions)
        return b2_fail(BLIP2_EINVAL, "max_tokens: got %u, expected %u to %u", tokens, least,
                       positions);
    limits->max_requests = requests;
    limits->max_sequences = (uint32_t)b2_size_max(
        requests,
        b2_size_max(B2_BEAMS_MOST, b2_size_min((size_t)requests * USUAL_BEAMS, USUAL_SEQUENCES)));
    limits->max_images = (uint32_t)b2_size_min(images, requests);
    limits->max_tokens = tokens;
    limits->step_rows = (uint32_t)b2_size_max(limits->max_sequences,
                                              b2_size_min((size_t)requests * tokens, STEP_ROWS));
    if (model->writer.reads) /* an encoder takes a text as a whole */
        limits->step_rows = (uint32_t)b2_size_max(limits->step_rows, tokens);
    limits->score_rows = (uint32_t)b2_size_max(b2_size_min((size_t)requests * pair, SCORE_ROWS),
                                               (size_t)qformer->queries + qformer->positions);
    limits->page_tokens = PAGE_TOKENS;
    limits->encode_interval = options->decode_steps != 0 ? options->decode_steps : 1;
    limits->max_waiting = options->max_waiting != 0 ? options->max_waiting : DEFAULT_WAITING;
    return BLIP2_OK;
}

static uint32_t pages_for(uint32_t rows) {
    return b2_pages_for(rows, PAGE_TOKENS);
}

static blip2_status plan_layout(b2_engine_plan *plan, const blip2_model *model) {
    const b2_writer *writer = &model->writer;
    size_t bytes = b2_type_size(writer->kv);

    if (writer->kind == B2_WRITER_NONE)
        return BLIP2_OK;
    if (!b2_size_mul(bytes, (size_t)writer->layers * 2, &bytes) ||
        !b2_size_mul(bytes, (size_t)writer->width * PAGE_TOKENS, &bytes))
        return b2_fail_memory();
    plan->kv = (b2_kv_layout){.type = writer->kv,
                              .layers = writer->layers,
                              .heads = writer->heads,
                              .head_size = writer->width / writer->heads,
                              .page_tokens = PAGE_TOKENS,
                              .page_bytes = bytes};
    if (writer->kind == B2_WRITER_QFORMER)
        plan->limits.query_pages = pages_for(model->config.qformer.queries);
    return BLIP2_OK;
}

/* At least as many pictures as requests, so that no request waits for another one's. */
static void plan_images(b2_engine_plan *plan, const blip2_model *model, uint64_t cache_bytes) {
    b2_engine_limits *limits = &plan->limits;
    size_t bytes = b2_images_place_bytes(model) + limits->query_pages * plan->kv.page_bytes;
    uint64_t places = (cache_bytes != 0 ? cache_bytes : IMAGE_CACHE_BYTES) / bytes;

    if (places > MOST_IMAGES)
        places = MOST_IMAGES;
    limits->image_places = (uint32_t)b2_size_max((size_t)places, limits->max_requests);
}

/* The pages of requests and, behind them, of pictures. */
static blip2_status plan_kv(b2_engine_plan *plan, bool reads, uint64_t max_kv_bytes) {
    b2_engine_limits *limits = &plan->limits;
    /* Pages of one request; with a reading, its start token and its own last page come on top. */
    uint32_t most = reads ? pages_for(limits->max_tokens + 1) + 1 : pages_for(limits->max_tokens);
    size_t bytes = plan->kv.page_bytes, count = (size_t)limits->max_requests * most;
    size_t of_images = (size_t)limits->image_places * limits->query_pages;

    if (max_kv_bytes != 0)
        count = b2_size_min(count, max_kv_bytes / bytes);
    if (count < most)
        return b2_fail(BLIP2_EINVAL, "max_kv_bytes: got %llu, one request of %u tokens needs %zu",
                       (unsigned long long)max_kv_bytes, limits->max_tokens, most * bytes);
    if (count + of_images > INT32_MAX / PAGE_TOKENS ||
        !b2_size_mul(count + of_images, bytes, &plan->kv_bytes))
        return b2_fail(BLIP2_EINVAL, "max_requests x max_tokens: %zu pages are too many", count);
    limits->page_count = (uint32_t)count;
    return BLIP2_OK;
}

/* All device memory of the engine but the KV pool; with carver->base NULL only planned. */
static void carve(blip2_engine *engine, b2_carver *carver, const blip2_model *model,
                  const b2_engine_limits *limits) {
    b2_encode_carve(&engine->encode, carver, model, limits->max_images,
                    b2_images_keep_cross(model));
    b2_score_carve(&engine->score, carver, model, limits->score_rows, limits->max_requests);
    b2_images_carve(&engine->images, carver, model, limits->image_places);
    b2_instruct_carve(&engine->instruct, carver, model, limits->max_requests,
                      limits->max_tokens / model->config.qformer.queries, limits->score_rows);
    if (model->writer.kind == B2_WRITER_NONE)
        return;
    if (model->writer.kind == B2_WRITER_LANGUAGE)
        b2_language_carve(&engine->language, carver, &model->language, limits->step_rows,
                          limits->max_sequences);
    else
        b2_qformer_carve(&engine->caption, carver, &model->qformer, limits->step_rows,
                         limits->max_sequences);
    b2_batch_carve(&engine->batch, carver, limits->step_rows, limits->max_sequences,
                   pages_for(limits->max_tokens), limits->max_tokens + HISTORY_EXTRA,
                   limits->max_sequences * (uint32_t)b2_size_max(1, limits->query_pages),
                   model->writer.reads);
}

blip2_status b2_engine_plan_make(b2_engine_plan *out, const blip2_model *model,
                                 const blip2_engine_options *options) {
    blip2_engine unused = {0};
    b2_carver carver = {0};
    blip2_status status;

    *out = (b2_engine_plan){0};
    if ((status = plan_limits(&out->limits, model, options)) < 0 ||
        (status = plan_layout(out, model)) < 0)
        return status;
    plan_images(out, model, options->image_cache_bytes);
    if (model->writer.kind != B2_WRITER_NONE &&
        (status = plan_kv(out, model->writer.reads, options->max_kv_bytes)) < 0)
        return status;
    carve(&unused, &carver, model, &out->limits);
    if (carver.overflow)
        return b2_fail(BLIP2_EINVAL, "max_requests, max_images: the workspace is too large");
    out->workspace_bytes = carver.used;
    return BLIP2_OK;
}

static blip2_status allocate(blip2_engine *engine) {
    const b2_engine_plan *plan = &engine->plan;
    b2_device *device = engine->model->device;
    b2_carver carver = {0};
    blip2_status status;

    if ((status = device->ops->alloc(device, &engine->workspace, plan->workspace_bytes)) < 0 ||
        (plan->kv_bytes > 0 &&
         (status = device->ops->alloc(device, &engine->kv, plan->kv_bytes)) < 0))
        return status;
    carver.base = engine->workspace;
    carve(engine, &carver, engine->model, &plan->limits);
    if (plan->limits.query_pages > 0) {
        engine->images.where.query_kv = (b2_kv_view){.pages = engine->kv, .layout = plan->kv};
        engine->images.where.query_page = (int32_t)plan->limits.page_count;
        engine->images.where.query_pages = plan->limits.query_pages;
    }
    engine->running = b2_calloc(plan->limits.max_requests, sizeof(b2_request *));
    engine->turns = b2_calloc(plan->limits.max_requests, sizeof(b2_request *));
    if (engine->running == NULL || engine->turns == NULL)
        return b2_fail_memory();
    if ((status = b2_images_init(&engine->images, plan->limits.max_images)) < 0 ||
        (status = b2_instruct_init(&engine->instruct)) < 0 ||
        (status = b2_score_init(&engine->score, engine->model)) < 0 ||
        (status = b2_encode_prepare(engine->model, &engine->encode)) < 0 || plan->kv_bytes == 0)
        return status;
    if ((status = b2_batch_init(&engine->batch)) < 0 ||
        (status = b2_pages_init(&engine->pages, plan->limits.page_count)) < 0)
        return status;
    return b2_prefix_init(&engine->prefix, &engine->pages);
}

blip2_status blip2_engine_open(blip2_engine **out, blip2_model *model,
                               const blip2_engine_options *options) {
    blip2_engine_options known;
    blip2_engine *engine;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_engine_open: out is NULL");
    *out = NULL;
    if (model == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_engine_open: model is NULL");
    if ((status = b2_options_copy(&known, sizeof known, options, "blip2_engine_options")) < 0)
        return status;
    if ((engine = b2_calloc(1, sizeof *engine)) == NULL)
        return b2_fail_memory();
    if (atomic_flag_test_and_set(&model->in_use)) {
        b2_free(engine);
        return b2_fail(BLIP2_EINVAL, "the model already has an engine: close it first");
    }
    atomic_fetch_add(&model->owners, 1);
    engine->model = model;
    engine->run.device = model->device;
    engine->graphs.device = model->device;
    engine->graphs.log = &model->log;
    if ((status = b2_engine_plan_make(&engine->plan, model, &known)) < 0 ||
        (status = allocate(engine)) < 0 || (status = b2_scheduler_open(&engine->scheduler)) < 0) {
        b2_engine_free(engine);
        return status;
    }
    *out = engine;
    return BLIP2_OK;
}

void b2_engine_free(blip2_engine *engine) {
    b2_device *device = engine->model->device;

    b2_scheduler_free(engine->scheduler);
    b2_graphs_free(&engine->graphs);
    b2_prefix_free(&engine->prefix);
    b2_pages_free(&engine->pages);
    b2_batch_free(&engine->batch);
    b2_encode_free(&engine->encode);
    b2_free(engine->running);
    b2_free(engine->turns);
    b2_images_free(&engine->images);
    b2_instruct_free(&engine->instruct);
    b2_score_space_free(&engine->score);
    device->ops->free(device, engine->kv);
    device->ops->free(device, engine->workspace);
    atomic_flag_clear(&engine->model->in_use);
    blip2_model_close(engine->model);
    b2_free(engine);
}

void blip2_engine_close(blip2_engine *engine) {
    if (engine != NULL && b2_scheduler_close(engine))
        b2_engine_free(engine);
}
