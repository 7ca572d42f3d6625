#include "hf_batch.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "image/image.h"
#include "kinds.h"
#include "lists.h"

/* The size of pictures where that is not the model's: with interpolate_pos_encoding, [height,
 * width].
 */
static blip2_status read_size(const golden_case *golden, blip2_model_options *options) {
    const json_t *size = json_object_get(golden->inputs, "pixel_size_h_w");
    bool interpolated = json_is_true(json_object_get(golden->inputs, "interpolate_pos_encoding"));
    json_int_t height = json_integer_value(json_array_get(size, 0));
    json_int_t width = json_integer_value(json_array_get(size, 1));

    if (size == NULL && !interpolated)
        return BLIP2_OK;
    if (!interpolated)
        return b2_fail(BLIP2_ENOTSUP, "inputs.pixel_size_h_w without interpolate_pos_encoding");
    if (json_array_size(size) != 2 || height < 1 || height > INT32_MAX || width < 1 ||
        width > INT32_MAX)
        return golden_bad(golden, "inputs.pixel_size_h_w", "a height and a width", size);
    options->image_height = (uint32_t)height;
    options->image_width = (uint32_t)width;
    return BLIP2_OK;
}

static blip2_status open_model(hf_batch *out, const char *device) {
    blip2_model_options options;
    char *directory;
    blip2_status status;

    if (!json_is_string(out->golden->model))
        return golden_bad(out->golden, "model", "a folder's name", out->golden->model);
    if ((directory = golden_path(out->golden, json_string_value(out->golden->model))) == NULL)
        return b2_fail_memory();
    blip2_model_options_init(&options, sizeof options);
    options.device = device;
    options.compute = (blip2_compute)bench_exact.compute;
    status = read_size(out->golden, &options);
    if (status == BLIP2_OK)
        status = blip2_model_open(&out->model, directory, &options);
    b2_free(directory);
    if (status < 0)
        return status;
    if (out->model->config.language == B2_LANGUAGE_NONE)
        return b2_fail(BLIP2_ENOTSUP, "a model without language model");
    out->queries = out->model->config.qformer.queries;
    return BLIP2_OK;
}

static blip2_status copy_prompt(const hf_batch *batch, hf_row *row, const char *prompt) {
    b2_text_buffer text = {0};

    b2_text_appendf(&text, "%s%s", prompt, batch->lavis ? "\n" : "");
    return (row->prompt = b2_text_take(&text)) != NULL ? BLIP2_OK : b2_fail_memory();
}

static blip2_status read_rows(hf_batch *out) {
    const char *key = out->lavis ? "texts" : "prompts";
    const json_t *images, *prompts = json_object_get(out->golden->inputs, key);
    blip2_status status = golden_strings(out->golden, "images", &images);

    if (status < 0)
        return status;
    if (json_is_null(prompts))
        prompts = NULL;
    else if ((status = golden_strings(out->golden, key, &prompts)) < 0)
        return status;
    if (json_array_size(images) == 0 || json_array_size(images) > 1024 ||
        (prompts != NULL && json_array_size(prompts) != json_array_size(images)))
        return golden_bad(out->golden, "inputs.images", "as many as prompts", images);
    if ((out->rows = b2_calloc(json_array_size(images), sizeof *out->rows)) == NULL)
        return b2_fail_memory();
    out->count = (uint32_t)json_array_size(images);
    for (uint32_t i = 0; i < out->count; i++) {
        hf_row *row = &out->rows[i];
        char *path = golden_path(out->golden, json_string_value(json_array_get(images, i)));

        status = path != NULL ? blip2_image_open(&row->image, path, NULL) : b2_fail_memory();
        b2_free(path);
        if (status < 0)
            return status;
        if (prompts != NULL &&
            (status = copy_prompt(out, row, json_string_value(json_array_get(prompts, i)))) < 0)
            return status;
    }
    return BLIP2_OK;
}

static blip2_status encode(const b2_tokenizer *tokenizer, const char *prompt, b2_tokens *out) {
    return tokenizer == NULL ? BLIP2_OK
                             : b2_tokenizer_encode(tokenizer, prompt, strlen(prompt), true, out);
}

/* Prompt ids, and how many pads the longest of them gives the others. */
static blip2_status encode_prompts(hf_batch *out) {
    size_t longest = 0;
    blip2_status status;

    for (uint32_t i = 0; i < out->count; i++) {
        const char *prompt = out->rows[i].prompt != NULL ? out->rows[i].prompt : "";

        if ((status = encode(out->model->tokenizer, prompt, &out->rows[i].ids)) < 0 ||
            (status = encode(out->model->instructions, prompt, &out->rows[i].reads)) < 0)
            return status;
        longest = out->rows[i].ids.count > longest ? out->rows[i].ids.count : longest;
    }
    for (uint32_t i = 0; i < out->count; i++)
        out->rows[i].pads = (uint32_t)(longest - out->rows[i].ids.count);
    out->padded_length = out->queries + (uint32_t)longest;
    out->prompt_length = out->model->writer.reads ? 1 : out->padded_length;
    return BLIP2_OK;
}

