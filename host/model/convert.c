/* A checkpoint of any form as one folder of safetensors. Tensors keep their names, and LAVIS's
 * their model.json: names that are kept need no second table, and no configuration of Hugging
 * Face's can say that the norm behind the vision tower has an eps of its own. What is written is
 * what the first pass of loading took. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/options.h"
#include "base/size.h"
#include "load/safetensors_write.h"
#include "model/model.h"

enum { PIECE = 4096, LARGEST_COPY = 64 << 20 };
static const uint64_t default_shard_bytes = 5000000000;

/* What a folder may have beside its weights. */
static const char *const text_files[] = {
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "chat_template.json",
    "chat_template.jinja",
};

typedef struct conversion {
    const blip2_convert_options *options;
    blip2_model *model;
    const b2_tensor **tensors; /* [count], in the order of the files */
    b2_tensor_shape *shapes;   /* [count], as they are written */
    size_t count;
    uint64_t done, total; /* bytes read */
} conversion;

/* ---- which tensors ------------------------------------------------------------------------- */

static bool is_matrix(const b2_tensor *t) {
    uint32_t rank = 0;

    for (uint32_t i = 0; i < t->rank; i++)
        rank += t->dim[i] != 1 || rank > 0; /* [1, 1, C] is a vector */
    return rank >= 2;
}

static b2_type type_of(const b2_tensor *t, blip2_weight_type wanted) {
    static const b2_type types[] = {B2_F32, B2_F32, B2_F16, B2_BF16}; /* blip2_weight_type */

    return wanted == BLIP2_WEIGHT_AUTO || !is_matrix(t) ? t->type : types[wanted];
}

/* An output matrix that is the token embeddings once more is not written: without it the model
 * takes those. */
static bool repeats_tokens(const conversion *c, const b2_tensor *t) {
    const b2_weight_id ids[] = {B2_OPT_TOKENS, B2_OPT_HEAD_W};
    const int64_t any[] = {-1, -1};
    b2_tensor found[2];

    for (size_t i = 0; i < 2; i++)
        if (!b2_weights_has(c->model->weights, ids[i], 0) ||
            b2_weights_take(c->model->weights, ids[i], 0, 2, any, &found[i]) < 0)
            return false;
    return t->data == found[1].data && strcmp(t->name, found[1].name) == 0 &&
           found[0].type == t->type && found[0].bytes == t->bytes &&
           memcmp(found[0].data, t->data, t->bytes) == 0;
}

static blip2_status choose_tensors(conversion *c) {
    const b2_weights *weights = c->model->weights;
    size_t most = b2_weights_count(weights);

    c->tensors = b2_alloc_array(most, sizeof *c->tensors);
    c->shapes = b2_alloc_array(most, sizeof *c->shapes);
    if (c->tensors == NULL || c->shapes == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < most; i++) {
        const b2_tensor *t = b2_weights_at(weights, i);
        b2_tensor_shape *shape = c->shapes + c->count;

        if (!b2_weights_taken(weights, i) || repeats_tokens(c, t))
            continue;
        *shape = (b2_tensor_shape){
            .name = t->name, .type = type_of(t, c->options->weight_type), .rank = t->rank};
        memcpy(shape->dim, t->dim, sizeof shape->dim);
        c->tensors[c->count++] = t;
        c->total += t->bytes;
    }
    return BLIP2_OK;
}

/* ---- their data ---------------------------------------------------------------------------- */

/* Of a tensor, count elements. */
static blip2_status convert_piece(const b2_tensor *t, const unsigned char *from, size_t count,
                                  b2_type type, unsigned char *to) {
    size_t from_size = b2_type_size(t->type), to_size = b2_type_size(type);
    float before[PIECE], after[PIECE];

    for (size_t at = 0, n; at < count; at += n) {
        n = b2_size_min(count - at, PIECE);
        b2_to_f32(before, from + at * from_size, t->type, n);
        b2_from_f32(to + at * to_size, type, before, n);
        b2_to_f32(after, to + at * to_size, type, n);
        for (size_t i = 0; i < n; i++)
            if (isinf(after[i]) && !isinf(before[i]))
                return b2_fail(BLIP2_EFORMAT, "%s: tensor \"%s\": %g is too large for %s", t->file,
                               t->name, (double)before[i], b2_type_name(type));
    }
    return BLIP2_OK;
}

