/* Preprocessing cases: a picture file to 8-bit RGB, to the sizes BLIP-2 uses, to pixels.
 *
 * A PNG must come out bit for bit. Of a JPEG another decoder may differ by a level, so what follows
 * from our own decode is held to the case's tolerances, and the sums to the picture that the
 * original decoder saw (decoded.png beside the case), from which the rest must be exact. */
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "device.h"
#include "image/image.h"
#include "kinds.h"

enum { MAX_SIDE = 4096, JPEG_LEVELS = 1 };
static const double jpeg_mean_levels = 0.1;

typedef struct picture_case {
    const golden_case *golden;
    verdict *v;
    b2_device *device;
    bool jpeg;
    blip2_image *decoded;  /* by us */
    blip2_image *original; /* by the original, of a JPEG; else NULL */
} picture_case;

static blip2_status open_image(const golden_case *golden, const char *relative, blip2_image **out) {
    char *path = golden_path(golden, relative);
    blip2_status status = path != NULL ? blip2_image_open(out, path, NULL) : b2_fail_memory();

    b2_free(path);
    return status;
}

/* The picture at another size, yours to b2_free. */
static blip2_status resized(const blip2_image *image, uint32_t side, uint8_t **out) {
    blip2_status status;

    if ((*out = b2_alloc_array((size_t)side * side, 3)) == NULL)
        return b2_fail_memory();
    status = b2_image_resize(*out, side, side, image->rgb, image->width, image->height);
    if (status < 0) {
        b2_free(*out);
        *out = NULL;
    }
    return status;
}

/* Pixels [3, side, side] as the device makes them, yours to b2_free. */
static blip2_status pixels_of(const picture_case *c, const blip2_image *image, uint32_t side,
                              float **out) {
    b2_resize_normalise op = {.rgb = image->rgb,
                              .in_width = image->width,
                              .in_height = image->height,
                              .width = side,
                              .height = side,
                              .mean = {0.48145466f, 0.4578275f, 0.40821073f},
                              .std = {0.26862954f, 0.26130258f, 0.27577711f}};
    const b2_device_ops *ops = c->device->ops;
    size_t bytes = (size_t)side * side * 3 * sizeof(float);
    void *memory;
    blip2_status status;

    if ((*out = b2_alloc(bytes)) == NULL)
        return b2_fail_memory();
    if ((status = ops->alloc(c->device, &memory, bytes)) == BLIP2_OK) {
        op.pixels = memory;
        if ((status = ops->resize_normalise(c->device, &op)) == BLIP2_OK &&
            (status = ops->sync(c->device)) == BLIP2_OK)
            status = ops->download(c->device, *out, memory, bytes);
        ops->free(c->device, memory);
    }
    if (status < 0) {
        b2_free(*out);
        *out = NULL;
    }
    return status;
}

/* The number behind prefix in name, 1..MAX_SIDE; 0: it is not such a name. */
static uint32_t side_in(const char *name, const char *prefix) {
    size_t length = strlen(prefix);
    char *end;
    unsigned long side;

    if (strncmp(name, prefix, length) != 0)
        return 0;
    side = strtoul(name + length, &end, 10);
    return *end == '\0' && side <= MAX_SIDE ? (uint32_t)side : 0;
}

/* ---- 8-bit values ------------------------------------------------------------------------- */

/* got against a PNG of the case, by levels. */
static void compare_levels(const picture_case *c, const char *name, const uint8_t *got,
                           uint32_t width, uint32_t height, const blip2_image *expected) {
    size_t count = (size_t)width * height * 3;
    double sum = 0;
    int most = 0;

    if (expected->width != width || expected->height != height) {
        verdict_fail(c->v, "%s: got %u x %u, expected %u x %u", name, width, height,
                     expected->width, expected->height);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        int levels = abs(got[i] - expected->rgb[i]);

        most = levels > most ? levels : most;
        sum += levels;
    }
    b2_text_appendf(&c->v->lines, "    %s: at most %d levels, mean %.3g\n", name, most,
                    sum / (double)count);
    if (most > (c->jpeg ? JPEG_LEVELS : 0) || (c->jpeg && sum / (double)count >= jpeg_mean_levels))
        verdict_fail(c->v, "%s: differs by up to %d levels, %.3g on average", name, most,
                     sum / (double)count);
}

