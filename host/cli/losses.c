/* blip2 losses: what stage 1's training would say of a batch of pictures and their texts. */
#include "losses.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/status.h"
#include "comparison.h"
#include "default_model.h"
#include "json.h"

static blip2_status print_losses(const b2_comparison *c, const blip2_losses *l) {
    double total = l->itc + l->itm + l->itg;

    if (!c->settings->json)
        (void)printf("itc %.4f  itm %.4f  itg %.4f  total %.4f\n", l->itc, l->itm, l->itg, total);
    else if (!b2_json_print_line(json_pack("{s:f, s:f, s:f, s:f}", "itc", l->itc, "itm", l->itm,
                                           "itg", l->itg, "total", total)))
        return b2_fail_memory();
    return BLIP2_OK;
}

/* A batch lacks nothing: what is left out would change the losses of the others. */
static blip2_status check(const b2_comparison *c) {
    if (c->gallery.count < c->inputs.count)
        return b2_fail(BLIP2_EINVAL, "a batch needs all of its pictures: %zu of %zu can be read",
                       c->gallery.count, c->inputs.count);
    if (c->gallery.count != c->texts.count)
        return b2_fail(BLIP2_EINVAL, "got %zu pictures and %zu texts, expected a text a picture",
                       c->gallery.count, c->texts.count);
    return BLIP2_OK;
}

static blip2_status run(b2_comparison *c) {
    blip2_losses_options options;
    blip2_losses losses;
    blip2_input *pairs;
    blip2_status status;

    if ((status = b2_comparison_read(c, true)) < 0 || (status = check(c)) < 0 ||
        (status = b2_loaded_open(&c->loaded, SIZE_MAX)) < 0)
        return status;
    if ((pairs = b2_calloc(c->gallery.count, sizeof *pairs)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < c->gallery.count; i++)
        pairs[i] = (blip2_input){c->gallery.images[i], c->texts.read[i]};
    blip2_losses_options_init(&options, sizeof options);
    options.seed = c->settings->seed;
    status = blip2_losses_compute(c->loaded.engine, pairs, c->gallery.count, &options, &losses);
    b2_free(pairs);
    return status < 0 ? status : print_losses(c, &losses);
}

b2_exit_code b2_losses_run(const b2_settings *settings) {
    b2_comparison c;

    if (settings->operand_count == 0) {
        b2_complain("losses: no picture given; see 'blip2 help losses'");
        return B2_EXIT_BAD_INPUT;
    }
    b2_comparison_start(&c, settings, B2_DEMO_LAVIS);
    return b2_comparison_end(&c, run(&c));
}
