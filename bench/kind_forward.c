/* Forward cases of Hugging Face models: one pass over pictures and prompts, logits of EVERY
 * position. The engine never wants those, so the batch is packed here, with the engine's own
 * pieces: its requests, its packing and its pages, and one row of logits for each row. */
#include "base/alloc.h"
#include "engine/batch.h"
#include "engine/images.h"
#include "hf_batch.h"
#include "kinds.h"
#include "watch.h"

enum { PAGE_TOKENS = 16 };

typedef struct forward {
    hf_batch hf;
    b2_request **requests; /* [B] */
    uint32_t rows;         /* N, of all prompts */
    uint32_t max_pages;    /* of one prompt */
    b2_encode_space encode;
    b2_images images; /* picture i at place i */
    b2_language_space language;
    b2_batch batch;
    int32_t *logit_rows; /* device [N]: 0, 1, 2, ... */
    void *memory;        /* device: all of the above */
    void *kv;            /* device: the pages */
    b2_kv_layout layout;
} forward;

static void carve(forward *f, b2_carver *carver) {
    b2_encode_carve(&f->encode, carver, f->hf.model, f->hf.count,
                    b2_images_keep_cross(f->hf.model));
    b2_images_carve(&f->images, carver, f->hf.model, f->hf.count);
    b2_language_carve(&f->language, carver, &f->hf.model->language, f->rows, f->rows);
    b2_batch_carve(&f->batch, carver, f->rows, f->hf.count, f->max_pages, 1);
    f->logit_rows = b2_carve(carver, f->rows, sizeof *f->logit_rows);
}

/* A request for each row, with pages of its own, one after the other. */
static blip2_status open_requests(forward *f) {
    const b2_request_options options = {.max_new_tokens = 1, .repetition_penalty = 1.0f};
    uint32_t next = 0;
    blip2_status status;

    if ((f->requests = b2_calloc(f->hf.count, sizeof(b2_request *))) == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < f->hf.count; i++) {
        b2_request_options own = options;
        b2_request *request;
        uint32_t rows;

        own.prompt = f->hf.rows[i].prompt;
        status = b2_request_open(&request, f->hf.model, f->hf.rows[i].image, &own);
        f->requests[i] = request;
        if (status < 0)
            return status;
        rows = b2_request_pending(request);
        request->page_count = (rows + PAGE_TOKENS - 1) / PAGE_TOKENS;
        request->pages = b2_alloc_array(request->page_count, sizeof *request->pages);
        if (request->pages == NULL)
            return b2_fail_memory();
        for (uint32_t p = 0; p < request->page_count; p++)
            request->pages[p] = (int32_t)next++;
        f->rows += rows;
        f->max_pages = request->page_count > f->max_pages ? request->page_count : f->max_pages;
    }
    return BLIP2_OK;
}

static blip2_status allocate(forward *f) {
    const b2_writer *writer = &f->hf.model->writer;
    b2_device *device = f->hf.model->device;
    size_t page = (size_t)writer->layers * 2 * writer->width * PAGE_TOKENS * sizeof(float);
    b2_carver carver = {0};
    blip2_status status;

    f->layout = (b2_kv_layout){.type = B2_F32,
                               .layers = writer->layers,
                               .heads = writer->heads,
                               .head_size = writer->width / writer->heads,
                               .page_tokens = PAGE_TOKENS,
                               .page_bytes = page};
    carve(f, &carver);
    if (carver.overflow)
        return b2_fail_memory();
    if ((status = device->ops->alloc(device, &f->memory, carver.used)) < 0 ||
        (status = device->ops->alloc(device, &f->kv, page * f->max_pages * f->hf.count)) < 0)
        return status;
    carver = (b2_carver){.base = f->memory};
    carve(f, &carver);
    if ((status = b2_batch_init(&f->batch)) < 0 ||
        (status = b2_images_init(&f->images, f->hf.count)) < 0)
        return status;
    for (uint32_t i = 0; i < f->hf.count; i++)
        f->images.where.slots[i] = i;
    return b2_encode_prepare(f->hf.model, &f->encode);
}

