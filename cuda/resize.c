/* Pillow's resize on the GPU: integers, so exact. The host makes the tables of weights (image.h),
 * the GPU runs the passes; picture, passes and tables stand in scratch. A picture too large for it
 * is resized by the host. */
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "gpu.h"
#include "image/image.h"

/* Weights of one axis, on the GPU: first [out], count [out], weight [out, taps], its rows in whole
 * sectors of 32 bytes. */
enum { SECTOR_WEIGHTS = 8 };
typedef struct axis {
    uint32_t in, out;
    size_t taps;
    int32_t *first, *count, *weight;
} axis;

/* Pieces of scratch, one behind the other. */
typedef struct carver {
    char *base;
    size_t used;
    bool overflow;
} carver;

static void *carve(carver *c, size_t a, size_t b, size_t size) {
    size_t bytes, at = c->used;

    if (!b2_size_mul(a, b, &bytes) || !b2_size_mul(bytes, size, &bytes) ||
        !b2_size_round(bytes, 256, &bytes) || !b2_size_add(c->used, bytes, &c->used) ||
        c->used > B2_SCRATCH_BYTES) {
        c->overflow = true;
        c->used = at;
    }
    return c->base + at;
}

static axis carve_axis(carver *c, uint32_t in, uint32_t out) {
    axis a = {.in = in, .out = out, .taps = b2_image_taps(out, in)};

    a.taps = (a.taps + SECTOR_WEIGHTS - 1) / SECTOR_WEIGHTS * SECTOR_WEIGHTS;
    a.first = carve(c, out, 1, sizeof(int32_t));
    a.count = carve(c, out, 1, sizeof(int32_t));
    a.weight = carve(c, out, a.taps, sizeof(int32_t));
    return a;
}

/* weight [rows, from] becomes [rows, to], with zeros at the ends of its rows. */
static void spread(int32_t *weight, size_t rows, size_t from, size_t to) {
    for (size_t i = rows; i-- > 0;) {
        memmove(weight + i * to, weight + i * from, from * sizeof *weight);
        memset(weight + i * to + from, 0, (to - from) * sizeof *weight);
    }
}

static blip2_status send_axis(b2_cuda *cuda, const axis *a) {
    size_t out = a->out, count = out * a->taps;
    int32_t *host = b2_alloc_array(2 * out + count, sizeof *host);
    blip2_status status;

    if (host == NULL)
        return b2_fail_memory();
    status = b2_image_weights(host, host + out, host + 2 * out, a->out, a->in);
    if (status == BLIP2_OK) {
        spread(host + 2 * out, out, b2_image_taps(a->out, a->in), a->taps);
        status = b2_cuda_send(cuda, a->first, host, out * sizeof *host);
    }
    if (status == BLIP2_OK)
        status = b2_cuda_send(cuda, a->count, host + out, out * sizeof *host);
    if (status == BLIP2_OK)
        status = b2_cuda_send(cuda, a->weight, host + 2 * out, count * sizeof *host);
    b2_free(host);
    return status;
}

/* A picture under way: bytes [height, width, 3]. */
typedef struct picture {
    uint8_t *rgb;
    uint32_t width, height;
} picture;

/* One pass along an axis, whose result takes the picture's place. */
static blip2_status run_pass(b2_cuda *cuda, picture *p, const axis *a, bool down, uint8_t *to) {
    b2_resize_args args = {.x = p->rgb,
                           .y = to,
                           .first = a->first,
                           .count = a->count,
                           .weight = a->weight,
                           .in_width = (int32_t)p->width,
                           .in_height = (int32_t)p->height,
                           .most = (int32_t)a->taps};
    blip2_status status = send_axis(cuda, a);

    if (status < 0)
        return status;
    p->rgb = to;
    if (down)
        p->height = a->out;
    else
        p->width = a->out;
    args.width = (int32_t)p->width;
    args.height = (int32_t)p->height;
    return b2_launch_rows(cuda, down ? b2_resize_cols_kernel : b2_resize_rows_kernel, p->height,
                          &args);
}

static blip2_status normalise(b2_cuda *cuda, const b2_resize_normalise *op, const uint8_t *rgb) {
    b2_normalise_args args = {.rgb = rgb,
                              .pixels = op->pixels,
                              .width = (int32_t)op->width,
                              .height = (int32_t)op->height};

    memcpy(args.mean, op->mean, sizeof args.mean);
    memcpy(args.std, op->std, sizeof args.std);
    return b2_launch_rows(cuda, b2_normalise_kernel, op->height, &args);
}

static blip2_status on_host(b2_cuda *cuda, const b2_resize_normalise *op) {
    size_t count = 0;
    uint8_t *resized = NULL;
    float *pixels = NULL;
    blip2_status status;

    if (b2_size_mul(op->width, op->height, &count) && b2_size_mul(count, 3, &count)) {
        resized = b2_alloc(count);
        pixels = b2_alloc_array(count, sizeof *pixels);
    }
    if (resized == NULL || pixels == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    status = b2_image_resize(resized, op->width, op->height, op->rgb, op->in_width, op->in_height);
    if (status < 0)
        goto out;
    b2_image_normalise(pixels, resized, op->width, op->height, op->mean, op->std);
    status = b2_cuda_send(cuda, op->pixels, pixels, count * sizeof *pixels);
out:
    b2_free(resized);
    b2_free(pixels);
    return status;
}

blip2_status b2_cuda_resize_normalise(b2_device *device, const b2_resize_normalise *op) {
    b2_cuda *cuda = b2_cuda_of(device);
    carver c = {.base = cuda->scratch};
    picture p = {.width = op->in_width, .height = op->in_height};
    bool down_first;
    uint8_t *passes[2];
    blip2_status status = b2_cuda_begin(cuda, "resize_normalise");

    if (status < 0)
        return status;
    if (op->width == 0 || op->height == 0 || op->in_width == 0 || op->in_height == 0)
        return b2_cuda_refuse(cuda, "a picture without pixels");
    down_first = b2_image_down_first(op->width, op->height, op->in_width, op->in_height);
    p.rgb = carve(&c, op->in_height, op->in_width, 3);
    passes[0] = carve(&c, down_first ? op->height : op->in_height,
                      down_first ? op->in_width : op->width, 3);
    passes[1] = carve(&c, op->height, op->width, 3);
    const axis x = carve_axis(&c, op->in_width, op->width);
    const axis y = carve_axis(&c, op->in_height, op->height);
    if (c.overflow)
        return on_host(cuda, op);
    status = b2_cuda_send(cuda, p.rgb, op->rgb, (size_t)op->in_width * op->in_height * 3);
    for (int i = 0; i < 2 && status == BLIP2_OK; i++) {
        bool down = (i == 0) == down_first;
        const axis *a = down ? &y : &x;

        if (a->in != a->out)
            status = run_pass(cuda, &p, a, down, passes[i]);
    }
    return status == BLIP2_OK ? normalise(cuda, op, p.rgb) : status;
}
