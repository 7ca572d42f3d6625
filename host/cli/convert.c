/* blip2 convert: blip2_convert with a line that says how far it is. */
#include "convert.h"

#include <stdio.h>

#include "interrupt.h"
#include "progress.h"

typedef struct running {
    const b2_settings *settings;
    b2_progress progress;
} running;

static void on_log(blip2_log_level level, const char *line, void *payload) {
    running *r = payload;

    if (level != BLIP2_LOG_WARNING || !r->settings->verbose)
        return;
    b2_progress_erase(&r->progress);
    b2_complain("warning: %s", line);
}

static int on_progress(uint64_t done, uint64_t total, void *payload) {
    running *r = payload;

    b2_progress_show(&r->progress, "writing: %.1f of %.1f GB", (double)done / 1e9,
                     (double)total / 1e9);
    return b2_interrupt_asked();
}

static bool check(const b2_settings *s) {
    if (s->out == NULL)
        b2_complain("convert: no folder to write is named (--out DIR); see 'blip2 help convert'");
    else if (s->operand_count > 1)
        b2_complain("convert: one folder at a time; see 'blip2 help convert'");
    else if (s->operand_count == 0 && s->checkpoint == NULL)
        b2_complain("convert: no folder and no --checkpoint is named; see 'blip2 help convert'");
    else if (s->operand_count == 1 &&
             (s->checkpoint != NULL || s->vit != NULL || s->vocabulary != NULL ||
              s->language_model != NULL || s->image_size != 0 || s->vit_layers != 0 ||
              s->vit_heads != 0 || s->qformer_heads != 0))
        b2_complain("convert: a folder is converted as it is; --checkpoint and the options that go "
                    "with it are for files");
    else
        return true;
    return false;
}

b2_exit_code b2_convert_run(const b2_settings *settings) {
    running r = {.settings = settings};
    blip2_convert_options options;
    blip2_status status;

    if (!check(settings))
        return B2_EXIT_BAD_INPUT;
    blip2_convert_options_init(&options, sizeof options);
    options.checkpoint = settings->checkpoint;
    options.vit = settings->vit;
    options.vocabulary = settings->vocabulary;
    options.language_model = settings->language_model;
    options.image = settings->image_size;
    options.vit_layers = settings->vit_layers;
    options.vit_heads = settings->vit_heads;
    options.qformer_heads = settings->qformer_heads;
    options.weight_type = (blip2_weight_type)settings->weights;
    options.log = on_log;
    options.log_payload = &r;
    options.on_progress = on_progress;
    options.progress_payload = &r;
    b2_interrupt_catch();
    b2_progress_start(&r.progress, settings->quiet);
    status = blip2_convert(settings->operand_count == 1 ? settings->operands[0] : NULL,
                           settings->out, &options);
    b2_progress_erase(&r.progress);
    if (status == BLIP2_ESTOP) {
        b2_complain("stopped; %s is not written", settings->out);
        return B2_EXIT_STOPPED;
    }
    return status < 0 ? b2_complain_status(status) : B2_EXIT_OK;
}
