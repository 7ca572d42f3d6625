#include "gallery.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "interrupt.h"
#include "json.h"

blip2_status b2_gallery_tell(const char *path, const char *error, bool as_json) {
    b2_text_buffer text = {0};
    blip2_status status = BLIP2_OK;

    if (error != NULL)
        b2_text_appendf(&text, "%s: %s", path, error);
    else
        b2_text_appendf(&text, "%s", blip2_error_message());
    if (text.failed)
        status = b2_fail_memory();
    else if (!as_json)
        b2_complain("%s", b2_text_data(&text));
    else if (!b2_json_print_line(json_pack("{s:o, s:o}", "file", b2_json_text(path), "error",
                                           b2_json_text(b2_text_data(&text)))))
        status = b2_fail_memory();
    b2_text_free(&text);
    return status;
}

blip2_status b2_gallery_tell_again(const b2_input_name *name, bool as_json) {
    const char *why = name->error;
    blip2_image *image = NULL;

    if (why == NULL && blip2_image_open(&image, name->path, NULL) == BLIP2_OK)
        why = "left out: it could not be read when this work was begun";
    blip2_image_free(image);
    return b2_gallery_tell(name->path, why, as_json);
}

typedef struct check {
    b2_gallery *gallery;
    const b2_settings *settings;
    b2_progress *progress;
    bool hold, known;  /* known: readable says what was found the first time */
    uint8_t *readable; /* [inputs] */
} check;

/* One picture, which stays open if it is to be held. */
static blip2_status check_one(check *c, const b2_input_name *name, uint8_t *readable) {
    b2_gallery *gallery = c->gallery;
    blip2_image *image = NULL;
    blip2_status read = BLIP2_EIO;

    if (c->known && *readable != 0) {
        gallery->paths[gallery->count++] = name->path;
        return BLIP2_OK;
    }
    if (c->known) {
        b2_progress_erase(c->progress);
        gallery->code = b2_exit_code_worse(gallery->code, B2_EXIT_BAD_INPUT);
        return b2_gallery_tell_again(name, c->settings->json);
    }
    if (name->error == NULL)
        read = blip2_image_open(&image, name->path, NULL);
    *readable = read == BLIP2_OK;
    if (read == BLIP2_OK) {
        if (c->hold)
            gallery->images[gallery->count] = image;
        gallery->paths[gallery->count++] = name->path;
    }
    if (read != BLIP2_OK || !c->hold)
        blip2_image_free(image);
    if (read == BLIP2_OK)
        return BLIP2_OK;
    b2_progress_erase(c->progress);
    gallery->code = b2_exit_code_worse(gallery->code, b2_exit_code_of(read));
    return b2_gallery_tell(name->path, name->error, c->settings->json);
}

static blip2_status check_all(check *c, const b2_inputs *inputs, const b2_work *work) {
    const b2_tensor_shape shape = {"readable", B2_U8, 1, {(int64_t)inputs->count}};
    b2_part part;
    blip2_status status = b2_work_read(work, "pictures", 0, &shape, 1, &part, &c->known);

    if (status == BLIP2_OK && c->known)
        memcpy(c->readable, part.tensors[0].data, inputs->count);
    b2_part_close(&part);
    for (size_t i = 0; i < inputs->count && status == BLIP2_OK; i++) {
        if (b2_interrupt_asked())
            return b2_fail(BLIP2_ESTOP, "stopped");
        status = check_one(c, &inputs->names[i], &c->readable[i]);
        b2_progress_show(c->progress, "reading: %zu of %zu pictures", i + 1, inputs->count);
    }
    b2_progress_erase(c->progress);
    if (status == BLIP2_OK && !c->known)
        status = b2_work_write(work, "pictures", 0, &shape, 1, (const void *const[]){c->readable});
    return status;
}

blip2_status b2_gallery_open(b2_gallery *out, const b2_inputs *inputs, const b2_settings *settings,
                             b2_progress *progress, bool hold, const b2_work *work) {
    check c = {.gallery = out, .settings = settings, .progress = progress, .hold = hold};
    blip2_status status;

    *out = (b2_gallery){.images = hold ? b2_calloc(inputs->count, sizeof *out->images) : NULL,
                        .paths = b2_calloc(inputs->count, sizeof *out->paths)};
    c.readable = b2_calloc(inputs->count, 1);
    if ((hold && out->images == NULL) || out->paths == NULL || c.readable == NULL)
        status = b2_fail_memory();
    else
        status = check_all(&c, inputs, work);
    if (status == BLIP2_OK && !settings->json)
        b2_complain_unreadable(inputs->count - out->count, inputs->count);
    b2_free(c.readable);
    return status;
}

void b2_gallery_free(b2_gallery *gallery) {
    for (size_t i = 0; i < gallery->count && gallery->images != NULL; i++)
        blip2_image_free(gallery->images[i]);
    b2_free(gallery->images);
    b2_free(gallery->paths);
    *gallery = (b2_gallery){0};
}
