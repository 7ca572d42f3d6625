#include "stage1_case.h"

#include <string.h>

#include "base/alloc.h"
#include "kinds.h"

static blip2_status open_model(stage1_case *c, const char *device) {
    blip2_model_options options;
    char *directory;
    blip2_status status;

    if (!json_is_string(c->golden->model))
        return golden_bad(c->golden, "model", "a folder's name", c->golden->model);
    if ((directory = golden_path(c->golden, json_string_value(c->golden->model))) == NULL)
        return b2_fail_memory();
    blip2_model_options_init(&options, sizeof options);
    options.device = device;
    options.compute = (blip2_compute)bench_exact.compute;
    status = blip2_model_open(&c->model, directory, &options);
    b2_free(directory);
    return status < 0 ? status : blip2_engine_open(&c->engine, c->model, NULL);
}

static blip2_status open_image(const stage1_case *c, const json_t *name, blip2_image **out) {
    char *path;
    blip2_status status;

    if (!json_is_string(name))
        return golden_bad(c->golden, "inputs", "a picture's name", name);
    if ((path = golden_path(c->golden, json_string_value(name))) == NULL)
        return b2_fail_memory();
    status = blip2_image_open(out, path, NULL);
    b2_free(path);
    return status;
}

static blip2_status open_video(const stage1_case *c, const json_t *names, blip2_image **out) {
    size_t count = json_array_size(names);
    blip2_image **frames = b2_calloc(count, sizeof(blip2_image *));
    blip2_status status = frames != NULL ? BLIP2_OK : b2_fail_memory();

    for (size_t i = 0; i < count && status == BLIP2_OK; i++)
        status = open_image(c, json_array_get(names, i), &frames[i]);
    if (status == BLIP2_OK)
        status = blip2_image_from_frames(out, (const blip2_image *const *)frames, count);
    for (size_t i = 0; i < count && frames != NULL; i++)
        blip2_image_free(frames[i]);
    b2_free(frames);
    return status;
}

/* Names of pictures, or lists of names: videos. */
static blip2_status open_images(stage1_case *c, const json_t *names) {
    blip2_status status = BLIP2_OK;

    c->image_count = json_array_size(names);
    if ((c->images = b2_calloc(c->image_count, sizeof(blip2_image *))) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < c->image_count && status == BLIP2_OK; i++) {
        const json_t *name = json_array_get(names, i);

        status = (json_is_array(name) ? open_video : open_image)(c, name, &c->images[i]);
    }
    return status;
}

static blip2_status read_texts(stage1_case *c, const json_t *texts, uint32_t max_tokens) {
    blip2_status status = BLIP2_OK;

    c->text_count = json_array_size(texts);
    c->texts = b2_calloc(c->text_count, sizeof(const char *));
    c->tokens = b2_calloc(c->text_count, sizeof *c->tokens);
    if (c->texts == NULL || c->tokens == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < c->text_count && status == BLIP2_OK; i++) {
        b2_tokens *tokens = &c->tokens[i];

        c->texts[i] = json_string_value(json_array_get(texts, i));
        status = b2_tokenizer_encode(c->model->tokenizer, c->texts[i], strlen(c->texts[i]), true,
                                     tokens);
        if (status == BLIP2_OK && tokens->count > max_tokens) {
            tokens->ids[max_tokens - 1] = tokens->ids[tokens->count - 1];
            tokens->count = max_tokens;
        }
    }
    return status;
}

static blip2_status check_inputs(const stage1_case *c) {
    const json_t *inputs = c->golden->inputs;
    const json_t *size = json_object_get(inputs, "image_size");
    uint32_t image = c->model->config.vit.image;

    if (size != NULL && (!json_is_integer(size) || json_integer_value(size) != image))
        return b2_fail(BLIP2_ENOTSUP, "inputs.image_size other than the model's %u", image);
    return BLIP2_OK;
}

blip2_status stage1_case_open(stage1_case *out, const golden_case *golden, const char *device,
                              const char *const *known, uint32_t max_tokens) {
    const json_t *images = NULL, *texts = NULL;
    blip2_status status;

    *out = (stage1_case){.golden = golden};
    if ((status = golden_only(golden->inputs, "inputs.", known)) < 0 ||
        (json_object_get(golden->inputs, "images") != NULL &&
         (status = golden_strings(golden, "images", &images)) < 0) ||
        (json_object_get(golden->inputs, "texts") != NULL &&
         (status = golden_strings(golden, "texts", &texts)) < 0) ||
        (status = open_model(out, device)) < 0 || (status = check_inputs(out)) < 0 ||
        (status = open_images(out, images != NULL ? images
                                                  : json_object_get(golden->inputs, "frames"))) < 0)
        return status;
    return read_texts(out, texts, max_tokens);
}

void stage1_case_close(stage1_case *c) {
    for (size_t i = 0; i < c->image_count && c->images != NULL; i++)
        blip2_image_free(c->images[i]);
    for (size_t i = 0; i < c->text_count && c->tokens != NULL; i++)
        b2_tokens_free(&c->tokens[i]);
    b2_free(c->images);
    b2_free(c->texts);
    b2_free(c->tokens);
    blip2_engine_close(c->engine);
    blip2_model_close(c->model);
    *c = (stage1_case){0};
}

/* Text i padded to the length of the expected row; more of it is left for the comparison to find.
 */
static json_t *padded(const stage1_case *c, const char *key, size_t i, bool mask) {
    const json_t *row = json_array_get(json_object_get(c->golden->expect, key), i);
    const b2_tokens *tokens = &c->tokens[i];
    size_t length = json_array_size(row) > tokens->count ? json_array_size(row) : tokens->count;
    json_t *list = json_array();

    for (size_t k = 0; k < length; k++)
        list_add(&list, json_integer(k >= tokens->count ? 0 : mask ? 1 : tokens->ids[k]));
    return list;
}

static blip2_status compare_list(const stage1_case *c, const char *key, bool mask, verdict *v) {
    json_t *all;

    if (json_object_get(c->golden->expect, key) == NULL)
        return BLIP2_OK;
    all = json_array();
    for (size_t i = 0; i < c->text_count; i++)
        list_add(&all, padded(c, key, i, mask));
    return verdict_value(v, key, all, NULL);
}

blip2_status stage1_case_compare_ids(const stage1_case *c, verdict *v) {
    blip2_status status = compare_list(c, "input_ids", false, v);

    return status < 0 ? status : compare_list(c, "attention_mask", true, v);
}
