/* Forward cases, of Hugging Face models and of LAVIS's with OPT: one pass over pictures and
 * prompts, logits of EVERY position. The engine never wants those, so the batch is packed here,
 * with the engine's own pieces: its requests, its packing and its pages, and one row of logits for
 * each row. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "engine/batch.h"
#include "engine/images.h"
#include "engine/instruct.h"
#include "hf_batch.h"
#include "kinds.h"
#include "watch.h"

enum { PAGE_TOKENS = 16, MAX_DECODER_IDS = 1024 };

typedef struct forward {
    hf_batch hf;
    b2_request **requests;  /* [B] */
    uint32_t rows;          /* N, of all sequences */
    uint32_t length;        /* T, of one, with pads */
    uint32_t instruct_rows; /* of the Q-Former, where it reads the prompts */
    uint32_t read_rows;     /* of all prompts, where an encoder reads them */
    uint32_t next_page;
    uint32_t max_pages; /* of one sequence, or prompt that is read */
    b2_encode_space encode;
    b2_images images; /* picture i at place i */
    b2_instruct instruct;
    b2_language_space language;
    b2_batch batch;
    int32_t *logit_rows; /* device [N]: 0, 1, 2, ... */
    void *memory;        /* device: all of the above */
    void *kv;            /* device: the pages */
    b2_kv_layout layout;
} forward;

static void carve(forward *f, b2_carver *carver) {
    uint32_t most = f->rows > f->read_rows ? f->rows : f->read_rows;

    b2_encode_carve(&f->encode, carver, f->hf.model, f->hf.count,
                    b2_images_keep_cross(f->hf.model));
    b2_images_carve(&f->images, carver, f->hf.model, f->hf.count);
    b2_instruct_carve(&f->instruct, carver, f->hf.model, f->hf.count, 1, f->instruct_rows);
    b2_language_carve(&f->language, carver, &f->hf.model->language, most, f->rows);
    b2_batch_carve(&f->batch, carver, most, f->hf.count, f->max_pages, 1, f->hf.count,
                   f->hf.model->writer.reads);
    f->logit_rows = b2_carve(carver, f->rows, sizeof *f->logit_rows);
}

/* Behind an encoder the case gives the sequences, of one length: start token and all. */
static blip2_status take_decoder_ids(forward *f, b2_request *request, uint32_t i) {
    const json_t *all = json_object_get(f->hf.golden->inputs, "decoder_input_ids");
    const json_t *ids = json_array_get(all, i);

    if (json_array_size(all) != f->hf.count || json_array_size(ids) != f->length)
        return golden_bad(f->hf.golden, "inputs.decoder_input_ids", "a list of one length a row",
                          all);
    for (uint32_t t = 0; t < f->length; t++) {
        const json_t *id = json_array_get(ids, t);

        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= f->hf.model->writer.vocab)
            return golden_bad(f->hf.golden, "inputs.decoder_input_ids", "ids of words", id);
        request->ids[t] = (int32_t)json_integer_value(id);
    }
    request->id_count = f->length;
    return BLIP2_OK;
}

/* The request's pages, one after the other: its sequence's, then those of what is read. */
static blip2_status take_pages(forward *f, b2_request *request) {
    uint32_t rows = b2_request_pending(request), read = b2_reading_rows(&request->reading);
    uint32_t own = (rows + PAGE_TOKENS - 1) / PAGE_TOKENS;

    request->reading.page_count = (read + PAGE_TOKENS - 1) / PAGE_TOKENS;
    request->page_count = own + request->reading.page_count;
    request->pages = b2_alloc_array(request->page_count, sizeof *request->pages);
    if (request->pages == NULL)
        return b2_fail_memory();
    for (uint32_t p = 0; p < request->page_count; p++)
        request->pages[p] = (int32_t)f->next_page++;
    f->rows += rows;
    f->read_rows += read;
    f->max_pages =
        (uint32_t)b2_size_max(f->max_pages, b2_size_max(own, request->reading.page_count));
    return BLIP2_OK;
}