static blip2_status check_inputs(const hf_batch *batch) {
    const json_t *inputs = batch->golden->inputs;
    const json_t *side = json_object_get(inputs, "padding_side");
    const json_t *size = json_object_get(inputs, "image_size");
    uint32_t image = batch->model->config.vit.image;
    const char *expected = batch->model->writer.reads ? "right" : "left";

    if (!batch->lavis && (!json_is_string(side) || strcmp(json_string_value(side), expected) != 0))
        return b2_fail(BLIP2_ENOTSUP, "inputs.padding_side other than %s", expected);
    if (json_object_get(inputs, "pixel_size_h_w") == NULL &&
        (!json_is_integer(size) || json_integer_value(size) != image))
        return b2_fail(BLIP2_ENOTSUP, "inputs.image_size other than the model's %u", image);
    return BLIP2_OK;
}

blip2_status hf_batch_open(hf_batch *out, const golden_case *golden, const char *device,
                           const char *const *known) {
    blip2_status status;

    *out = (hf_batch){.golden = golden, .lavis = json_object_get(golden->inputs, "texts") != NULL};
    if ((status = golden_only(golden->inputs, "inputs.", known)) < 0 ||
        (status = open_model(out, device)) < 0 || (status = check_inputs(out)) < 0 ||
        (status = read_rows(out)) < 0)
        return status;
    return encode_prompts(out);
}

void hf_batch_close(hf_batch *batch) {
    for (uint32_t i = 0; i < batch->count; i++) {
        blip2_image_free(batch->rows[i].image);
        b2_free(batch->rows[i].prompt);
        b2_tokens_free(&batch->rows[i].ids);
        b2_tokens_free(&batch->rows[i].reads);
    }
    b2_free(batch->rows);
    blip2_model_close(batch->model);
    *batch = (hf_batch){0};
}

bool hf_batch_is_pad(const hf_batch *batch, uint32_t i, size_t t) {
    const hf_row *row = &batch->rows[i];
    bool right = batch->lavis || batch->model->writer.reads;
    size_t first = right ? batch->padded_length - row->pads : batch->queries;

    return t >= first && t < first + row->pads;
}

json_t *hf_batch_ids(const hf_batch *batch, uint32_t i, bool mask) {
    const b2_config *config = &batch->model->config;
    const hf_row *row = &batch->rows[i];
    json_t *list = json_array();
    uint32_t next = 0;

    for (uint32_t t = batch->lavis ? batch->queries : 0; t < batch->padded_length; t++) {
        json_int_t id;

        if (t < batch->queries)
            id = mask ? 1 : config->image_token;
        else if (hf_batch_is_pad(batch, i, t))
            id = mask ? 0 : config->pad;
        else
            id = mask ? 1 : row->ids.ids[next++];
        list_add(&list, json_integer(id));
    }
    return list;
}

json_t *hf_batch_start(const hf_batch *batch, uint32_t i) {
    return batch->model->writer.reads ? json_pack("[i]", (int)batch->model->writer.start)
                                      : hf_batch_ids(batch, i, false);
}

/* The Q-Former's text of row i, which the original padded on the right. */
static json_t *reads_ids(const hf_batch *batch, uint32_t i, bool mask) {
    const b2_tokens *own = &batch->rows[i].reads;
    int32_t pad = b2_tokenizer_find(batch->model->instructions, "[PAD]");
    size_t longest = 0;
    json_t *list = json_array();

    for (uint32_t r = 0; r < batch->count; r++)
        longest = b2_size_max(longest, batch->rows[r].reads.count);
    for (size_t t = 0; t < longest; t++) {
        json_int_t id = t < own->count ? own->ids[t] : pad;

        list_add(&list, json_integer(mask ? t < own->count : id));
    }
    return list;
}

typedef json_t *(*row_fn)(const hf_batch *batch, uint32_t i, bool mask);

static blip2_status compare_list(const hf_batch *batch, const char *key, bool mask, row_fn row,
                                 verdict *v) {
    json_t *all = json_array();

    if (json_object_get(batch->golden->expect, key) == NULL) {
        json_decref(all);
        return BLIP2_OK;
    }
    for (uint32_t i = 0; i < batch->count; i++)
        if (json_array_append_new(all, row(batch, i, mask)) != 0) {
            json_decref(all);
            return b2_fail_memory();
        }
    return verdict_value(v, key, all, NULL);
}

blip2_status hf_batch_compare(const hf_batch *batch, verdict *v) {
    blip2_status status;

    if ((status = compare_list(batch, "input_ids", false, hf_batch_ids, v)) < 0 ||
        (status = compare_list(batch, "attention_mask", true, hf_batch_ids, v)) < 0 ||
        batch->model->instructions == NULL)
        return status;
    if ((status = compare_list(batch, "qformer_input_ids", false, reads_ids, v)) < 0)
        return status;
    return compare_list(batch, "qformer_attention_mask", true, reads_ids, v);
}