/* expect.files: "decoded.png", and "resized_N.png". */
static blip2_status compare_files(const picture_case *c) {
    const json_t *files = json_object_get(c->golden->expect, "files");
    const char *name;
    json_t *meaning;
    blip2_status status = BLIP2_OK;

    json_object_foreach((json_t *)(uintptr_t)files, name, meaning) {
        char stem[64];
        uint32_t side;
        uint8_t *rgb = NULL;
        blip2_image *expected;

        (void)snprintf(stem, sizeof stem, "%.*s", (int)strcspn(name, "."), name);
        side = side_in(stem, "resized_");
        if (side == 0 && strcmp(name, "decoded.png") != 0)
            return golden_bad(c->golden, "expect.files", "decoded.png or resized_N.png", files);
        if ((status = open_image(c->golden, name, &expected)) < 0)
            return status;
        if (side == 0)
            compare_levels(c, name, c->decoded->rgb, c->decoded->width, c->decoded->height,
                           expected);
        else if ((status = resized(c->decoded, side, &rgb)) == BLIP2_OK)
            compare_levels(c, name, rgb, side, side, expected);
        b2_free(rgb);
        blip2_image_free(expected);
        if (status < 0)
            return status;
    }
    return verdict_done(c->v, "files");
}

/* expect.sha256_*: of the decoded picture, of 8-bit sizes and of pixels. */
static blip2_status compare_sum(const picture_case *c, const char *key) {
    const blip2_image *image = c->jpeg ? c->original : c->decoded;
    uint32_t rgb8 = side_in(key, "sha256_rgb8_"), float32 = side_in(key, "sha256_float32_");
    char hex[65];
    uint8_t *rgb;
    float *pixels;
    blip2_status status;

    if (rgb8 != 0) {
        if ((status = resized(image, rgb8, &rgb)) < 0)
            return status;
        b2_sha256_hex(hex, rgb, (size_t)rgb8 * rgb8 * 3);
        b2_free(rgb);
    } else if (float32 != 0) {
        if ((status = pixels_of(c, image, float32, &pixels)) < 0)
            return status;
        b2_sha256_hex(hex, pixels, (size_t)float32 * float32 * 3 * sizeof *pixels);
        b2_free(pixels);
    } else if (strcmp(key, "sha256_decoded_rgb8") == 0) {
        b2_sha256_hex(hex, image->rgb, (size_t)image->width * image->height * 3);
    } else {
        return BLIP2_OK; /* verdict_finish reports it */
    }
    return verdict_value(c->v, key, json_string(hex), NULL);
}

/* ---- pixels ------------------------------------------------------------------------------- */

/* Which rows of a picture "rows_N" holds, from its meaning: "pixel_values[:, [0, 27, 55], :] ...".
 * *rows [*count], yours to b2_free. */
static blip2_status rows_in_meaning(const golden_case *golden, const char *name, uint32_t side,
                                    int64_t **rows, size_t *count) {
    const json_t *meaning = json_object_get(json_object_get(golden->tensor_names, name), "meaning");
    const char *text = json_is_string(meaning) ? json_string_value(meaning) : "";
    const char *at = strstr(text, "[:, [");
    char where[96];

    *count = 0;
    if ((*rows = b2_alloc_array(side, sizeof **rows)) == NULL)
        return b2_fail_memory();
    at = at != NULL ? at + strlen("[:, [") : "";
    while (*count < side) {
        char *end;
        unsigned long row = strtoul(at, &end, 10);

        if (end == at || row >= side)
            break;
        (*rows)[(*count)++] = (int64_t)row;
        if (*end == ']')
            return BLIP2_OK;
        at = end + (*end == ',' ? 1 : 0);
    }
    b2_free(*rows);
    *rows = NULL;
    (void)snprintf(where, sizeof where, "expect.tensor_names.%s.meaning", name);
    return golden_bad(golden, where, "rows as in \"pixel_values[:, [0, 27], :]\"", meaning);
}