/* A request for each row. */
static blip2_status open_requests(forward *f) {
    bool reads = f->hf.model->writer.reads;
    const json_t *ids = json_object_get(f->hf.golden->inputs, "decoder_input_ids");
    b2_request_options options = {.max_new_tokens = 1, .repetition_penalty = 1.0f};
    blip2_status status;

    f->length = reads ? (uint32_t)json_array_size(json_array_get(ids, 0)) : f->hf.padded_length;
    if (reads ? f->length == 0 || f->length > MAX_DECODER_IDS : ids != NULL)
        return golden_bad(f->hf.golden, "inputs.decoder_input_ids", "lists of ids", ids);
    if (reads)
        options.max_new_tokens = f->length;
    if ((f->requests = b2_calloc(f->hf.count, sizeof(b2_request *))) == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < f->hf.count; i++) {
        options.prompt = f->hf.rows[i].prompt;
        status = b2_request_open(&f->requests[i], f->hf.model, f->hf.rows[i].image, &options);
        if (status < 0 || (reads && (status = take_decoder_ids(f, f->requests[i], i)) < 0) ||
            (status = take_pages(f, f->requests[i])) < 0)
            return status;
        f->instruct_rows += f->hf.queries + (uint32_t)f->requests[i]->instruction.count;
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
        (status = device->ops->alloc(device, &f->kv, page * f->next_page)) < 0)
        return status;
    carver = (b2_carver){.base = f->memory};
    carve(f, &carver);
    if ((status = b2_batch_init(&f->batch)) < 0 || (status = b2_instruct_init(&f->instruct)) < 0 ||
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

static void bind(forward *f) {
    bool instructed = f->hf.model->config.instructed;

    f->batch.packed.soft = instructed ? f->instruct.soft : f->images.where.soft;
    f->batch.packed.kv.pages = f->kv;
    f->batch.packed.kv.layout = f->layout;
}

static blip2_status instruct(forward *f, const b2_run *on) {
    if (!f->hf.model->config.instructed)
        return BLIP2_OK;
    b2_instruct_begin(&f->instruct);
    for (uint32_t i = 0; i < f->hf.count; i++) {
        const b2_tokens *ids = &f->requests[i]->instruction;

        (void)b2_instruct_add(&f->instruct, b2_instruct_row(&f->instruct, i), i, ids->ids,
                              (uint32_t)ids->count);
    }
    return b2_instruct_run(&f->instruct, f->hf.model, on, &f->images);
}

static blip2_status read_prompts(forward *f, const b2_run *on) {
    const blip2_model *model = f->hf.model;
    blip2_status status;

    if (!model->writer.reads)
        return BLIP2_OK;
    b2_batch_begin(&f->batch);
    for (uint32_t i = 0; i < f->hf.count; i++)
        b2_batch_add_reading(&f->batch, f->requests[i], i * f->hf.queries, PAGE_TOKENS);
    bind(f);
    if ((status = b2_batch_send(&f->batch, model->device)) < 0)
        return status;
    return b2_language_read(&model->language, on, &f->language, &f->batch.packed);
}

/* Of Llama, transformers' forward counts pads as positions, which its generate does not. */
static void count_pads(forward *f) {
    int32_t *position = f->batch.host.positions;

    for (uint32_t i = 0; i < f->hf.count; i++) {
        position += f->hf.queries;
        for (size_t t = 0; t < f->hf.rows[i].ids.count; t++)
            *position++ += (int32_t)f->hf.rows[i].pads;
    }
}

static blip2_status run(forward *f, const b2_trace *trace, b2_mat *logits) {
    const blip2_model *model = f->hf.model;
    const b2_run on = {.device = model->device, .trace = trace};
    blip2_status status;

    for (uint32_t i = 0; i < f->hf.count; i++)
        if ((status = b2_encode_pixels(model, &f->encode, i, f->hf.rows[i].image)) < 0)
            return status;
    if ((status = b2_encode_run(model, &on, &f->encode, f->hf.count, &f->images.where)) < 0 ||
        (status = instruct(f, &on)) < 0 || (status = read_prompts(f, &on)) < 0)
        return status;
    b2_batch_begin(&f->batch);
    for (uint32_t i = 0; i < f->hf.count; i++)
        b2_batch_add(&f->batch, f->requests[i], i * f->hf.queries,
                     b2_request_pending(f->requests[i]), PAGE_TOKENS);
    if (model->config.language == B2_LANGUAGE_LLAMA)
        count_pads(f);
    bind(f);
    if ((status = b2_batch_send(&f->batch, model->device)) < 0 || (status = want_all_rows(f)) < 0)
        return status;
    return b2_language_run(&model->language, &on, &f->language, &f->batch.packed, logits);
}

/* -log of the probability of `id` in a row of logits [V]. */
static double surprise(const float *row, int64_t vocab, int32_t id) {
    double most = row[0], sum = 0;

    for (int64_t k = 1; k < vocab; k++)
        most = row[k] > most ? row[k] : most;
    for (int64_t k = 0; k < vocab; k++)
        sum += exp(row[k] - most);
    return log(sum) + most - row[id];
}

/* Of LAVIS's forward: the mean over the tokens behind the model's own prompt. got: [N, V]. */
static blip2_status compare_loss(const forward *f, verdict *v, const float *got, int64_t vocab) {
    b2_tokens prompt = {0};
    b2_lavis model;
    const char *text;
    double sum = 0;
    size_t count = 0, row = 0;
    blip2_status status = b2_lavis_open(&model, f->hf.model->directory);

    if (status < 0)
        return status;
    text = json_string_value(json_object_get(json_object_get(model.json, "hyper"), "prompt"));
    if (text != NULL && *text != '\0')
        status = b2_tokenizer_encode(f->hf.model->tokenizer, text, strlen(text), true, &prompt);
    b2_lavis_close(&model);
    for (uint32_t i = 0; i < f->hf.count && status == BLIP2_OK; i++) {
        const b2_tokens *ids = &f->hf.rows[i].ids;

        row += f->hf.queries;
        for (size_t t = prompt.count; t < ids->count; t++, count++)
            sum += surprise(got + (row + t - 1) * (size_t)vocab, vocab, ids->ids[t]);
        row += ids->count;
    }
    b2_tokens_free(&prompt);
    return status < 0 ? status : verdict_numbers(v, "loss", json_real(sum / (double)count), "loss");
}

/* logits: expected [B, T, V] with pads, ours [N, V] without. */
static blip2_status compare_logits(const forward *f, verdict *v, const b2_mat *logits) {
    size_t count = (size_t)f->hf.count * f->length;
    const b2_tensor *expected = b2_weights_find(f->hf.golden->expect_tensors, "logits");
    int64_t *row_of = b2_alloc_array(count, sizeof *row_of), next = 0;
    bool padded = !f->hf.model->writer.reads;
    float *got = NULL;
    blip2_status status = row_of != NULL ? BLIP2_OK : b2_fail_memory();

    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        uint32_t row = (uint32_t)(i / f->length);

        bool pad = padded && hf_batch_is_pad(&f->hf, row, i % f->length);

        row_of[i] = pad ? -1 : next++;
    }
    if (status == BLIP2_OK && expected->rank == 3 && expected->dim[0] == f->hf.count &&
        expected->dim[1] == f->length) {
        if ((status = bench_download(f->hf.model->device, logits, &got)) == BLIP2_OK)
            status = verdict_tensor(v, "logits", got, logits->rows, logits->cols, row_of);
        if (status == BLIP2_OK && json_object_get(f->hf.golden->expect, "loss") != NULL)
            status = compare_loss(f, v, got, logits->cols);
    } else if (status == BLIP2_OK) {
        verdict_fail(v, "logits: got %u rows of %u positions, expected another number", f->hf.count,
                     f->length);
    }
    b2_free(got);
    b2_free(row_of);
    return status;
}

static void forward_close(forward *f) {
    b2_batch_free(&f->batch);
    b2_images_free(&f->images);
    b2_instruct_free(&f->instruct);
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
    static const char *const known[] = {"images",
                                        "preprocess",
                                        "image_size",
                                        "prompts",
                                        "texts",
                                        "padding_side",
                                        "decoder_input_ids",
                                        "pixel_size_h_w",
                                        "interpolate_pos_encoding",
                                        NULL};
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
