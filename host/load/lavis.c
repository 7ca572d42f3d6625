#include "load/lavis.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "load/fields.h"
#include "load/json.h"

enum { MAX_JSON_BYTES = 1 << 20, MAX_SIZE = 1 << 20 };

bool b2_lavis_is_folder(const char *directory) {
    char *path = b2_path_join(directory, "model.json");
    bool found = path != NULL && b2_file_exists(path);

    b2_free(path);
    return found;
}

blip2_status b2_lavis_open(b2_lavis *out, const char *directory) {
    uint8_t *text = NULL;
    size_t size;
    blip2_status status = BLIP2_OK;

    *out = (b2_lavis){.directory = b2_strndup(directory, strlen(directory))};
    if (out->directory == NULL || (out->file = b2_path_join(directory, "model.json")) == NULL)
        status = b2_fail_memory();
    else if ((status = b2_file_read(&text, &size, out->file, MAX_JSON_BYTES)) == BLIP2_OK)
        status = b2_json_parse(&out->json, (const char *)text, size, out->file);
    b2_free(text);
    if (status < 0)
        b2_lavis_close(out);
    return status;
}

void b2_lavis_close(b2_lavis *model) {
    json_decref(model->json);
    b2_free(model->file);
    b2_free(model->directory);
    *model = (b2_lavis){0};
}

/* No way up and none from the root: a folder of a stranger reads no other files of its user. */
static bool is_inside(const char *name) {
    const char *part = name;

    for (const char *slash; part != NULL; part = slash != NULL ? slash + 1 : NULL) {
        slash = strchr(part, '/');
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0'))
            return false;
    }
    return name[0] != '/';
}

/* "../NAME": what several models share stands beside them. */
static bool is_beside(const char *name) {
    return strncmp(name, "../", 3) == 0 && strchr("./", name[3]) == NULL && is_inside(name + 3);
}

/* The path that model.json names under key, a folder or a file. */
static blip2_status named(const b2_lavis *model, const char *key, bool folder, bool needed,
                          char **out) {
    b2_fields fields = {.file = model->file, .section = ""};
    const json_t *value = json_object_get(model->json, key);
    char name[256] = "";

    *out = NULL;
    if (!needed && (value == NULL || json_is_null(value)))
        return BLIP2_OK;
    b2_field_text(&fields, model->json, key, name, sizeof name);
    if (fields.status == BLIP2_OK && name[0] == '\0')
        b2_field_fail(&fields, key, folder ? "a folder's name" : "a file name", value);
    else if (fields.status == BLIP2_OK && !is_inside(name) && !(folder && is_beside(name)))
        b2_field_fail(&fields, key,
                      folder ? "a folder in this one, or \"../NAME\" beside it"
                             : "a file in this folder",
                      value);
    if (fields.status < 0)
        return fields.status;
    *out = b2_path_join(model->directory, name);
    return *out != NULL ? BLIP2_OK : b2_fail_memory();
}

