/* Pillow's bicubic for 8-bit pictures, bit for bit: a separable filter, widened when the picture
 * shrinks (antialias), with weights in 22-bit fixed point and rounding to 8 bits after each pass.
 *
 *     rgb [in_height, in_width] --across--> middle [rows, width] --down--> out [height, width]
 *
 * or, for pictures that lose many more rows than columns, down first. Only the rows that the second
 * pass reads are made, and a pass that would not change its size is skipped. Weights are computed
 * in double exactly in Pillow's order of operations; they are built without fused multiply-add (see
 * CMakeLists.txt).
 *
 * Sums are kept in unsigned 32-bit: they wrap as Pillow's int does on every machine it runs on, and
 * only for scales beyond a million do they wrap at all. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "image/image.h"

#define PRECISION_BITS 22 /* 32 - 8 bits of pixel - 2 bits of headroom */
#define SUPPORT 2.0       /* of the bicubic kernel */
/* Weights of the first pass are made for so many columns that they stay in the cache; this also
 * bounds their memory for very wide pictures. */
#define WEIGHTS_PER_BLOCK 65536

#define LANES 16 /* bytes that a sum of rows treats together */
#define STRIP 16 /* rows that the pass across treats together; 3 * STRIP is a multiple of LANES */

/* One axis: in -> out. */
typedef struct axis {
    uint32_t in, out; /* pixels */
    double scale, filter_scale, support;
    size_t taps; /* most weights an output pixel can have */
} axis;

/* The weights of one output pixel: input pixels first .. first + count - 1. */
typedef struct span {
    uint32_t first, count;
} span;

