/* What a checkpoint folder holds and how much memory it takes, as JSON. */
#include <jansson.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "engine/tasks.h"

typedef struct part {
    const char *name;
    const char *const *prefixes; /* of tensor names, NULL-terminated */
    json_int_t tensors, parameters, bytes;
} part;

static const char *const vision_prefixes[] = {"vision_model.", "visual_encoder.", "ln_vision.",
                                              NULL};
static const char *const qformer_prefixes[] = {"qformer.", "Qformer.", "query_tokens",
                                               "embeddings.", NULL};
static const char *const language_prefixes[] = {"language_model.", NULL};
static const char *const other_prefixes[] = {"", NULL}; /* projections and heads */

static bool belongs(const part *p, const char *name) {
    for (const char *const *prefix = p->prefixes; *prefix != NULL; prefix++)
        if (strncmp(name, *prefix, strlen(*prefix)) == 0)
            return true;
    return false;
}

/* Out of memory anywhere makes *ok false; value is taken over. */
static void put(json_t *object, const char *key, json_t *value, bool *ok) {
    if (json_object_set_new(object, key, value) != 0)
        *ok = false;
}

static json_t *describe_parts(const b2_weights *weights, bool *ok) {
    part parts[] = {{"vision", vision_prefixes, 0, 0, 0},
                    {"qformer", qformer_prefixes, 0, 0, 0},
                    {"language", language_prefixes, 0, 0, 0},
                    {"projections", other_prefixes, 0, 0, 0}};
    json_t *out = json_object();

    for (size_t i = 0; i < b2_weights_count(weights); i++) {
        const b2_tensor *tensor = b2_weights_at(weights, i);
        part *p = parts;

        while (!belongs(p, tensor->name))
            p++; /* the last one takes everything */
        p->tensors++;
        p->parameters += (json_int_t)tensor->count;
        p->bytes += (json_int_t)tensor->bytes;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (parts[i].tensors > 0)
            put(out, parts[i].name,
                json_pack("{s:I, s:I, s:I}", "tensors", parts[i].tensors, "parameters",
                          parts[i].parameters, "bytes", parts[i].bytes),
                ok);
    return out;
}

/* NULL without a language model. */
static json_t *describe_language(const b2_config *config) {
    const b2_opt_config *o = &config->opt;
    const b2_t5_config *t = &config->t5;
    const b2_llama_config *l = &config->llama;

    switch (config->language) {
    case B2_LANGUAGE_OPT:
        return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "type", "opt", "width", (int)o->width,
                         "layers", (int)o->layers, "heads", (int)o->heads, "vocabulary",
                         (int)o->vocab, "positions", (int)o->positions);
    case B2_LANGUAGE_T5:
        return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i}", "type", "t5", "width",
                         (int)t->width, "layers", (int)t->layers, "decoder_layers",
                         (int)t->decoder_layers, "heads", (int)t->heads, "head_size",
                         (int)t->head_size, "vocabulary", (int)t->vocab);
    case B2_LANGUAGE_LLAMA:
        return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i}", "type", "llama", "width", (int)l->width,
                         "layers", (int)l->layers, "heads", (int)l->heads, "vocabulary",
                         (int)l->vocab, "positions", (int)l->positions);
    case B2_LANGUAGE_NONE:
        break;
    }
    return NULL;
}

static json_t *describe_shapes(const b2_config *config, bool *ok) {
    const b2_vit_config *v = &config->vit;
    const b2_qformer_config *q = &config->qformer;
    json_t *out = json_object();

    put(out, "vision",
        json_pack("{s:i, s:i, s:i, s:i, s:i}", "width", (int)v->width, "layers", (int)v->layers,
                  "heads", (int)v->heads, "image", (int)v->image, "patch", (int)v->patch),
        ok);
    put(out, "qformer",
        json_pack("{s:i, s:i, s:i, s:i, s:b}", "width", (int)q->width, "layers", (int)q->layers,
                  "heads", (int)q->heads, "queries", (int)q->queries, "reads_instructions",
                  (int)config->instructed),
        ok);
    if (config->language != B2_LANGUAGE_NONE)
        put(out, "language", describe_language(config), ok);
    return out;
}