static blip2_status fill(void *payload, size_t index, size_t first, size_t count, void *data) {
    conversion *c = payload;
    const blip2_convert_options *options = c->options;
    const b2_tensor *t = c->tensors[index];
    size_t size = b2_type_size(t->type);
    const unsigned char *from = (const unsigned char *)t->data + first * size;
    b2_type type = c->shapes[index].type;
    blip2_status status = BLIP2_OK;

    if (type == t->type)
        memcpy(data, from, count * size);
    else
        status = convert_piece(t, from, count, type, data);
    b2_weights_forget(c->model->weights, from, count * size);
    c->done += count * size;
    if (status == BLIP2_OK && options->on_progress != NULL &&
        options->on_progress(c->done, c->total, options->progress_payload) != 0)
        return b2_fail(BLIP2_ESTOP, "converting was stopped");
    return status;
}

/* ---- what is beside them ------------------------------------------------------------------- */

static blip2_status copy_file(const char *from, const char *directory, const char *name) {
    char *to = b2_path_join(directory, name);
    uint8_t *data = NULL;
    size_t size = 0;
    blip2_status status =
        to != NULL ? b2_file_read(&data, &size, from, LARGEST_COPY) : b2_fail_memory();

    if (status == BLIP2_OK)
        status = b2_file_write(to, data, size);
    b2_free(data);
    b2_free(to);
    return status;
}

/* Those of text_files that there are. */
static blip2_status copy_text_files(const char *from, const char *to) {
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < sizeof text_files / sizeof *text_files && status == BLIP2_OK; i++) {
        char *path = b2_path_join(from, text_files[i]);

        if (path == NULL)
            status = b2_fail_memory();
        else if (b2_file_exists(path))
            status = copy_file(path, to, text_files[i]);
        b2_free(path);
    }
    return status;
}

static blip2_status write_model_json(const conversion *c, const char *directory) {
    const blip2_model *model = c->model;
    char *index = b2_path_join(directory, "model.safetensors.index.json");
    char *path = b2_path_join(directory, "model.json"), *text = NULL;
    b2_lavis original = {0};
    blip2_status status = index != NULL && path != NULL ? BLIP2_OK : b2_fail_memory();

    if (status == BLIP2_OK && model->directory != NULL)
        status = b2_lavis_open(&original, model->directory);
    if (status == BLIP2_OK)
        status =
            b2_lavis_model_json(&text, &model->config, original.json,
                                b2_file_name(b2_file_exists(index) ? index : "model.safetensors"));
    if (status == BLIP2_OK)
        status = b2_file_write(path, text, strlen(text));
    b2_lavis_close(&original);
    b2_free(text);
    b2_free(path);
    b2_free(index);
    return status;
}

/* A folder of text files within the one that is written. */
static blip2_status copy_folder(const char *from, const b2_folder_writer *folder,
                                const char *name) {
    char *to;
    blip2_status status = b2_folder_writer_sub(folder, name, &to);

    if (status == BLIP2_OK)
        status = copy_text_files(from, to);
    b2_free(to);
    return status;
}

/* InstructBLIP's Q-Former has a tokenizer in a folder of its own. */
static blip2_status copy_hugging_face(const blip2_model *model, const b2_folder_writer *folder) {
    blip2_status status = copy_text_files(model->directory, folder->temporary);
    char *from;

    if (status < 0 || !model->config.instructed)
        return status;
    if ((from = b2_path_join(model->directory, B2_INSTRUCTIONS)) == NULL)
        return b2_fail_memory();
    status = copy_folder(from, folder, B2_INSTRUCTIONS);
    b2_free(from);
    return status;
}

