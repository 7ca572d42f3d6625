/* RGB to a PNG file, through libpng. Its errors come by longjmp, as in png.c: what changes between
 * setjmp and the jump lives in struct writer, in the frame of run's caller. */
#include <png.h>
#include <setjmp.h>

#include "base/alloc.h"
#include "base/file.h"
#include "image/heat.h"

typedef struct writer {
    const char *path;
    b2_file_writer file;
    png_structp png;
    png_infop info;
    blip2_status status;
    jmp_buf jump;
} writer;

static void on_error(png_structp png, png_const_charp text) {
    writer *w = png_get_error_ptr(png);

    if (w->status == BLIP2_OK)
        w->status = b2_fail(BLIP2_EINTERNAL, "%s: writing PNG: %.100s", w->path, text);
    longjmp(w->jump, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void *on_malloc(png_structp png, png_alloc_size_t size) {
    writer *w = png_get_mem_ptr(png);
    void *block = b2_alloc(size);

    if (block == NULL)
        w->status = b2_fail_memory();
    return block;
}

static void on_free(png_structp png, void *block) {
    (void)png;
    b2_free(block);
}

static void on_write(png_structp png, png_bytep data, size_t size) {
    writer *w = png_get_io_ptr(png);

    if ((w->status = b2_file_writer_write(&w->file, data, size)) < 0)
        png_error(png, "write");
}

static void on_flush(png_structp png) {
    (void)png;
}

static blip2_status run(writer *w, const uint8_t *rgb, uint32_t width, uint32_t height) {
    if (setjmp(w->jump) != 0)
        return w->status;
    w->png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, w, on_error, on_warning, w, on_malloc,
                                       on_free);
    if (w->png == NULL || (w->info = png_create_info_struct(w->png)) == NULL)
        return b2_fail_memory();
    png_set_write_fn(w->png, w, on_write, on_flush);
    png_set_IHDR(w->png, w->info, width, height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(w->png, w->info);
    for (uint32_t y = 0; y < height; y++)
        png_write_row(w->png, rgb + (size_t)y * width * 3);
    png_write_end(w->png, NULL);
    return BLIP2_OK;
}

blip2_status b2_png_write(const char *path, const uint8_t *rgb, uint32_t width, uint32_t height) {
    writer w = {.path = path};
    blip2_status status = b2_file_writer_open(&w.file, path);

    if (status < 0)
        return status;
    status = run(&w, rgb, width, height);
    png_destroy_write_struct(&w.png, &w.info);
    if (status == BLIP2_OK)
        return b2_file_writer_commit(&w.file);
    b2_file_writer_abandon(&w.file);
    return status;
}
