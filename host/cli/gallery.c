#include "gallery.h"

#include "base/alloc.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "json.h"

/* error: why there is no such picture; NULL: the library's message. */
static blip2_status tell(const char *path, const char *error, bool as_json) {
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

blip2_status b2_gallery_open(b2_gallery *out, const b2_inputs *inputs, const b2_settings *settings,
                             b2_progress *progress) {
    blip2_status status = BLIP2_OK;

    *out = (b2_gallery){.images = b2_calloc(inputs->count, sizeof *out->images),
                        .paths = b2_calloc(inputs->count, sizeof *out->paths)};
    if (out->images == NULL || out->paths == NULL)
        status = b2_fail_memory();
    for (size_t i = 0; i < inputs->count && status == BLIP2_OK; i++) {
        const b2_input_name *name = &inputs->names[i];
        blip2_status read = BLIP2_EIO;

        if (name->error == NULL)
            read = blip2_image_open(&out->images[out->count], name->path, NULL);
        if (read == BLIP2_OK) {
            out->paths[out->count++] = name->path;
        } else {
            b2_progress_erase(progress);
            out->code = b2_exit_code_worse(out->code, b2_exit_code_of(read));
            status = tell(name->path, name->error, settings->json);
        }
        b2_progress_show(progress, "reading: %zu of %zu pictures", i + 1, inputs->count);
    }
    b2_progress_erase(progress);
    return status;
}

void b2_gallery_free(b2_gallery *gallery) {
    for (size_t i = 0; i < gallery->count; i++)
        blip2_image_free(gallery->images[i]);
    b2_free(gallery->images);
    b2_free(gallery->paths);
    *gallery = (b2_gallery){0};
}
