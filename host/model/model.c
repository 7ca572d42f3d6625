#include "model/model.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/options.h"
#include "model/digest.h"

static blip2_status check_language(const b2_config *config, const char *directory) {
    if (config->language != B2_LANGUAGE_NONE && config->qformer.text_input && !config->instructed)
        return b2_fail(BLIP2_ENOTSUP,
                       "%s: a Q-Former that reads text beside a language model is not supported, "
                       "only InstructBLIP's",
                       directory);
    return BLIP2_OK;
}

/* One pass over all parts (loader.h). */
static blip2_status load_parts(blip2_model *model) {
    const b2_config *config = &model->config;
    b2_loader *loader = &model->loader;
    blip2_status status;

    loader->exact = false;
    if ((status = b2_vit_load(&model->vit, loader, &config->vit)) < 0)
        return status;
    loader->exact = true;
    if ((status = b2_qformer_load(&model->qformer, loader, &config->qformer)) < 0)
        return status;
    if (config->language == B2_LANGUAGE_NONE)
        return b2_stage1_load(&model->stage1, loader, config->qformer.width, config->itc_width);
    if ((status = b2_load_dense(loader, &model->projection, B2_PROJ_W, B2_PROJ_B, 0,
                                b2_language_embed(config), config->qformer.width)) < 0)
        return status;
    loader->exact = false;
    return b2_language_load(&model->language, loader, config);
}

/* After load_parts. */
static void find_writer(blip2_model *model) {
    const b2_qformer_config *qformer = &model->qformer.config;

    if (model->config.language != B2_LANGUAGE_NONE)
        model->writer = b2_language_writer(&model->config, model->device->compute);
    else if (model->qformer.writes_text)
        model->writer = (b2_writer){.kind = B2_WRITER_QFORMER,
                                    .layers = qformer->layers,
                                    .heads = qformer->heads,
                                    .width = qformer->width,
                                    .kv = B2_F32,
                                    .vocab = qformer->vocab,
                                    .positions = qformer->queries + qformer->positions,
                                    .position = -(int32_t)qformer->queries,
                                    .start = -1};
}

static blip2_status set_weight_type(b2_loader *loader, blip2_weight_type type) {
    switch (type) {
    case BLIP2_WEIGHT_AUTO:
        loader->keep_as_stored = true;
        return BLIP2_OK;
    case BLIP2_WEIGHT_F32:
        loader->keep = B2_F32;
        return BLIP2_OK;
    case BLIP2_WEIGHT_F16:
        loader->keep = B2_F16;
        return BLIP2_OK;
    case BLIP2_WEIGHT_BF16:
        loader->keep = B2_BF16;
        return BLIP2_OK;
    }
    return b2_fail(BLIP2_EINVAL, "weight_type: %d is none of AUTO, F32, F16, BF16", (int)type);
}

/* T5 was trained in bf16: the middle of its feed-forward parts exceeds what F16 can hold. */
static bool exceeds_f16(const b2_config *config) {
    return config->language == B2_LANGUAGE_T5;
}

/* A GPU that cannot be used is worth a warning; that there is none is not. */
static blip2_status open_device(blip2_model *model, const blip2_model_options *options) {
    /* The two enumerations name the same types in the same order. */
    const b2_device_options device = {.threads = options->threads,
                                      .compute = (b2_compute)options->compute,
                                      .exceeds_f16 = exceeds_f16(&model->config),
                                      .deterministic = options->deterministic != 0};
    const b2_device *d;
    blip2_status status;

    if (options->compute == BLIP2_COMPUTE_F16 && device.exceeds_f16)
        return b2_fail(BLIP2_EINVAL, "compute: F16 cannot hold the activations of this language "
                                     "model (t5), expected BF16, TF32 or F32");
    if ((status = b2_device_open(&model->device, options->device, &device)) < 0)
        return status;
    d = model->device;
    b2_log_write(&model->log, d->gpu_unused ? BLIP2_LOG_WARNING : BLIP2_LOG_INFO,
                 "device %s: %s%s%s", d->name, d->about, d->no_gpu[0] != '\0' ? "; " : "",
                 d->no_gpu);
    return BLIP2_OK;
}

/* The files of tower and language model join the checkpoint's. */
static blip2_status open_weights(blip2_model *model) {
    const b2_lavis_files *files = &model->files;
    const char *path = files->checkpoint != NULL ? files->checkpoint : model->directory;
    blip2_status status = b2_weights_open(&model->weights, path, &model->log);

    if (status == BLIP2_OK && files->tower != NULL)
        status = b2_weights_join(model->weights, files->tower, "visual_encoder.");
    if (status == BLIP2_OK && files->language != NULL && !files->language_inside)
        status = b2_weights_join(model->weights, files->language, "language_model.");
    return status;
}

