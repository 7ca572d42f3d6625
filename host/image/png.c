/* PNG to RGB through libpng, which only unpacks: it gives each row as stored, and the step to RGB
 * is ours, because Pillow's is not libpng's (16-bit gray saturates, alpha is dropped without a look
 * at it, gamma and profiles do not count).
 *
 *     pass of Adam7 (one when not interlaced) -> row as stored -> RGB, written to its place
 *
 * So the only memory of the picture's size is the result. Every chunk but IHDR, PLTE, tRNS, IDAT
 * and IEND is skipped unread (its checksum is verified), which closes the door on text and profile
 * bombs.
 *
 * libpng reports errors by longjmp. The one setjmp is in run(); all that changes between the two
 * lives in struct reader, in the frame of run's caller, where it keeps its value. */
#include <png.h>
#include <setjmp.h>
#include <string.h>

#include "base/alloc.h"
#include "image/codec.h"

typedef struct reader {
    const b2_encoded *in;
    blip2_image *image;
    png_structp png;
    png_infop info;
    uint8_t *row;        /* one row as stored, at most 8 bytes a pixel */
    size_t position;     /* of in->data */
    bool out_of_memory;  /* an allocation of libpng or zlib failed */
    blip2_status status; /* valid after a jump */
    jmp_buf jump;
} reader;

/* How to make RGB of a stored pixel. */
typedef struct layout {
    uint8_t palette[256][3];   /* by pixel value, when indexed */
    bool indexed;              /* up to 8 bits of gray or palette index, one byte a pixel */
    bool gray16;               /* 16 bits of gray: saturated at 255, as Pillow does */
    size_t pixel, green, blue; /* otherwise: bytes a pixel, offsets of G and B; R is at 0 */
} layout;

bool b2_is_png(const uint8_t *data, size_t size) {
    return size >= 8 && png_sig_cmp(data, 0, 8) == 0;
}

static _Noreturn void fail(reader *r, blip2_status status) {
    r->status = status;
    longjmp(r->jump, 1);
}

