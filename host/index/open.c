#include "base/alloc.h"
#include "base/options.h"
#include "index/index.h"

static blip2_status open_all(blip2_index *index, const char *path, uint32_t threads) {
    const b2_device_options device = {.threads = threads};
    b2_weight_part part;
    b2_weight_desc desc = {.parts = &part, .part_count = 1, .uses = B2_USE_ROWS};
    blip2_status status = b2_index_file_open(&index->file, path);

    index->threads = threads;
    if (status < 0 || (status = b2_device_open(&index->device, "cpu", &device)) < 0)
        return status;
    part = (b2_weight_part){index->file.vectors, (int64_t)(index->file.count * index->file.queries),
                            index->file.type};
    desc.keep = index->file.type;
    desc.cols = (int64_t)index->file.width;
    return index->device->ops->weight_create(index->device, &desc, &index->vectors);
}

blip2_status blip2_index_open(blip2_index **out, const char *path,
                              const blip2_index_options *options) {
    blip2_index_options known;
    blip2_index *index;
    blip2_status status;

    if (out == NULL || path == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_index_open: %s is NULL", out == NULL ? "out" : "file");
    *out = NULL;
    if ((status = b2_options_copy(&known, sizeof known, options, "blip2_index_options")) < 0)
        return status;
    if ((index = b2_calloc(1, sizeof *index)) == NULL)
        return b2_fail_memory();
    if ((status = open_all(index, path, known.threads)) < 0) {
        blip2_index_close(index);
        return status;
    }
    *out = index;
    return BLIP2_OK;
}

void blip2_index_close(blip2_index *index) {
    if (index == NULL)
        return;
    b2_nearest_close(index->nearest);
    if (index->device != NULL)
        index->device->ops->weight_free(index->device, index->vectors);
    b2_device_close(index->device);
    b2_index_file_close(&index->file);
    b2_free(index);
}

size_t blip2_index_count(const blip2_index *index) {
    return index != NULL ? index->file.count : 0;
}

const char *blip2_index_path(const blip2_index *index, size_t picture) {
    return picture < blip2_index_count(index) ? b2_index_file_path(&index->file, picture) : NULL;
}