/* A folder in the format of Hugging Face, or of LAVIS. */
static blip2_status read_config(blip2_model *model) {
    if (b2_lavis_is_folder(model->directory))
        return b2_lavis_read(&model->config, &model->files, model->directory);
    return b2_config_read(&model->config, model->directory, &model->log);
}

/* Of files alone, once their tensors are known. */
static blip2_status infer_config(blip2_model *model, const b2_lavis_sizes *sizes) {
    b2_config *config = &model->config;
    blip2_status status = b2_lavis_infer(config, model->weights, sizes);

    if (status < 0)
        return status;
    if (model->files.language == NULL) {
        (void)strcpy(config->architecture, "blip2");
        config->qformer.text_input = true;
        return BLIP2_OK;
    }
    status = b2_lavis_read_language(config, model->files.language, config->qformer.text_input);
    return status < 0 ? status : check_language(config, b2_model_place(model));
}

static blip2_status keep_source(blip2_model *model, const b2_model_source *source) {
    const char *const given[] = {source->directory, source->checkpoint, source->tower,
                                 source->vocabulary, source->language};
    b2_lavis_files *files = &model->files;
    char **const kept[] = {&model->directory, &files->checkpoint, &files->tower, &files->vocabulary,
                           &files->language};

    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i] != NULL && (*kept[i] = b2_strdup(given[i])) == NULL)
            return b2_fail_memory();
    return BLIP2_OK;
}

static blip2_status load(blip2_model *model, const b2_model_source *source,
                         const blip2_model_options *options, bool make) {
    b2_loader *loader = &model->loader;
    bool folder = source->directory != NULL;
    blip2_status status;

    if ((unsigned)options->log_level > BLIP2_LOG_DEBUG)
        return b2_fail(BLIP2_EINVAL, "log_level: %d is none of ERROR, WARNING, INFO, DEBUG",
                       (int)options->log_level);
    model->log = (b2_log){options->log, options->log_payload,
                          options->log_level != 0 ? options->log_level : BLIP2_LOG_WARNING};
    if ((status = set_weight_type(loader, options->weight_type)) < 0 ||
        (status = keep_source(model, source)) < 0 ||
        (folder && (status = read_config(model)) < 0) ||
        (folder && (status = check_language(&model->config, b2_model_place(model))) < 0) ||
        (status = open_device(model, options)) < 0 || (status = open_weights(model)) < 0 ||
        (!folder && (status = infer_config(model, &source->sizes)) < 0))
        return status;
    status = b2_config_set_image_size(&model->config, options->image_height, options->image_width);
    if (status < 0)
        return status;
    loader->weights = model->weights;
    loader->device = model->device;
    loader->on_progress = options->on_progress;
    loader->progress_payload = options->progress_payload;
    if ((status = load_parts(model)) < 0)
        return status;
    find_writer(model);
    if (!make)
        return BLIP2_OK;
    if ((status = b2_model_open_tokenizer(model)) < 0 ||
        (status = b2_model_digest_files(model)) < 0 ||
        (status = b2_loader_begin_make(loader)) < 0 ||
        (status = b2_model_open_instructions(model)) < 0)
        return status;
    return load_parts(model);
}

blip2_status b2_model_load(blip2_model **out, const b2_model_source *source,
                           const blip2_model_options *options, bool make) {
    blip2_model *model = b2_calloc(1, sizeof *model);
    blip2_status status;

    *out = NULL;
    if (model == NULL)
        return b2_fail_memory();
    atomic_flag_clear(&model->in_use);
    atomic_init(&model->owners, 1);
    status = load(model, source, options, make);
    if (status < 0) {
        blip2_model_close(model);
        return status;
    }
    *out = model;
    return BLIP2_OK;
}

blip2_status blip2_model_open(blip2_model **out, const char *directory,
                              const blip2_model_options *options) {
    blip2_model_options known;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_model_open: out is NULL");
    *out = NULL;
    if (directory == NULL || *directory == '\0')
        return b2_fail(BLIP2_EINVAL, "blip2_model_open: no directory is named");
    status = b2_options_copy(&known, sizeof known, options, "blip2_model_options");
    return status < 0
               ? status
               : b2_model_load(out, &(b2_model_source){.directory = directory}, &known, true);
}

void blip2_model_close(blip2_model *model) {
    if (model == NULL || atomic_fetch_sub(&model->owners, 1) > 1)
        return;
    b2_loader_free(&model->loader);
    b2_vit_free(&model->vit);
    b2_qformer_free(&model->qformer);
    b2_language_free(&model->language);
    b2_tokenizer_close(model->tokenizer);
    b2_tokenizer_close(model->instructions);
    b2_weights_close(model->weights);
    b2_device_close(model->device);
    b2_lavis_files_free(&model->files);
    b2_free(model->directory);
    b2_free(model);
}