static blip2_status compare_pixels(const picture_case *c, const char *name, uint32_t side,
                                   bool whole) {
    int64_t *rows = NULL, *row_of = NULL;
    size_t count = 0;
    float *pixels = NULL;
    blip2_status status = pixels_of(c, c->decoded, side, &pixels);

    if (status == BLIP2_OK && !whole)
        status = rows_in_meaning(c->golden, name, side, &rows, &count);
    if (status == BLIP2_OK && !whole &&
        (row_of = b2_alloc_array(3 * count, sizeof *row_of)) == NULL)
        status = b2_fail_memory();
    for (size_t i = 0; status == BLIP2_OK && i < 3 * count; i++)
        row_of[i] = (int64_t)(i / count) * side + rows[i % count];
    if (status == BLIP2_OK && !whole) {
        const b2_tensor *tensor = b2_weights_find(c->golden->expect_tensors, name);

        if (tensor->count != 3 * count * side)
            status = b2_fail(BLIP2_EINVAL, "%s: tensor \"%s\" has not the rows of its meaning",
                             c->golden->file, name);
    }
    if (status == BLIP2_OK)
        status = verdict_tensor(c->v, name, pixels, 3 * (int64_t)side, side, row_of);
    b2_free(row_of);
    b2_free(rows);
    b2_free(pixels);
    return status;
}

static blip2_status compare_tensors(const picture_case *c) {
    const char *name;
    json_t *entry;
    blip2_status status;

    json_object_foreach((json_t *)(uintptr_t)c->golden->tensor_names, name, entry) {
        uint32_t whole = side_in(name, "pixel_values_"), rows = side_in(name, "rows_");

        if ((whole != 0 || rows != 0) &&
            (status = compare_pixels(c, name, whole != 0 ? whole : rows, whole != 0)) < 0)
            return status;
    }
    return verdict_done(c->v, "rows"); /* the same rows as in the meanings, no result */
}

/* ---- the case ----------------------------------------------------------------------------- */

static blip2_status compare(const picture_case *c) {
    const json_t *inputs = c->golden->inputs;
    const char *key;
    json_t *value;
    blip2_status status;

    if (json_integer_value(json_object_get(inputs, "width")) != c->decoded->width ||
        json_integer_value(json_object_get(inputs, "height")) != c->decoded->height)
        verdict_fail(c->v, "the picture is %u x %u, not as inputs.width and inputs.height say",
                     c->decoded->width, c->decoded->height);
    if ((status = compare_files(c)) < 0 || (status = compare_tensors(c)) < 0)
        return status;
    json_object_foreach((json_t *)(uintptr_t)c->golden->expect, key, value) {
        if (strncmp(key, "sha256_", 7) == 0 && (status = compare_sum(c, key)) < 0)
            return status;
    }
    return BLIP2_OK;
}

static blip2_status open_case(picture_case *c, const char *device) {
    const json_t *path = json_object_get(c->golden->inputs, "image");
    const json_t *files = json_object_get(c->golden->expect, "files");
    blip2_status status;

    if (!json_is_string(path))
        return golden_bad(c->golden, "inputs.image", "a file name", path);
    c->jpeg = json_object_get(c->golden->tolerance, "jpeg") != NULL;
    if (c->jpeg && json_object_get(files, "decoded.png") == NULL)
        return golden_bad(c->golden, "expect.files", "decoded.png of a JPEG", files);
    if ((status = b2_device_open(&c->device, device, &bench_exact)) < 0 ||
        (status = open_image(c->golden, json_string_value(path), &c->decoded)) < 0)
        return status;
    return c->jpeg ? open_image(c->golden, "decoded.png", &c->original) : BLIP2_OK;
}

blip2_status run_preprocess(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"image", "mode", "width", "height", NULL};
    picture_case c = {.golden = golden, .v = v};
    blip2_status status = golden_only(golden->inputs, "inputs.", known);

    if (status == BLIP2_OK && (status = open_case(&c, device)) == BLIP2_OK)
        status = compare(&c);
    blip2_image_free(c.original);
    blip2_image_free(c.decoded);
    b2_device_close(c.device);
    return status;
}