/* 0, 1, 2, ... to the device. */
static blip2_status want_all_rows(forward *f) {
    b2_device *device = f->hf.model->device;
    int32_t *host = b2_alloc_array(f->rows, sizeof *host);
    blip2_status status;

    if (host == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < f->rows; i++)
        host[i] = (int32_t)i;
    status = device->ops->upload(device, f->logit_rows, host, f->rows * sizeof *host);
    b2_free(host);
    f->batch.packed.logit_rows = f->logit_rows;
    f->batch.packed.logit_count = f->rows;
    return status;
}

static blip2_status run(forward *f, const b2_trace *trace, b2_mat *logits) {
    const blip2_model *model = f->hf.model;
    const b2_run on = {.device = model->device, .trace = trace};
    blip2_status status;

    for (uint32_t i = 0; i < f->hf.count; i++)
        if ((status = b2_encode_pixels(model, &f->encode, i, f->hf.rows[i].image)) < 0)
            return status;
    if ((status = b2_encode_run(model, &on, &f->encode, f->hf.count, &f->images.where)) < 0)
        return status;
    b2_batch_begin(&f->batch);
    for (uint32_t i = 0; i < f->hf.count; i++)
        b2_batch_add(&f->batch, f->requests[i], i * f->hf.queries, PAGE_TOKENS);
    f->batch.packed.soft = f->images.where.soft;
    f->batch.packed.kv.pages = f->kv;
    f->batch.packed.kv.layout = f->layout;
    if ((status = b2_batch_send(&f->batch, model->device)) < 0 || (status = want_all_rows(f)) < 0)
        return status;
    return b2_language_run(&model->language, &on, &f->language, &f->batch.packed, logits);
}

/* logits: expected [B, T, V] with pads, ours [N, V] without. */
static blip2_status compare_logits(const forward *f, verdict *v, const b2_mat *logits) {
    size_t count = (size_t)f->hf.count * f->hf.prompt_length;
    const b2_tensor *expected = b2_weights_find(f->hf.golden->expect_tensors, "logits");
    int64_t *row_of = b2_alloc_array(count, sizeof *row_of), next = 0;
    float *got = NULL;
    blip2_status status = row_of != NULL ? BLIP2_OK : b2_fail_memory();

    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        size_t t = i % f->hf.prompt_length;
        bool pad = t >= f->hf.queries &&
                   t < (size_t)f->hf.queries + f->hf.rows[i / f->hf.prompt_length].pads;

        row_of[i] = pad ? -1 : next++;
    }
    if (status == BLIP2_OK && expected->rank == 3 && expected->dim[0] == f->hf.count &&
        expected->dim[1] == f->hf.prompt_length) {
        if ((status = bench_download(f->hf.model->device, logits, &got)) == BLIP2_OK)
            status = verdict_tensor(v, "logits", got, logits->rows, logits->cols, row_of);
    } else if (status == BLIP2_OK) {
        verdict_fail(v, "logits: got %u rows of %u positions, expected another number", f->hf.count,
                     f->hf.prompt_length);
    }
    b2_free(got);
    b2_free(row_of);
    return status;
}

static void forward_close(forward *f) {
    b2_batch_free(&f->batch);
    b2_images_free(&f->images);
    b2_encode_free(&f->encode);
    if (f->hf.model != NULL) {
        b2_device *device = f->hf.model->device;

        device->ops->free(device, f->kv);
        device->ops->free(device, f->memory);
    }
    for (uint32_t i = 0; i < f->hf.count && f->requests != NULL; i++)
        b2_request_close(f->requests[i]);
    b2_free(f->requests);
    hf_batch_close(&f->hf);
}

blip2_status run_forward(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",  "preprocess",   "image_size",
                                        "prompts", "padding_side", NULL};
    static const watch_name names[] = {{"vit.features", "vision_last_hidden", false},
                                       {"qformer.out", "qformer_out", false},
                                       {"soft_prompt", "soft_prompt", false}};
    forward f = {0};
    watch w;
    b2_mat logits;
    blip2_status status = hf_batch_open(&f.hf, golden, device, known);

    if (status < 0 || (status = hf_batch_compare(&f.hf, v)) < 0 ||
        (status = open_requests(&f)) < 0 || (status = allocate(&f)) < 0)
        goto out;
    watch_init(&w, f.hf.model->device, v, names, sizeof names / sizeof *names);
    if ((status = run(&f, &w.trace, &logits)) < 0 || (status = w.status) < 0)
        goto out;
    if (verdict_expects(v, "logits"))
        status = compare_logits(&f, v, &logits);
out:
    forward_close(&f);
    return status;
}