blip2_status b2_lavis_path(const b2_lavis *model, const char *key, char **out) {
    return named(model, key, false, true, out);
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

/* "gelu_erf" or "quick_gelu", as the tower has it. */
static void check_activation(b2_fields *fields, const json_t *hyper, bool clip) {
    char act[32] = "";

    b2_field_text(fields, hyper, "act", act, sizeof act);
    if (strcmp(act, clip ? "quick_gelu" : "gelu_erf") != 0)
        b2_field_fail(fields, "act", clip ? "\"quick_gelu\"" : "\"gelu_erf\"",
                      json_object_get(hyper, "act"));
}

blip2_status b2_lavis_vit_config(const b2_lavis *model, const json_t *hyper, uint32_t image,
                                 b2_vit_config *out) {
    b2_fields fields = {.file = model->file, .section = "hyper."};
    char tower[32] = "eva_clip_g";

    *out = (b2_vit_config){.image = image, .resize_positions = true};
    b2_field_text(&fields, model->json, "vit_model", tower, sizeof tower);
    out->clip = strcmp(tower, "clip_L") == 0;
    out->act = out->clip ? B2_ACT_QUICK_GELU : B2_ACT_GELU;
    if (fields.status == BLIP2_OK && !out->clip && strcmp(tower, "eva_clip_g") != 0)
        return b2_fail(BLIP2_ENOTSUP, "%s: vision tower %s is not supported", model->file, tower);
    need_u32(&fields, hyper, "embed_dim", &out->width);
    need_u32(&fields, hyper, "depth", &out->layers);
    need_u32(&fields, hyper, "num_heads", &out->heads);
    need_u32(&fields, hyper, "mlp_hidden", &out->ffn);
    need_u32(&fields, hyper, "patch_size", &out->patch);
    need_f32(&fields, hyper, "block_ln_eps", &out->block_eps);
    check_activation(&fields, hyper, out->clip);
    if (fields.status == BLIP2_OK)
        b2_field_heads(&fields, out->width, out->heads);
    if (fields.status == BLIP2_OK && (image == 0 || image % out->patch != 0))
        return b2_fail(BLIP2_EFORMAT, "%s: pictures of %u pixels are no whole number of patches",
                       model->file, image);
    return fields.status;
}

blip2_status b2_lavis_qformer_config(const b2_lavis *model, uint32_t vision_width,
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
    return fields.status;
}

blip2_status b2_lavis_ln_vision_eps(const b2_lavis *model, float *out) {
    b2_fields fields = {.file = model->file, .section = "hyper."};

    need_f32(&fields, json_object_get(model->json, "hyper"), "ln_vision_eps", out);
    return fields.status;
}

/* ---- a whole model ------------------------------------------------------------------------ */

void b2_lavis_files_free(b2_lavis_files *files) {
    b2_free(files->checkpoint);
    b2_free(files->tower);
    b2_free(files->vocabulary);
    b2_free(files->language);
    *files = (b2_lavis_files){0};
}

/* The tower's folder, or the checkpoint itself. */
static blip2_status read_tower(const b2_lavis *model, uint32_t image, b2_vit_config *out,
                               char **file) {
    const json_t *hyper = json_object_get(model->json, "hyper");
    b2_lavis tower = {0};
    char *folder = NULL;
    blip2_status status = named(model, "vit", true, false, &folder);

    if (status == BLIP2_OK && folder == NULL)
        return b2_lavis_vit_config(model, json_object_get(hyper, "vit_inside_checkpoint"), image,
                                   out);
    if (status == BLIP2_OK)
        status = b2_lavis_open(&tower, folder);
    if (status == BLIP2_OK)
        status = b2_lavis_vit_config(&tower, json_object_get(tower.json, "hyper"), image, out);
    if (status == BLIP2_OK)
        status = b2_lavis_path(&tower, "file", file);
    b2_lavis_close(&tower);
    b2_free(folder);
    return status;
}

/* LAVIS's models by the names that it has for them. */
typedef struct arch {
    const char *name;
    b2_language language;
    bool instructed; /* the Q-Former reads the prompt as well */
} arch;

static const arch archs[] = {
    {"blip2", B2_LANGUAGE_NONE, false},
    {"blip2_image_text_matching", B2_LANGUAGE_NONE, false},
    {"blip2_opt", B2_LANGUAGE_OPT, false},
    {"blip2_t5", B2_LANGUAGE_T5, false},
    {"blip2_t5_instruct", B2_LANGUAGE_T5, true},
    {"blip2_vicuna_instruct", B2_LANGUAGE_LLAMA, true},
};
enum { ARCH_COUNT = sizeof archs / sizeof *archs };

static blip2_status read_arch(const b2_lavis *model, const arch **out) {
    b2_fields fields = {.file = model->file, .section = ""};
    char name[64] = "";

    *out = NULL;
    b2_field_text(&fields, model->json, "arch", name, sizeof name);
    for (size_t i = 0; i < ARCH_COUNT && fields.status == BLIP2_OK; i++)
        if (strcmp(name, archs[i].name) == 0)
            *out = &archs[i];
    if (fields.status == BLIP2_OK && *out == NULL)
        return b2_fail(BLIP2_ENOTSUP,
                       "%s: arch \"%s\" is not supported, expected blip2, "
                       "blip2_image_text_matching, blip2_opt, blip2_t5, blip2_t5_instruct or "
                       "blip2_vicuna_instruct",
                       model->file, name);
    return fields.status;
}

/* What LAVIS changes in a language model that it opens. */
static void change_language(b2_config *config) {
    config->t5.act = B2_ACT_GELU; /* whatever its own configuration says */
    if (config->language == B2_LANGUAGE_LLAMA)
        config->llama.vocab += config->llama.added = 1; /* [PAD] */
}

blip2_status b2_lavis_read_language(b2_config *config, const char *folder, bool instructed) {
    const arch *found = NULL;
    blip2_status status = b2_config_read_language_file(config, folder);

    if (status < 0)
        return status;
    for (size_t i = 0; i < ARCH_COUNT; i++)
        if (archs[i].language == config->language && archs[i].instructed == instructed)
            found = &archs[i];
    if (found == NULL)
        return b2_fail(BLIP2_ENOTSUP,
                       "%s: a language model that LAVIS has no BLIP-2 with: with a Q-Former that "
                       "reads prompts it has T5 and Llama, else OPT and T5",
                       folder);
    (void)strcpy(config->architecture, found->name);
    config->instructed = config->qformer.text_input = instructed;
    change_language(config);
    return BLIP2_OK;
}

/* The folder of the language model; its weights may be in the checkpoint, as blip2 convert writes
 * them. */
static blip2_status read_language(const b2_lavis *model, const arch *kind, b2_config *out,
                                  b2_lavis_files *files) {
    b2_fields fields = {.file = model->file, .section = "hyper."};
    const json_t *hyper = json_object_get(model->json, "hyper");
    blip2_status status = named(model, "llm", true, true, &files->language);

    b2_field_bool(&fields, hyper, "llm_inside_checkpoint", &files->language_inside);
    if (kind->instructed)
        b2_field_u32(&fields, hyper, "max_txt_len", 2, MAX_SIZE, &out->instruction);
    else if (kind->language == B2_LANGUAGE_OPT)
        b2_field_u32(&fields, hyper, "max_txt_len", 2, MAX_SIZE, &out->prompt);
    if (status < 0 || (status = fields.status) < 0 ||
        (status = b2_lavis_read_language(out, files->language, kind->instructed)) < 0)
        return status;
    if (out->language != kind->language)
        return b2_fail(BLIP2_EFORMAT, "%s: arch \"%s\" does not go with the language model in %s",
                       model->file, kind->name, files->language);
    return BLIP2_OK;
}

static blip2_status read_model(const b2_lavis *model, b2_config *out, b2_lavis_files *files) {
    b2_fields fields = {.file = model->file, .section = "hyper."};
    const json_t *hyper = json_object_get(model->json, "hyper");
    uint32_t image = 0;
    const arch *kind;
    blip2_status status = read_arch(model, &kind);

    need_u32(&fields, hyper, "img_size", &image);
    if (status < 0 || (status = fields.status) < 0 ||
        (status = read_tower(model, image, &out->vit, &files->tower)) < 0 ||
        (status = b2_lavis_ln_vision_eps(model, &out->vit.post_eps)) < 0 ||
        (status = b2_lavis_qformer_config(model, out->vit.width, &out->qformer)) < 0)
        return status;
    out->image.width = out->image.height = image;
    out->itc_width = 0; /* as the checkpoint has it */
    (void)strcpy(out->architecture, kind->name);
    out->qformer.text_input = true;
    if (kind->language != B2_LANGUAGE_NONE && (status = read_language(model, kind, out, files)) < 0)
        return status;
    if (out->qformer.text_input &&
        (status = b2_lavis_path(model, "bert_vocab", &files->vocabulary)) < 0)
        return status;
    return b2_lavis_path(model, "checkpoint", &files->checkpoint);
}

blip2_status b2_lavis_read(b2_config *out, b2_lavis_files *files, const char *directory) {
    b2_lavis model;
    blip2_status status;

    *files = (b2_lavis_files){0};
    b2_config_default(out);
    if ((status = b2_lavis_open(&model, directory)) == BLIP2_OK)
        status = read_model(&model, out, files);
    if (status < 0) {
        b2_lavis_files_free(files);
        *out = (b2_config){0};
    }
    b2_lavis_close(&model);
    return status;
}
