/* JPEG to RGB through libjpeg(-turbo), set as Pillow sets it: accurate integer DCT and smooth
 * up-sampling (both are the library's defaults), warnings ignored, no look at EXIF orientation or
 * colour profiles. CMYK is taken as Adobe writes it, inverted, with or without an Adobe marker.
 *
 * Rows go straight into the result; a CMYK row passes through one row of its own. libjpeg has no
 * hook for its memory: tables and rows are small, and the coefficients of a progressive file are
 * bounded below by its pixels.
 *
 * libjpeg reports errors through error_exit, which must not return. The one setjmp is in run(); all
 * that changes between the two lives in struct reader, in the frame of run's caller. */
#include <stdio.h> /* jpeglib.h needs FILE */

#include <jpeglib.h>

#include <jerror.h>
#include <setjmp.h>
#include <string.h>

#include "base/alloc.h"
#include "image/codec.h"

/* Each scan of a progressive file walks over the whole picture, and an empty one takes a few bytes:
 * a small file could ask for days of work. Encoders write about 10 scans (libjpeg's own script),
 * and a script that sends each coefficient of three components in a scan of its own has 192. */
#define MAX_SCANS 200
/* Beside the coefficients: colour tables, rows, blocks of padding in very flat pictures. */
#define SLACK_BYTES (64L << 20)

typedef struct reader {
    const b2_encoded *in;
    blip2_image *image;
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    uint8_t *cmyk;       /* [width, 4], for four components */
    blip2_status status; /* valid after a jump */
    jmp_buf jump;
} reader;

bool b2_is_jpeg(const uint8_t *data, size_t size) {
    return size >= 3 && data[0] == 0xff && data[1] == 0xd8 && data[2] == 0xff;
}

static _Noreturn void fail(reader *r, blip2_status status) {
    r->status = status;
    longjmp(r->jump, 1);
}

static _Noreturn void on_error(j_common_ptr jpeg) {
    reader *r = jpeg->client_data;
    const char *name = r->in->name;
    char text[JMSG_LENGTH_MAX];

    switch (r->errors.msg_code) {
    case JERR_OUT_OF_MEMORY:
        fail(r, b2_fail_memory());
    case JERR_NO_BACKING_STORE:
        fail(r, b2_fail(BLIP2_EFORMAT, "%s: JPEG needs more memory than its size explains", name));
    case JERR_BAD_PRECISION:
        fail(r, b2_fail(BLIP2_ENOTSUP, "%s: JPEG of %d bits a sample, expected 8", name,
                        r->errors.msg_parm.i[0]));
    case JERR_SOF_UNSUPPORTED:
        fail(r, b2_fail(BLIP2_ENOTSUP,
                        "%s: JPEG of type 0x%02x (lossless or hierarchical), expected baseline or "
                        "progressive",
                        name, (unsigned)r->errors.msg_parm.i[0]));
    default:
        /* A fixed table of plain texts with small numbers in them. */
        r->errors.format_message(jpeg, text);
        fail(r, b2_fail(BLIP2_EFORMAT, "%s: broken JPEG: %.100s", name, text));
    }
}

static void on_message(j_common_ptr jpeg, int level) {
    (void)jpeg;
    (void)level;
}

static void on_source(j_decompress_ptr jpeg) {
    (void)jpeg;
}

/* All of the file was in the buffer from the start: more is wanted than there is. */
static boolean on_fill(j_decompress_ptr jpeg) {
    reader *r = jpeg->client_data;

    fail(r, b2_fail(BLIP2_EFORMAT, "%s: JPEG is truncated: it ends after %zu bytes", r->in->name,
                    r->in->size));
}

static void on_skip(j_decompress_ptr jpeg, long bytes) {
    struct jpeg_source_mgr *source = jpeg->src;

    if (bytes <= 0)
        return;
    if ((size_t)bytes > source->bytes_in_buffer)
        (void)on_fill(jpeg);
    source->next_input_byte += bytes;
    source->bytes_in_buffer -= (size_t)bytes;
}

