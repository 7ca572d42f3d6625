#include "model/digest.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "image/image.h"

/* Whatever decides how pictures and texts are read and how large the parts are. */
static const char *const names[] = {"config.json",
                                    "preprocessor_config.json",
                                    "processor_config.json",
                                    "model.json",
                                    "tokenizer.json",
                                    "tokenizer_config.json",
                                    "spiece.model",
                                    "tokenizer.model",
                                    "vocab.json",
                                    "merges.txt",
                                    "vocab.txt",
                                    "added_tokens.json",
                                    NULL};

/* Nothing of a file that is not there. */
static blip2_status add_file(b2_sha256 *sha, const char *path, const char *name) {
    b2_file_map map;
    blip2_status status;

    if (!b2_file_exists(path))
        return BLIP2_OK;
    if ((status = b2_file_map_open(&map, path)) < 0)
        return status;
    b2_sha256_update(sha, name, strlen(name) + 1);
    b2_sha256_update(sha, &map.size, sizeof map.size);
    b2_sha256_update(sha, map.data, map.size);
    b2_file_map_close(&map);
    return BLIP2_OK;
}

static blip2_status add_named(b2_sha256 *sha, const char *directory, const char *name) {
    char *path = b2_path_join(directory, name);
    blip2_status status = path != NULL ? add_file(sha, path, name) : b2_fail_memory();

    b2_free(path);
    return status;
}

/* The model.json beside a vision tower of its own. */
static blip2_status add_tower(b2_sha256 *sha, const char *tower) {
    char *folder = b2_strndup(tower, (size_t)(b2_file_name(tower) - tower));
    blip2_status status = folder != NULL
                              ? add_named(sha, *folder != '\0' ? folder : ".", "model.json")
                              : b2_fail_memory();

    b2_free(folder);
    return status;
}

static blip2_status add_folder(b2_sha256 *sha, const char *directory) {
    blip2_status status = BLIP2_OK;

    for (const char *const *name = names; *name != NULL && status == BLIP2_OK; name++)
        status = add_named(sha, directory, *name);
    return status;
}

blip2_status b2_model_digest_files(blip2_model *model) {
    const b2_lavis_files *files = &model->files;
    b2_sha256 *sha = &model->digest;
    blip2_status status = BLIP2_OK;

    b2_sha256_init(sha);
    if (model->directory != NULL)
        status = add_folder(sha, model->directory);
    if (status == BLIP2_OK && files->language != NULL)
        status = add_folder(sha, files->language);
    if (status == BLIP2_OK && files->vocabulary != NULL)
        status = add_file(sha, files->vocabulary, "vocabulary");
    if (status == BLIP2_OK && files->tower != NULL)
        status = add_tower(sha, files->tower);
    return status;
}

blip2_status blip2_model_digest(const blip2_model *model, char hex[65]) {
    const uint32_t preprocessing = B2_IMAGE_PREPROCESSING;
    uint32_t size[2];
    b2_sha256 sha;

    if (model == NULL || hex == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_model_digest: %s is NULL",
                       model == NULL ? "model" : "hex");
    sha = model->digest;
    b2_sha256_update(&sha, &preprocessing, sizeof preprocessing);
    size[0] = model->config.vit.image_height;
    size[1] = model->config.vit.image_width;
    if (size[0] != 0) /* not the checkpoint's */
        b2_sha256_update(&sha, size, sizeof size);
    b2_weights_digest(model->weights, &sha);
    b2_sha256_final_hex(&sha, hex);
    return BLIP2_OK;
}
