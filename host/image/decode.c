/* Pictures from files, memory and raw pixels. The format is told by the first bytes, never by the
 * name. Order of the checks: size of the file, format, width x height of the header; only then is
 * memory of the picture's size asked for. */
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/options.h"
#include "base/sha256.h"
#include "base/size.h"
#include "image/codec.h"

/* Pillow refuses a picture of more than twice its MAX_IMAGE_PIXELS = 1 GiB / 4 / 3 bytes. */
#define DEFAULT_MAX_PIXELS UINT64_C(178956970)
#define DEFAULT_MAX_FILE_SIZE (UINT64_C(256) << 20)

blip2_status b2_image_reserve(blip2_image *out, uint32_t width, uint32_t height,
                              const b2_encoded *in) {
    uint64_t pixels = (uint64_t)width * height;
    size_t bytes;

    if (pixels == 0)
        return b2_fail(BLIP2_EFORMAT, "%s: picture of %ux%u pixels is empty", in->name, width,
                       height);
    if (pixels > in->max_pixels)
        return b2_fail(BLIP2_EFORMAT, "%s: picture of %ux%u pixels, the limit is %llu pixels",
                       in->name, width, height, (unsigned long long)in->max_pixels);
    if (!b2_size_mul((size_t)pixels, 3, &bytes) || (out->rgb = b2_alloc(bytes)) == NULL)
        return b2_fail_memory();
    out->width = width;
    out->height = height;
    return BLIP2_OK;
}

static blip2_status copy_options(blip2_image_options *out, const blip2_image_options *options) {
    blip2_status status = b2_options_copy(out, sizeof *out, options, "blip2_image_options");

    if (out->max_pixels == 0)
        out->max_pixels = DEFAULT_MAX_PIXELS;
    if (out->max_file_size == 0)
        out->max_file_size = DEFAULT_MAX_FILE_SIZE;
    return status;
}

static void sign(blip2_image *image) {
    const uint32_t size[2] = {image->width, image->height};
    b2_sha256 sha;

    b2_sha256_init(&sha);
    b2_sha256_update(&sha, size, sizeof size);
    b2_sha256_update(&sha, image->rgb, (size_t)image->width * image->height * 3);
    b2_sha256_final(&sha, image->sha256);
}

static blip2_status decode(blip2_image **out, const b2_encoded *in) {
    blip2_image *image;
    blip2_status status;

    if (in->size == 0)
        return b2_fail(BLIP2_EFORMAT, "%s: file is empty, expected a PNG or JPEG picture",
                       in->name);
    if ((image = b2_calloc(1, sizeof *image)) == NULL)
        return b2_fail_memory();
    if (b2_is_png(in->data, in->size))
        status = b2_png_decode(image, in);
    else if (b2_is_jpeg(in->data, in->size))
        status = b2_jpeg_decode(image, in);
    else
        status = b2_fail(BLIP2_EFORMAT, "%s: neither a PNG nor a JPEG picture", in->name);
    if (status < 0) {
        blip2_image_free(image);
        return status;
    }
    sign(image);
    *out = image;
    return BLIP2_OK;
}

blip2_status blip2_image_open(blip2_image **out, const char *path,
                              const blip2_image_options *options) {
    blip2_image_options o;
    b2_encoded in = {0};
    uint8_t *data = NULL;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_image_open: out is NULL");
    *out = NULL;
    if (path == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_image_open: path is NULL");
    if ((status = copy_options(&o, options)) < 0 ||
        (status = b2_file_read(&data, &in.size, path, (size_t)o.max_file_size)) < 0)
        return status;
    in.data = data;
    in.name = path;
    in.max_pixels = o.max_pixels;
    status = decode(out, &in);
    b2_free(data);
    return status;
}

blip2_status blip2_image_from_memory(blip2_image **out, const void *data, size_t size,
                                     const blip2_image_options *options) {
    b2_encoded in = {.data = data, .size = size, .name = "picture"};
    blip2_image_options o;
    blip2_status status;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_image_from_memory: out is NULL");
    *out = NULL;
    if (data == NULL && size > 0)
        return b2_fail(BLIP2_EINVAL, "blip2_image_from_memory: data is NULL");
    if ((status = copy_options(&o, options)) < 0)
        return status;
    if (size > o.max_file_size)
        return b2_fail(BLIP2_EFORMAT, "%s: file has %zu bytes, the limit is %llu", in.name, size,
                       (unsigned long long)o.max_file_size);
    in.max_pixels = o.max_pixels;
    return decode(out, &in);
}

blip2_status blip2_image_from_rgb(blip2_image **out, const uint8_t *rgb, uint32_t width,
                                  uint32_t height, size_t row_bytes) {
    size_t row = (size_t)width * 3, bytes;
    blip2_image *image;

    if (out == NULL)
        return b2_fail(BLIP2_EINVAL, "blip2_image_from_rgb: out is NULL");
    *out = NULL;
    if (rgb == NULL || width == 0 || height == 0)
        return b2_fail(BLIP2_EINVAL, "blip2_image_from_rgb: %ux%u pixels%s, expected some", width,
                       height, rgb == NULL ? " at NULL" : "");
    if (row_bytes < row)
        return b2_fail(BLIP2_EINVAL, "blip2_image_from_rgb: row_bytes is %zu, expected >= %zu",
                       row_bytes, row);
    if (!b2_size_mul(row_bytes, height, &bytes))
        return b2_fail(BLIP2_EINVAL, "blip2_image_from_rgb: row_bytes %zu x height %u is too large",
                       row_bytes, height);
    if ((image = b2_calloc(1, sizeof *image)) == NULL ||
        (image->rgb = b2_alloc_array(height, row)) == NULL) {
        blip2_image_free(image);
        return b2_fail_memory();
    }
    for (size_t y = 0; y < height; y++)
        memcpy(image->rgb + y * row, rgb + y * row_bytes, row);
    image->width = width;
    image->height = height;
    sign(image);
    *out = image;
    return BLIP2_OK;
}

uint32_t blip2_image_width(const blip2_image *image) {
    return image != NULL ? image->width : 0;
}

uint32_t blip2_image_height(const blip2_image *image) {
    return image != NULL ? image->height : 0;
}

void blip2_image_free(blip2_image *image) {
    if (image == NULL)
        return;
    for (uint32_t i = 0; i < image->frame_count; i++)
        blip2_image_free(image->frames[i]);
    b2_free(image->frames);
    b2_free(image->rgb);
    b2_free(image);
}