static void on_progress(j_common_ptr jpeg) {
    reader *r = jpeg->client_data;

    if (r->jpeg.input_scan_number > MAX_SCANS)
        fail(r, b2_fail(BLIP2_EFORMAT, "%s: progressive JPEG of more than %d scans", r->in->name,
                        MAX_SCANS));
}

static void create(reader *r) {
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->jpeg.client_data = r;
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    jpeg_create_decompress(&r->jpeg);
    r->source = (struct jpeg_source_mgr){.next_input_byte = r->in->data,
                                         .bytes_in_buffer = r->in->size,
                                         .init_source = on_source,
                                         .fill_input_buffer = on_fill,
                                         .skip_input_data = on_skip,
                                         .resync_to_restart = jpeg_resync_to_restart,
                                         .term_source = on_source};
    r->jpeg.src = &r->source;
    r->progress.progress_monitor = on_progress;
    r->jpeg.progress = &r->progress;
}

/* x * y / 255 as Pillow rounds it. */
static unsigned mul_div_255(unsigned x, unsigned y) {
    unsigned t = x * y + 128;

    return (t + (t >> 8)) >> 8;
}

/* Inverted CMYK as stored to RGB: R = (255 - K) - C * (255 - K) / 255, and so for G and B. */
static void convert_row(uint8_t *rgb, const uint8_t *cmyk, size_t width) {
    for (size_t x = 0; x < width; x++, rgb += 3, cmyk += 4) {
        unsigned white = cmyk[3];

        for (int c = 0; c < 3; c++)
            rgb[c] = (uint8_t)(white - mul_div_255(255u - cmyk[c], white));
    }
}

static void read_rows(reader *r) {
    size_t width = r->image->width;

    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        uint8_t *rgb = r->image->rgb + 3 * width * r->jpeg.output_scanline;
        JSAMPROW row = r->cmyk != NULL ? r->cmyk : rgb;

        (void)jpeg_read_scanlines(&r->jpeg, &row, 1);
        if (r->cmyk != NULL)
            convert_row(rgb, r->cmyk, width);
    }
}

static void read_picture(reader *r) {
    int components;
    uint64_t pixels;
    blip2_status status;

    create(r);
    (void)jpeg_read_header(&r->jpeg, TRUE);
    components = r->jpeg.num_components;
    if (r->jpeg.data_precision != 8)
        fail(r, b2_fail(BLIP2_ENOTSUP, "%s: JPEG of %d bits a sample, expected 8", r->in->name,
                        r->jpeg.data_precision));
    if (components != 1 && components != 3 && components != 4)
        fail(r, b2_fail(BLIP2_ENOTSUP, "%s: JPEG of %d components, expected 1, 3 or 4", r->in->name,
                        components));
    if ((status = b2_image_reserve(r->image, r->jpeg.image_width, r->jpeg.image_height, r->in)) < 0)
        fail(r, status);
    if (components == 4 && (r->cmyk = b2_alloc_array(r->image->width, 4)) == NULL)
        fail(r, b2_fail_memory());
    r->jpeg.out_color_space = components == 4 ? JCS_CMYK : JCS_RGB;
    /* Progressive: 2 bytes a coefficient, at most 4 components. Sides are below 2^16, so this fits.
     */
    pixels = (uint64_t)r->image->width * r->image->height;
    r->jpeg.mem->max_memory_to_use = (long)(pixels * 8) + SLACK_BYTES;
    (void)jpeg_start_decompress(&r->jpeg);
    read_rows(r);
    (void)jpeg_finish_decompress(&r->jpeg); /* reads on to the end marker */
}

static blip2_status run(reader *r) {
    if (setjmp(r->jump) != 0)
        return r->status;
    read_picture(r);
    return BLIP2_OK;
}

blip2_status b2_jpeg_decode(blip2_image *out, const b2_encoded *in) {
    reader r = {.in = in, .image = out};
    blip2_status status = run(&r);

    jpeg_destroy_decompress(&r.jpeg);
    b2_free(r.cmyk);
    return status;
}
