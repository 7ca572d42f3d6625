#include "lavis.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "load/json.h"

enum { MAX_JSON_BYTES = 1 << 20, MAX_SIZE = 1 << 20 };

blip2_status lavis_open(lavis_model *out, const golden_case *golden, const char *relative) {
    uint8_t *text = NULL;
    size_t size;
    blip2_status status = BLIP2_OK;

    *out = (lavis_model){.directory = golden_path(golden, relative)};
    if (out->directory == NULL || (out->file = b2_path_join(out->directory, "model.json")) == NULL)
        status = b2_fail_memory();
    else if ((status = b2_file_read(&text, &size, out->file, MAX_JSON_BYTES)) == BLIP2_OK)
        status = b2_json_parse(&out->json, (const char *)text, size, out->file);
    b2_free(text);
    if (status < 0)
        lavis_close(out);
    return status == BLIP2_EFORMAT ? BLIP2_EINVAL : status;
}

void lavis_close(lavis_model *model) {
    json_decref(model->json);
    b2_free(model->file);
    b2_free(model->directory);
    *model = (lavis_model){0};
}

blip2_status lavis_weights_path(const lavis_model *model, const char *key, char **out) {
    b2_fields fields = {.file = model->file, .section = ""};
    char name[128] = "";

    *out = NULL;
    b2_field_text(&fields, model->json, key, name, sizeof name);
    if (name[0] == '\0')
        b2_field_fail(&fields, key, "a file name", json_object_get(model->json, key));
    if (fields.status < 0)
        return golden_check(&fields);
    *out = b2_path_join(model->directory, name);
    return *out != NULL ? BLIP2_OK : b2_fail_memory();
}

/* A field that has no default. */
static void need_u32(b2_fields *fields, const json_t *object, const char *key, uint32_t *out) {
    *out = 0;
    b2_field_u32(fields, object, key, 1, MAX_SIZE, out);
    if (*out == 0)
        b2_field_fail(fields, key, "a size", json_object_get(object, key));
}

static void need_f32(b2_fields *fields, const json_t *object, const char *key, float *out) {
    *out = 0;
    b2_field_f32(fields, object, key, 1e-30, 1, out);
    if (*out == 0)
        b2_field_fail(fields, key, "a small number", json_object_get(object, key));
}

blip2_status lavis_vit_config(const lavis_model *model, uint32_t image, b2_vit_config *out) {
    b2_fields fields = {.file = model->file, .section = "hyper."};
    const json_t *hyper = json_object_get(model->json, "hyper");
    char tower[32] = "", act[32] = "";

    *out = (b2_vit_config){.image = image, .resize_positions = true};
    b2_field_text(&fields, model->json, "vit_model", tower, sizeof tower);
    out->clip = strcmp(tower, "clip_L") == 0;
    out->act = out->clip ? B2_ACT_QUICK_GELU : B2_ACT_GELU;
    if (fields.status == BLIP2_OK && !out->clip && strcmp(tower, "eva_clip_g") != 0)
        return b2_fail(BLIP2_ENOTSUP, "vision tower %s", tower);
    need_u32(&fields, hyper, "embed_dim", &out->width);
    need_u32(&fields, hyper, "depth", &out->layers);
    need_u32(&fields, hyper, "num_heads", &out->heads);
    need_u32(&fields, hyper, "mlp_hidden", &out->ffn);
    need_u32(&fields, hyper, "patch_size", &out->patch);
    need_f32(&fields, hyper, "block_ln_eps", &out->block_eps);
    b2_field_text(&fields, hyper, "act", act, sizeof act);
    if (strcmp(act, out->clip ? "quick_gelu" : "gelu_erf") != 0)
        b2_field_fail(&fields, "act", "\"gelu_erf\", of clip_L \"quick_gelu\"",
                      json_object_get(hyper, "act"));
    if (fields.status == BLIP2_OK)
        b2_field_heads(&fields, out->width, out->heads);
    if (fields.status == BLIP2_OK && (image == 0 || image % out->patch != 0))
        return b2_fail(BLIP2_EINVAL, "%s: pictures of %u pixels are no whole number of patches",
                       model->file, image);
    return golden_check(&fields);
}

blip2_status lavis_qformer_config(const lavis_model *model, uint32_t vision_width,
                                  b2_qformer_config *out) {
    b2_fields fields = {.file = model->file, .section = "hyper.bert."};
    const json_t *hyper = json_object_get(model->json, "hyper");
    const json_t *bert = json_object_get(hyper, "bert");

    *out = (b2_qformer_config){.vision_width = vision_width, .act = B2_ACT_GELU};
    need_u32(&fields, bert, "hidden_size", &out->width);
    need_u32(&fields, bert, "num_attention_heads", &out->heads);
    need_u32(&fields, bert, "num_hidden_layers", &out->layers);
    need_u32(&fields, bert, "intermediate_size", &out->ffn);
    need_u32(&fields, bert, "max_position_embeddings", &out->positions);
    need_u32(&fields, bert, "cross_attention_freq", &out->cross_every);
    need_f32(&fields, bert, "layer_norm_eps", &out->eps);
    if (fields.status == BLIP2_OK)
        b2_field_heads(&fields, out->width, out->heads);
    fields.section = "hyper.";
    need_u32(&fields, hyper, "num_query_token", &out->queries);
    return golden_check(&fields);
}

blip2_status lavis_ln_vision_eps(const lavis_model *model, float *out) {
    b2_fields fields = {.file = model->file, .section = "hyper."};

    need_f32(&fields, json_object_get(model->json, "hyper"), "ln_vision_eps", out);
    return golden_check(&fields);
}
