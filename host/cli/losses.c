/* blip2 losses: what stage 1's training would say of a batch of pictures and their texts. */
#include "losses.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/status.h"
#include "default_model.h"
#include "gallery.h"
#include "json.h"
#include "loaded.h"
#include "texts.h"

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_gallery gallery;
    b2_texts texts;
    b2_progress progress;
    b2_loaded loaded;
    blip2_input *pairs; /* [gallery.count] */
} session;

static blip2_status print_losses(const session *s, const blip2_losses *l) {
    double total = l->itc + l->itm + l->itg;

    if (!s->settings->json)
        (void)printf("itc %.4f  itm %.4f  itg %.4f  total %.4f\n", l->itc, l->itm, l->itg, total);
    else if (!b2_json_print_line(json_pack("{s:f, s:f, s:f, s:f}", "itc", l->itc, "itm", l->itm,
                                           "itg", l->itg, "total", total)))
        return b2_fail_memory();
    return BLIP2_OK;
}

/* A batch lacks nothing: what is left out would change the losses of the others. */
static blip2_status check(const session *s) {
    if (s->gallery.count < s->inputs.count)
        return b2_fail(BLIP2_EINVAL, "a batch needs all of its pictures: %zu of %zu can be read",
                       s->gallery.count, s->inputs.count);
    if (s->gallery.count != s->texts.count)
        return b2_fail(BLIP2_EINVAL, "got %zu pictures and %zu texts, expected a text a picture",
                       s->gallery.count, s->texts.count);
    return BLIP2_OK;
}

static blip2_status run(session *s) {
    const b2_settings *settings = s->settings;
    blip2_losses_options options;
    blip2_losses losses;
    blip2_status status;

    if ((status = b2_texts_open(&s->texts, settings)) < 0 ||
        (status = b2_inputs_expand(&s->inputs, settings->operands, settings->operand_count)) < 0 ||
        (status = b2_gallery_open(&s->gallery, &s->inputs, settings, &s->progress)) < 0 ||
        (status = check(s)) < 0 || (status = b2_loaded_open(&s->loaded, SIZE_MAX)) < 0)
        return status;
    if ((s->pairs = b2_calloc(s->gallery.count, sizeof *s->pairs)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < s->gallery.count; i++)
        s->pairs[i] = (blip2_input){s->gallery.images[i], s->texts.read[i]};
    blip2_losses_options_init(&options, sizeof options);
    options.seed = settings->seed;
    status = blip2_losses_compute(s->loaded.engine, s->pairs, s->gallery.count, &options, &losses);
    return status < 0 ? status : print_losses(s, &losses);
}

b2_exit_code b2_losses_run(const b2_settings *settings) {
    session s = {.settings = settings};
    b2_exit_code code;
    blip2_status status;

    if (settings->operand_count == 0) {
        b2_complain("losses: no picture given; see 'blip2 help losses'");
        return B2_EXIT_BAD_INPUT;
    }
    b2_progress_start(&s.progress, settings->quiet);
    s.loaded = (b2_loaded){.settings = settings, .progress = &s.progress, .demo = B2_DEMO_LAVIS};
    status = run(&s);
    code = s.gallery.code;
    if (status < 0)
        code = b2_exit_code_worse(code, b2_complain_status(status));
    b2_loaded_close(&s.loaded);
    b2_free(s.pairs);
    b2_gallery_free(&s.gallery);
    b2_inputs_free(&s.inputs);
    b2_texts_free(&s.texts);
    return code;
}