static json_t *describe_unused(const b2_weights *weights, bool *ok) {
    json_t *out = json_array();

    for (size_t i = 0; i < b2_weights_count(weights); i++)
        if (!b2_weights_used(weights, i) &&
            json_array_append_new(out, json_string(b2_weights_at(weights, i)->name)) != 0)
            *ok = false;
    return out;
}

static json_t *describe_tasks(const blip2_model *model, bool *ok) {
    json_t *out = json_array();

    for (const char *const *task = b2_tasks; *task != NULL; task++)
        if (blip2_model_can(model, *task) != 0 &&
            json_array_append_new(out, json_string(*task)) != 0)
            *ok = false;
    return out;
}

/* With default options. */
static blip2_status describe_memory(json_t *out, const blip2_model *model, bool *ok) {
    size_t weights = model->loader.weight_bytes + model->loader.vector_bytes;
    const blip2_engine_options defaults = {0};
    b2_engine_plan plan = {0};
    blip2_status status;

    if ((status = b2_engine_plan_make(&plan, model, &defaults)) < 0)
        return status;
    put(out, "memory",
        json_pack("{s:I, s:I, s:I, s:I, s:i}", "mapped_file_bytes",
                  (json_int_t)model->loader.total_bytes, "weight_bytes", (json_int_t)weights,
                  "workspace_bytes", (json_int_t)plan.workspace_bytes, "kv_bytes",
                  (json_int_t)plan.kv_bytes, "cached_images", (int)plan.limits.image_places),
        ok);
    return BLIP2_OK;
}

/* The device that "auto" takes, whose memory is planned below, and why it is no GPU. */
static json_t *describe_device(const b2_device *device, bool *ok) {
    json_t *out = json_pack("{s:s, s:s, s:s}", "name", device->name, "about", device->about,
                            "compute", b2_type_name(device->compute));

    if (device->no_gpu[0] != '\0')
        put(out, "no_gpu", json_string(device->no_gpu), ok);
    return out;
}

static blip2_status describe(json_t *out, const blip2_model *model) {
    const b2_config *config = &model->config;
    bool ok = true;
    blip2_status status;

    put(out, "model_type", json_string(config->model_type), &ok);
    put(out, "architecture", json_string(config->architecture), &ok);
    put(out, "tasks", describe_tasks(model, &ok), &ok);
    put(out, "device", describe_device(model->device, &ok), &ok);
    put(out, "shapes", describe_shapes(config, &ok), &ok);
    put(out, "parts", describe_parts(model->weights, &ok), &ok);
    if ((status = describe_memory(out, model, &ok)) < 0)
        return status;
    put(out, "unused_tensors", describe_unused(model->weights, &ok), &ok);
    return ok ? BLIP2_OK : b2_fail_memory();
}

blip2_status blip2_model_describe(char **out, const char *directory) {
    blip2_model_options options;
    blip2_model *model = NULL;
    json_t *root = NULL;
    char *text = NULL;
    size_t length;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_model_describe: out is NULL");
    *out = NULL;
    if (directory == NULL || *directory == '\0')
        return b2_fail(BLIP2_EINVAL, "blip2_model_describe: no directory is named");
    blip2_model_options_init(&options, sizeof options);
    if ((status = b2_model_load(&model, &(b2_model_source){.directory = directory}, &options,
                                false)) < 0 ||
        (status = b2_weights_finish(model->weights)) < 0)
        goto out;
    if ((root = json_object()) == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    if ((status = describe(root, model)) < 0)
        goto out;
    length = json_dumpb(root, NULL, 0, JSON_INDENT(2));
    if (length == 0 || (text = b2_alloc(length + 1)) == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    if (json_dumpb(root, text, length, JSON_INDENT(2)) != length) {
        status = b2_fail_memory();
        goto out;
    }
    text[length] = '\0';
    *out = text;
    text = NULL;
out:
    b2_free(text);
    json_decref(root);
    blip2_model_close(model);
    return status;
}

void blip2_string_free(char *string) {
    b2_free(string);
}
