/* The defaults are those of transformers' Blip2Config: hub files write down only what differs from
 * them. What a file says about training (dropout, initialisers) is not looked at. */
#include "load/config.h"

#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "load/config_parts.h"
#include "load/json.h"

enum {
    MAX_QUERIES = 4096,
    MAX_IMAGE = 8192,      /* side of a resized picture */
    MAX_PATCHES = 1 << 16, /* of a picture */
    MAX_CONFIG_BYTES = 1 << 20
};

static const b2_config defaults = {
    .model_type = "",
    .vit = {.width = 1408,
            .layers = 39,
            .heads = 16,
            .ffn = 6144,
            .image = 224,
            .patch = 14,
            .act = B2_ACT_GELU,
            .block_eps = 1e-6f},
    .qformer = {.queries = 32,
                .width = 768,
                .layers = 12,
                .heads = 12,
                .ffn = 3072,
                .vocab = 30522,
                .positions = 512,
                .cross_every = 2,
                .act = B2_ACT_GELU,
                .eps = 1e-12f},
    .image = {.mean = {0.48145466f, 0.4578275f, 0.40821073f},
              .std = {0.26862954f, 0.26130258f, 0.27577711f}},
    .image_token = -1,
    .bos = -1,
    .pad = -1,
    .instruction = 128,
    .prompt = 32,
    .itc_width = 256,
};
void b2_config_default(b2_config *out) {
    *out = defaults;
}

/* A picture must be cut into whole patches, and not into absurdly many. */
static void check_patches(b2_fields *f, const char *key, uint32_t width, uint32_t height,
                          uint32_t patch) {
    if (f->status < 0)
        return;
    if (width % patch != 0 || height % patch != 0)
        f->status =
            b2_fail(BLIP2_EFORMAT, "%s: %s%s: expected multiples of the patch size %u, got %ux%u",
                    f->file, f->section, key, patch, width, height);
    else if ((uint64_t)(width / patch) * (height / patch) > MAX_PATCHES)
        f->status = b2_fail(BLIP2_EFORMAT, "%s: %s%s: expected at most %d patches, got %ux%u",
                            f->file, f->section, key, MAX_PATCHES, width / patch, height / patch);
}

blip2_status b2_config_set_image_size(b2_config *config, uint32_t height, uint32_t width) {
    b2_vit_config *vit = &config->vit;
    uint32_t patch = vit->patch;

    if (height == 0 && width == 0)
        return BLIP2_OK;
    if (height == 0 || width == 0 || height > MAX_IMAGE || width > MAX_IMAGE ||
        height % patch != 0 || width % patch != 0 ||
        (uint64_t)(height / patch) * (width / patch) > MAX_PATCHES)
        return b2_fail(BLIP2_EINVAL,
                       "image_height, image_width: got %u and %u, expected multiples of the patch "
                       "size %u up to %d, at most %d patches",
                       height, width, patch, MAX_IMAGE, MAX_PATCHES);
    config->image.height = height;
    config->image.width = width;
    if (height == vit->image && width == vit->image)
        return BLIP2_OK;
    vit->image_height = height;
    vit->image_width = width;
    vit->resize_positions = true;
    return BLIP2_OK;
}

static void read_vit(b2_fields *f, const json_t *top, b2_vit_config *vit) {
    const json_t *object = b2_field_object(f, top, "vision_config");

    f->section = "vision_config.";
    b2_field_u32(f, object, "hidden_size", 1, B2_MAX_WIDTH, &vit->width);
    b2_field_u32(f, object, "num_hidden_layers", 1, B2_MAX_LAYERS, &vit->layers);
    b2_field_u32(f, object, "num_attention_heads", 1, B2_MAX_HEADS, &vit->heads);
    b2_field_u32(f, object, "intermediate_size", 1, B2_MAX_FFN, &vit->ffn);
    b2_field_u32(f, object, "image_size", 1, MAX_IMAGE, &vit->image);
    b2_field_u32(f, object, "patch_size", 1, MAX_IMAGE, &vit->patch);
    b2_field_f32(f, object, "layer_norm_eps", B2_MIN_EPS, B2_MAX_EPS, &vit->block_eps);
    b2_field_activation(f, object, "hidden_act", &vit->act);
    b2_field_must_be(f, object, "qkv_bias", true);
    b2_field_heads(f, vit->width, vit->heads);
    check_patches(f, "image_size", vit->image, vit->image, vit->patch);
    vit->post_eps = vit->block_eps;
    f->section = "";
}

