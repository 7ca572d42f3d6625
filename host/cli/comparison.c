#include "comparison.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/status.h"
#include "interrupt.h"

void b2_comparison_start(b2_comparison *out, const b2_settings *settings, const char *demo) {
    *out = (b2_comparison){.settings = settings};
    b2_progress_start(&out->progress, settings->quiet);
    out->loaded = (b2_loaded){.settings = settings, .progress = &out->progress, .demo = demo};
}

blip2_status b2_comparison_check(b2_comparison *c, const b2_inputs *pictures, bool hold) {
    b2_part_key key = {.options = "pictures"};
    b2_sha256 sha;
    blip2_status status;

    b2_sha256_init(&sha);
    b2_inputs_digest(pictures, &sha);
    b2_sha256_final_hex(&sha, c->inputs_hex);
    memcpy(key.inputs, c->inputs_hex, sizeof key.inputs);
    if (c->settings->work != NULL) {
        b2_interrupt_catch();
        if ((status = b2_work_open(&c->work, c->settings->work, &key)) < 0)
            return status;
    }
    return b2_gallery_open(&c->gallery, pictures, c->settings, &c->progress, hold, &c->work);
}

blip2_status b2_comparison_read(b2_comparison *c, bool hold) {
    const b2_settings *settings = c->settings;
    blip2_status status;

    if ((status = b2_texts_open(&c->texts, settings)) < 0 ||
        (status = b2_inputs_expand(&c->inputs, settings->operands, settings->operand_count)) < 0)
        return status;
    return b2_comparison_check(c, &c->inputs, hold);
}

static int on_progress(uint64_t done, uint64_t total, void *payload) {
    b2_comparison *c = payload;

    b2_progress_show(&c->progress, "comparing: %.0f %%", 100.0 * (double)done / (double)total);
    return b2_interrupt_asked();
}

static blip2_status open_image(size_t index, blip2_image **out, void *payload) {
    const b2_comparison *c = payload;

    return blip2_image_open(out, c->gallery.paths[index], NULL);
}

blip2_status b2_comparison_run(b2_comparison *c, bool texts_of_images, bool images_of_texts) {
    blip2_similarity_options options;
    char *work = NULL;
    blip2_status status = b2_loaded_open(&c->loaded, SIZE_MAX);

    if (status < 0)
        return status;
    blip2_similarity_options_init(&options, sizeof options);
    options.rerank = c->settings->rerank;
    options.no_itm = c->settings->rerank == 0;
    options.only_texts_of_image = !images_of_texts;
    options.only_images_of_text = !texts_of_images;
    options.on_progress = on_progress;
    options.payload = c;
    options.open_image = open_image;
    if (c->work.directory != NULL &&
        (options.work = work = b2_path_join(c->work.directory, "similarity")) == NULL)
        return b2_fail_memory();
    options.work_inputs = c->inputs_hex;
    status = blip2_similarity_compute(c->loaded.engine, NULL, c->gallery.count,
                                      (const char *const *)c->texts.read, c->texts.count, &options,
                                      &c->similarity);
    b2_free(work);
    b2_progress_erase(&c->progress);
    return status;
}

b2_exit_code b2_comparison_end(b2_comparison *c, blip2_status status) {
    b2_exit_code code = c->gallery.code;

    b2_progress_erase(&c->progress);
    if (status == BLIP2_ESTOP && b2_interrupt_asked())
        code = b2_exit_code_worse(code, b2_complain_stopped(c->settings->work));
    else if (status < 0)
        code = b2_exit_code_worse(code, b2_complain_status(status));
    blip2_similarity_free(c->similarity);
    b2_loaded_close(&c->loaded);
    b2_gallery_free(&c->gallery);
    b2_inputs_free(&c->inputs);
    b2_texts_free(&c->texts);
    b2_work_close(&c->work);
    return code;
}