/* ---- all of it ----------------------------------------------------------------------------- */

static blip2_status write_folder(conversion *c, const b2_folder_writer *folder) {
    const b2_lavis_files *files = &c->model->files;
    uint64_t shard_bytes = c->options->shard_bytes;
    blip2_status status =
        b2_safetensors_write_folder(folder->temporary, c->shapes, c->count,
                                    shard_bytes != 0 ? shard_bytes : default_shard_bytes, fill, c);

    if (status < 0)
        return status;
    if (files->checkpoint == NULL)
        return copy_hugging_face(c->model, folder);
    if ((status = write_model_json(c, folder->temporary)) == BLIP2_OK && files->vocabulary != NULL)
        status = copy_file(files->vocabulary, folder->temporary, B2_LAVIS_VOCABULARY);
    if (status == BLIP2_OK && files->language != NULL)
        status = copy_folder(files->language, folder, B2_LAVIS_LANGUAGE);
    return status;
}

/* Nothing is written before the whole checkpoint has been checked. */
static blip2_status open_source(conversion *c, const char *directory) {
    const blip2_convert_options *options = c->options;
    const b2_model_source source = {
        .directory = directory,
        .checkpoint = options->checkpoint,
        .tower = options->vit,
        .vocabulary = options->vocabulary,
        .language = options->language_model,
        .sizes = {options->image, options->vit_layers, options->vit_heads, options->qformer_heads}};
    blip2_model_options model = {
        .device = "cpu", .log = options->log, .log_payload = options->log_payload};
    blip2_status status = b2_model_load(&c->model, &source, &model, false);

    if (status < 0 || (status = b2_weights_finish(c->model->weights)) < 0 ||
        (status = b2_model_open_tokenizer(c->model)) < 0)
        return status;
    return b2_model_open_instructions(c->model);
}

static blip2_status check_options(const char *directory, const char *out,
                                  const blip2_convert_options *o) {
    bool files = o->checkpoint != NULL || o->vit != NULL || o->vocabulary != NULL ||
                 o->language_model != NULL || o->image != 0 || o->vit_layers != 0 ||
                 o->vit_heads != 0 || o->qformer_heads != 0;

    if (out == NULL || *out == '\0')
        return b2_fail(BLIP2_EINVAL, "blip2_convert: no folder to write is named");
    if (directory != NULL && files)
        return b2_fail(BLIP2_EINVAL, "blip2_convert: a folder and files or sizes are both named");
    if (directory == NULL ? o->checkpoint == NULL : *directory == '\0')
        return b2_fail(BLIP2_EINVAL, "blip2_convert: no folder and no checkpoint is named");
    if ((unsigned)o->weight_type > BLIP2_WEIGHT_BF16)
        return b2_fail(BLIP2_EINVAL, "weight_type: %d is none of AUTO, F32, F16, BF16",
                       (int)o->weight_type);
    return BLIP2_OK;
}

blip2_status blip2_convert(const char *directory, const char *out,
                           const blip2_convert_options *options) {
    blip2_convert_options known;
    conversion c = {.options = &known};
    b2_folder_writer folder = {0};
    blip2_status status = b2_options_copy(&known, sizeof known, options, "blip2_convert_options");

    if (status < 0 || (status = check_options(directory, out, &known)) < 0 ||
        (status = open_source(&c, directory)) < 0 || (status = choose_tensors(&c)) < 0 ||
        (status = b2_folder_writer_open(&folder, out)) < 0)
        goto out;
    if ((status = write_folder(&c, &folder)) == BLIP2_OK)
        status = b2_folder_writer_commit(&folder);
out:
    b2_folder_writer_abandon(&folder);
    b2_free(c.tensors);
    b2_free(c.shapes);
    blip2_model_close(c.model);
    return status;
}