static void read_qformer(b2_fields *f, const json_t *top, b2_qformer_config *q) {
    const json_t *object = b2_field_object(f, top, "qformer_config");

    b2_field_u32(f, top, "num_query_tokens", 1, MAX_QUERIES, &q->queries);
    f->section = "qformer_config.";
    b2_field_u32(f, object, "hidden_size", 1, B2_MAX_WIDTH, &q->width);
    b2_field_u32(f, object, "num_hidden_layers", 1, B2_MAX_LAYERS, &q->layers);
    b2_field_u32(f, object, "num_attention_heads", 1, B2_MAX_HEADS, &q->heads);
    b2_field_u32(f, object, "intermediate_size", 1, B2_MAX_FFN, &q->ffn);
    b2_field_u32(f, object, "vocab_size", 1, B2_MAX_ROWS, &q->vocab);
    b2_field_u32(f, object, "max_position_embeddings", 1, B2_MAX_ROWS, &q->positions);
    b2_field_u32(f, object, "cross_attention_frequency", 1, B2_MAX_LAYERS, &q->cross_every);
    b2_field_f32(f, object, "layer_norm_eps", B2_MIN_EPS, B2_MAX_EPS, &q->eps);
    b2_field_activation(f, object, "hidden_act", &q->act);
    b2_field_bool(f, object, "use_qformer_text_input", &q->text_input);
    b2_field_heads(f, q->width, q->heads);
    f->section = "";
}

/* Without a language model the folder may still carry a text_config, which means nothing. */
static bool has_language(const char *architecture) {
    static const char *const without[] = {
        "Blip2ForImageTextRetrieval", "Blip2VisionModelWithProjection",
        "Blip2TextModelWithProjection", "Blip2VisionModel", "Blip2QFormerModel"};

    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        if (strcmp(architecture, without[i]) == 0)
            return false;
    return true;
}

static void read_top(b2_fields *f, const json_t *top, b2_config *config) {
    const json_t *architectures = json_object_get(top, "architectures");
    const json_t *first = json_array_get(architectures, 0);

    b2_field_text(f, top, "model_type", config->model_type, sizeof config->model_type);
    if (f->status == BLIP2_OK && json_object_get(top, "model_type") == NULL)
        b2_field_fail(f, "model_type", "\"blip-2\"", NULL);
    if (f->status == BLIP2_OK && strcmp(config->model_type, "blip-2") != 0 &&
        strcmp(config->model_type, "instructblip") != 0)
        f->status = b2_fail(BLIP2_ENOTSUP, "%s: model_type: expected \"blip-2\", got \"%s\"",
                            f->file, config->model_type);
    if (first != NULL && json_is_string(first) &&
        json_string_length(first) < sizeof config->architecture)
        memcpy(config->architecture, json_string_value(first), json_string_length(first) + 1);
    else if (architectures != NULL && !json_is_null(architectures))
        b2_field_fail(f, "architectures", "a list that starts with a short name", architectures);
}

blip2_status b2_config_parse(b2_config *out, const char *json, size_t size, const char *name) {
    b2_fields f = {.file = name, .section = ""};
    json_t *top;
    b2_config config = defaults;

    *out = (b2_config){0};
    if ((f.status = b2_json_parse(&top, json, size, name)) < 0)
        return f.status;
    if (!json_is_object(top))
        f.status = b2_fail(BLIP2_EFORMAT, "%s: expected an object, got an array", name);
    read_top(&f, top, &config);
    config.instructed = strcmp(config.model_type, "instructblip") == 0;
    read_vit(&f, top, &config.vit);
    read_qformer(&f, top, &config.qformer);
    config.qformer.text_input = config.qformer.text_input || config.instructed;
    config.qformer.vision_width = config.vit.width;
    b2_field_token(&f, top, "image_token_index", &config.image_token);
    b2_field_u32(&f, top, "image_text_hidden_size", 1, B2_MAX_WIDTH, &config.itc_width);
    if (has_language(config.architecture))
        b2_config_read_language(&f, top, &config);
    config.image.width = config.image.height = config.vit.image;
    if (f.status == BLIP2_OK)
        *out = config;
    json_decref(top);
    return f.status;
}

/* "size": {"height": 224, "width": 224}, or the number alone. */
static void read_size(b2_fields *f, const json_t *object, b2_image_config *image) {
    const json_t *size = json_object_get(object, "size");
    const char *section = f->section;

    if (json_is_integer(size)) {
        b2_field_u32(f, object, "size", 1, MAX_IMAGE, &image->width);
        image->height = image->width;
        return;
    }
    size = b2_field_object(f, object, "size");
    if (size != NULL &&
        (json_object_get(size, "height") == NULL || json_object_get(size, "width") == NULL))
        b2_field_fail(f, "size", "\"height\" and \"width\"", size);
    f->section = *section == '\0' ? "size." : "image_processor.size.";
    b2_field_u32(f, size, "height", 1, MAX_IMAGE, &image->height);
    b2_field_u32(f, size, "width", 1, MAX_IMAGE, &image->width);
    f->section = section;
}