static double bicubic(double x) {
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static axis make_axis(uint32_t in, uint32_t out) {
    axis a = {.in = in, .out = out, .scale = (double)in / out};

    a.filter_scale = fmax(a.scale, 1.0);
    a.support = SUPPORT * a.filter_scale;
    a.taps = b2_size_min((size_t)ceil(a.support) * 2 + 1, in);
    return a;
}

static span find_span(const axis *a, uint32_t index) {
    double centre = (index + 0.5) * a->scale;
    double low = centre - a->support + 0.5, high = centre + a->support + 0.5;
    uint32_t first = low > 0 ? (uint32_t)low : 0;
    uint32_t end = high < a->in ? (uint32_t)high : a->in;

    return (span){.first = first, .count = end - first};
}

/* weights [a->taps] of output pixel index. scratch: [a->taps]. */
static span make_weights(int32_t *weights, double *scratch, const axis *a, uint32_t index) {
    span s = find_span(a, index);
    double centre = (index + 0.5) * a->scale, step = 1.0 / a->filter_scale, sum = 0.0;

    for (uint32_t k = 0; k < s.count; k++) {
        scratch[k] = bicubic((k + s.first - centre + 0.5) * step);
        sum += scratch[k];
    }
    for (uint32_t k = 0; k < s.count; k++) {
        double w = (sum != 0.0 ? scratch[k] / sum : scratch[k]) * (1 << PRECISION_BITS);

        weights[k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
    }
    return s;
}

static inline uint8_t to_byte(uint32_t sum) {
    int32_t value = (int32_t)sum >> PRECISION_BITS;

    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

/* out [lanes] = the weighted sum of count rows of src, stride bytes apart. lanes is a constant
 * where this is inlined, so that the sums stay in registers. */
static inline __attribute__((always_inline)) void blend_lanes(uint8_t *out, const uint8_t *src,
                                                              size_t stride, const int32_t *weights,
                                                              size_t count, size_t lanes) {
    uint32_t sum[LANES];

    for (size_t i = 0; i < lanes; i++)
        sum[i] = 1u << (PRECISION_BITS - 1);
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < lanes; i++)
            sum[i] += (uint32_t)weights[k] * src[k * stride + i];
    for (size_t i = 0; i < lanes; i++)
        out[i] = to_byte(sum[i]);
}

/* The same for n bytes. */
static void blend(uint8_t *out, const uint8_t *src, size_t stride, size_t n, const int32_t *weights,
                  size_t count) {
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        blend_lanes(out + i, src + i, stride, weights, count, LANES);
    for (; i < n; i++)
        blend_lanes(out + i, src + i, stride, weights, count, 1);
}

/* ---- down: out [a->out, row_bytes] from rgb [a->in - first_row, row_bytes] --------------------
 */

static blip2_status resize_down(uint8_t *out, const uint8_t *rgb, uint32_t first_row,
                                size_t row_bytes, const axis *a) {
    int32_t *weights = b2_alloc_array(a->taps, sizeof *weights);
    double *scratch = b2_alloc_array(a->taps, sizeof *scratch);
    blip2_status status = BLIP2_OK;

    if (weights == NULL || scratch == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    for (uint32_t y = 0; y < a->out; y++) {
        span s = make_weights(weights, scratch, a, y);

        blend(out + y * row_bytes, rgb + (s.first - first_row) * row_bytes, row_bytes, row_bytes,
              weights, s.count);
    }
out:
    b2_free(weights);
    b2_free(scratch);
    return status;
}

/* ---- across: out [rows, a->out, 3] from rgb [rows, a->in, 3] ----------------------------------
 */

/* Work space. A block is a run of output columns, a strip a few rows; a strip is turned so that
 * the pixels of a column lie side by side, which makes this pass the same sum of rows as the other.
 */
typedef struct across {
    const axis *a;
    uint32_t columns; /* of a block */
    int32_t *weights; /* [columns, a->taps] */
    span *spans;      /* [columns] */
    double *scratch;  /* [a->taps] */
    size_t strip;     /* rows of a strip */
    uint8_t *turned;  /* [input columns of a block, strip, 3] */
} across;

static void across_free(across *w) {
    b2_free(w->weights);
    b2_free(w->spans);
    b2_free(w->scratch);
    b2_free(w->turned);
}

static blip2_status across_open(across *w, const axis *a, size_t rows) {
    size_t input_columns;
    double reach;

    *w = (across){.a = a, .strip = b2_size_min(STRIP, rows)};
    w->columns = (uint32_t)b2_size_min(b2_size_max(WEIGHTS_PER_BLOCK / a->taps, 1), a->out);
    /* From the first span's start to the last one's end: columns steps and one window, rounded up.
     */
    reach = w->columns * a->scale + 2 * a->support + 2;
    input_columns = reach < a->in ? (size_t)reach : a->in;
    w->weights = b2_alloc_array(w->columns * a->taps, sizeof *w->weights);
    w->spans = b2_alloc_array(w->columns, sizeof *w->spans);
    w->scratch = b2_alloc_array(a->taps, sizeof *w->scratch);
    w->turned = b2_alloc_array(input_columns, w->strip * 3);
    if (w->weights != NULL && w->spans != NULL && w->scratch != NULL && w->turned != NULL)
        return BLIP2_OK;
    across_free(w);
    return b2_fail_memory();
}

/* Output columns first .. first + count - 1 of all rows. */
static void across_block(uint8_t *out, const uint8_t *rgb, size_t rows, across *w, uint32_t first,
                         uint32_t count) {
    const axis *a = w->a;
    uint32_t low, high;

    for (uint32_t x = 0; x < count; x++)
        w->spans[x] = make_weights(w->weights + x * a->taps, w->scratch, a, first + x);
    low = w->spans[0].first;
    high = w->spans[count - 1].first + w->spans[count - 1].count;
    for (size_t y0 = 0; y0 < rows; y0 += w->strip) {
        size_t strip = b2_size_min(w->strip, rows - y0), bytes = strip * 3;

        for (size_t y = 0; y < strip; y++)
            for (size_t x = low; x < high; x++)
                memcpy(w->turned + (x - low) * bytes + y * 3, rgb + ((y0 + y) * a->in + x) * 3, 3);
        for (uint32_t x = 0; x < count; x++) {
            uint8_t column[STRIP * 3];

            blend(column, w->turned + (w->spans[x].first - low) * bytes, bytes, bytes,
                  w->weights + x * a->taps, w->spans[x].count);
            for (size_t y = 0; y < strip; y++)
                memcpy(out + ((y0 + y) * a->out + first + x) * 3, column + y * 3, 3);
        }
    }
}

static blip2_status resize_across(uint8_t *out, const uint8_t *rgb, size_t rows, const axis *a) {
    across w;
    blip2_status status = across_open(&w, a, rows);

    if (status < 0)
        return status;
    for (uint32_t x = 0; x < a->out; x += w.columns)
        across_block(out, rgb, rows, &w, x, (uint32_t)b2_size_min(w.columns, a->out - x));
    across_free(&w);
    return BLIP2_OK;
}

/* ---- tables for devices -----------------------------------------------------------------------
 */

size_t b2_image_taps(uint32_t out, uint32_t in) {
    return make_axis(in, out).taps;
}

blip2_status b2_image_weights(int32_t *first, int32_t *count, int32_t *weights, uint32_t out,
                              uint32_t in) {
    axis a = make_axis(in, out);
    double *scratch = b2_alloc_array(a.taps, sizeof *scratch);

    if (scratch == NULL)
        return b2_fail_memory();
    memset(weights, 0, (size_t)out * a.taps * sizeof *weights);
    for (uint32_t i = 0; i < out; i++) {
        span s = make_weights(weights + i * a.taps, scratch, &a, i);

        first[i] = (int32_t)s.first;
        count[i] = (int32_t)s.count;
    }
    b2_free(scratch);
    return BLIP2_OK;
}

/* ---- both --------------------------------------------------------------------------------------
 */

static blip2_status across_then_down(uint8_t *out, const uint8_t *rgb, const axis *x,
                                     const axis *y) {
    span last = find_span(y, y->out - 1);
    uint32_t first = find_span(y, 0).first, rows = last.first + last.count - first;
    uint8_t *middle = b2_alloc_array((size_t)rows * x->out, 3);
    blip2_status status;

    if (middle == NULL)
        return b2_fail_memory();
    status = resize_across(middle, rgb + (size_t)first * x->in * 3, rows, x);
    if (status == BLIP2_OK)
        status = resize_down(out, middle, first, (size_t)x->out * 3, y);
    b2_free(middle);
    return status;
}

static blip2_status down_then_across(uint8_t *out, const uint8_t *rgb, const axis *x,
                                     const axis *y) {
    uint8_t *middle = b2_alloc_array((size_t)y->out * x->in, 3);
    blip2_status status;

    if (middle == NULL)
        return b2_fail_memory();
    status = resize_down(middle, rgb, 0, (size_t)x->in * 3, y);
    if (status == BLIP2_OK)
        status = resize_across(out, middle, y->out, x);
    b2_free(middle);
    return status;
}

/* Pillow >= 13 goes down first where that takes more than twice as many rows away as columns. The
 * order shows: the result of the first pass is rounded. */
bool b2_image_down_first(uint32_t width, uint32_t height, uint32_t in_width, uint32_t in_height) {
    int64_t rows = (int64_t)in_height - height, columns = (int64_t)in_width - width;

    return rows > 0 && rows > 2 * columns;
}

blip2_status b2_image_resize(uint8_t *out, uint32_t width, uint32_t height, const uint8_t *rgb,
                             uint32_t in_width, uint32_t in_height) {
    axis x, y;

    if (width == 0 || height == 0 || in_width == 0 || in_height == 0)
        return b2_fail(BLIP2_EINVAL, "resize of %ux%u to %ux%u pixels, expected sides > 0",
                       in_width, in_height, width, height);
    x = make_axis(in_width, width);
    y = make_axis(in_height, height);
    if (in_width == width && in_height == height) {
        memcpy(out, rgb, (size_t)width * height * 3);
        return BLIP2_OK;
    }
    if (in_height == height)
        return resize_across(out, rgb, height, &x);
    if (in_width == width)
        return resize_down(out, rgb, 0, (size_t)width * 3, &y);
    return b2_image_down_first(width, height, in_width, in_height)
               ? down_then_across(out, rgb, &x, &y)
               : across_then_down(out, rgb, &x, &y);
}