static _Noreturn void on_error(png_structp png, png_const_charp text) {
    reader *r = png_get_error_ptr(png);

    if (r->out_of_memory)
        fail(r, b2_fail_memory());
    fail(r, b2_fail(BLIP2_EFORMAT, "%s: broken PNG: %.100s", r->in->name, text));
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void *on_malloc(png_structp png, png_alloc_size_t size) {
    reader *r = png_get_mem_ptr(png);
    void *block = b2_alloc(size);

    if (block == NULL)
        r->out_of_memory = true;
    return block;
}

static void on_free(png_structp png, void *block) {
    (void)png;
    b2_free(block);
}

static void on_read(png_structp png, png_bytep out, size_t size) {
    reader *r = png_get_io_ptr(png);

    if (size > r->in->size - r->position)
        fail(r, b2_fail(BLIP2_EFORMAT, "%s: PNG is truncated: it ends after %zu bytes", r->in->name,
                        r->in->size));
    memcpy(out, r->in->data + r->position, size);
    r->position += size;
}

static void create(reader *r) {
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, on_malloc,
                                      on_free);
    if (r->png == NULL || (r->info = png_create_info_struct(r->png)) == NULL)
        fail(r, b2_fail_memory());
    png_set_read_fn(r->png, r, on_read);
    /* Our limit is on the area and is checked before the area matters; a side may be anything. */
    png_set_user_limits(r->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
}

/* Deflate cannot pack better than 1032:1 (258 bytes in 2 bits). A picture that needs more than the
 * whole file could hold is refused before it costs memory. */
static void check_plausible(reader *r, uint32_t width, uint32_t height, uint64_t pixel_bits) {
    uint64_t pixels = (uint64_t)width * height;

    if (pixels / (1032 * 8) * pixel_bits > r->in->size)
        fail(r, b2_fail(BLIP2_EFORMAT, "%s: PNG is truncated: %zu bytes cannot hold %ux%u pixels",
                        r->in->name, r->in->size, width, height));
}

static void fill_palette(reader *r, layout *l, int type, int depth) {
    int top = (1 << depth) - 1, count = 0;
    png_colorp colours = NULL;

    memset(l->palette, 0, sizeof l->palette); /* an index past the palette is black */
    if (type == PNG_COLOR_TYPE_PALETTE)
        (void)png_get_PLTE(r->png, r->info, &colours, &count);
    else
        for (int i = 0; i <= top; i++)
            memset(l->palette[i], i * 255 / top, 3);
    for (int i = 0; i < count; i++) {
        l->palette[i][0] = colours[i].red;
        l->palette[i][1] = colours[i].green;
        l->palette[i][2] = colours[i].blue;
    }
}

static void choose_layout(reader *r, layout *l) {
    int type = png_get_color_type(r->png, r->info), depth = png_get_bit_depth(r->png, r->info);
    size_t sample =
        depth == 16 ? 2 : 1; /* 16 bits are big-endian: the first byte is the high one */
    bool colour = (type & PNG_COLOR_MASK_COLOR) != 0;

    l->indexed = depth <= 8 && (type == PNG_COLOR_TYPE_GRAY || type == PNG_COLOR_TYPE_PALETTE);
    l->gray16 = depth == 16 && type == PNG_COLOR_TYPE_GRAY;
    l->pixel = png_get_channels(r->png, r->info) * sample;
    l->green = colour ? sample : 0;
    l->blue = colour ? 2 * sample : 0;
    if (l->indexed)
        fill_palette(r, l, type, depth);
}

/* rgb: the first pixel of this row; the next ones follow every step pixels. */
static void convert_row(uint8_t *rgb, size_t step, const uint8_t *row, size_t width,
                        const layout *l) {
    if (l->indexed)
        for (size_t x = 0; x < width; x++)
            memcpy(rgb + 3 * step * x, l->palette[row[x]], 3);
    else if (l->gray16)
        for (size_t x = 0; x < width; x++)
            memset(rgb + 3 * step * x, row[2 * x] > 0 ? 255 : row[2 * x + 1], 3);
    else
        for (size_t x = 0; x < width; x++, rgb += 3 * step, row += l->pixel) {
            rgb[0] = row[0];
            rgb[1] = row[l->green];
            rgb[2] = row[l->blue];
        }
}

/* The passes of an interlaced picture: first column, first row, step across, step down. */
static const uint8_t adam7[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                    {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
static const uint8_t whole[1][4] = {{0, 0, 1, 1}};

static void read_rows(reader *r, const layout *l) {
    bool interlaced = png_get_interlace_type(r->png, r->info) != PNG_INTERLACE_NONE;
    const uint8_t(*passes)[4] = interlaced ? adam7 : whole;
    size_t width = r->image->width, height = r->image->height;

    for (int i = 0; i < (interlaced ? 7 : 1); i++) {
        size_t x0 = passes[i][0], y0 = passes[i][1], step_x = passes[i][2], step_y = passes[i][3];
        size_t columns = width > x0 ? (width - x0 + step_x - 1) / step_x : 0;

        for (size_t y = y0; columns > 0 && y < height; y += step_y) {
            png_read_row(r->png, r->row, NULL);
            convert_row(r->image->rgb + 3 * (y * width + x0), step_x, r->row, columns, l);
        }
    }
}

static void read_picture(reader *r) {
    uint32_t width, height;
    blip2_status status;
    layout l;
    int depth;

    create(r);
    png_read_info(r->png, r->info);
    width = png_get_image_width(r->png, r->info);
    height = png_get_image_height(r->png, r->info);
    depth = png_get_bit_depth(r->png, r->info);
    if ((uint64_t)width * height <= r->in->max_pixels)
        check_plausible(r, width, height, (uint64_t)depth * png_get_channels(r->png, r->info));
    if ((status = b2_image_reserve(r->image, width, height, r->in)) < 0)
        fail(r, status);
    choose_layout(r, &l);
    if (depth < 8)
        png_set_packing(r->png); /* one byte a pixel, value as stored */
    png_read_update_info(r->png, r->info);
    if ((r->row = b2_alloc(png_get_rowbytes(r->png, r->info))) == NULL)
        fail(r, b2_fail_memory());
    read_rows(r, &l);
    /* All pixels are there. A broken text behind them does not matter, a missing end does. */
    png_set_crc_action(r->png, PNG_CRC_ERROR_QUIT, PNG_CRC_QUIET_USE);
    png_read_end(r->png, NULL);
}

static blip2_status run(reader *r) {
    if (setjmp(r->jump) != 0)
        return r->status;
    read_picture(r);
    return BLIP2_OK;
}

blip2_status b2_png_decode(blip2_image *out, const b2_encoded *in) {
    reader r = {.in = in, .image = out};
    blip2_status status = run(&r);

    b2_free(r.row);
    png_destroy_read_struct(&r.png, &r.info, NULL);
    return status;
}