static void read_processor(b2_fields *f, const json_t *object, b2_config *config) {
    b2_image_config *image = &config->image;
    uint32_t resample = 3; /* Pillow's number of bicubic, the one that BLIP-2 was trained with */
    float rescale = 1.0f / 255;

    read_size(f, object, image);
    b2_field_f32_array(f, object, "image_mean", -1000, 1000, 3, image->mean);
    b2_field_f32_array(f, object, "image_std", 1e-6, 1000, 3, image->std);
    b2_field_u32(f, object, "resample", 0, 5, &resample);
    b2_field_f32(f, object, "rescale_factor", 1e-6, 1, &rescale);
    b2_field_must_be(f, object, "do_resize", true);
    b2_field_must_be(f, object, "do_rescale", true);
    b2_field_must_be(f, object, "do_normalize", true);
    b2_field_must_be(f, object, "do_center_crop", false);
    if (f->status == BLIP2_OK && resample != 3)
        f->status = b2_fail(BLIP2_ENOTSUP, "%s: %sresample: expected 3 (bicubic), got %u", f->file,
                            f->section, resample);
    if (f->status == BLIP2_OK && rescale != 1.0f / 255)
        f->status = b2_fail(BLIP2_ENOTSUP, "%s: %srescale_factor: expected 1/255, got %g", f->file,
                            f->section, (double)rescale);
    check_patches(f, "size", image->width, image->height, config->vit.patch);
}

/* The object that describes the image processor, or NULL: a processor_config.json written before
 * transformers 5 speaks of other things. */
static const json_t *find_processor(b2_fields *f, const json_t *top) {
    static const char *const marks[] = {"image_processor_type", "size", "image_mean"};
    const json_t *object = b2_field_object(f, top, "image_processor");

    if (object != NULL) {
        f->section = "image_processor.";
        return object;
    }
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (json_object_get(top, marks[i]) != NULL)
            return top;
    return NULL;
}

blip2_status b2_config_parse_processor(b2_config *config, const char *json, size_t size,
                                       const char *name, bool *found) {
    b2_fields f = {.file = name, .section = ""};
    b2_config changed = *config;
    const json_t *object;
    json_t *top;

    *found = false;
    if ((f.status = b2_json_parse(&top, json, size, name)) < 0)
        return f.status;
    if (!json_is_object(top))
        f.status = b2_fail(BLIP2_EFORMAT, "%s: expected an object, got an array", name);
    object = find_processor(&f, top);
    if (object != NULL)
        read_processor(&f, object, &changed);
    if (f.status == BLIP2_OK) {
        *config = changed;
        *found = object != NULL;
    }
    json_decref(top);
    return f.status;
}

/* Read directory/name whole. Absent gives NULL and BLIP2_OK where that is allowed. */
static blip2_status read_file(uint8_t **out, size_t *size, const char *directory, const char *name,
                              bool optional) {
    char *path = b2_path_join(directory, name);
    blip2_status status = BLIP2_OK;
    struct stat info;

    *out = NULL;
    if (path == NULL)
        return b2_fail_memory();
    if (!optional || lstat(path, &info) == 0) /* a link to nowhere is not absence */
        status = b2_file_read(out, size, path, MAX_CONFIG_BYTES);
    b2_free(path);
    return status;
}

blip2_status b2_config_read(b2_config *out, const char *directory, const b2_log *log) {
    /* In this order transformers 5 looks for the image processor. */
    static const char *const processors[] = {"processor_config.json", "preprocessor_config.json"};
    bool found = false;
    uint8_t *data;
    size_t size;
    blip2_status status;

    *out = (b2_config){0};
    if ((status = read_file(&data, &size, directory, "config.json", false)) < 0)
        return status;
    status = b2_config_parse(out, (const char *)data, size, "config.json");
    b2_free(data);
    for (size_t i = 0; i < 2 && status == BLIP2_OK && !found; i++) {
        if ((status = read_file(&data, &size, directory, processors[i], true)) < 0)
            break;
        if (data != NULL)
            status =
                b2_config_parse_processor(out, (const char *)data, size, processors[i], &found);
        b2_free(data);
    }
    if (status < 0)
        *out = (b2_config){0};
    else if (!found)
        b2_log_write(log, BLIP2_LOG_INFO,
                     "%s: no image processor file; pictures become %ux%u with CLIP's mean and std",
                     directory, out->image.width, out->image.height);
    return status;
}
