/* Pictures that are compared with texts: what the commands rank, retrieve and losses have in
 * common. With --work a folder keeps which pictures could be read and, in a folder of its own
 * inside it, what the library has finished. */
#ifndef B2_COMPARISON_H
#define B2_COMPARISON_H
#include "gallery.h"
#include "loaded.h"
#include "texts.h"

typedef struct b2_comparison {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_gallery gallery;
    b2_texts texts;
    b2_progress progress;
    b2_loaded loaded;
    b2_work work;                   /* all zero without --work */
    char inputs_hex[B2_SHA256_HEX]; /* of the pictures' names and times */
    blip2_similarity *similarity;
} b2_comparison;

/* *out must stay where it is until its end. demo: as b2_default_model has it. */
void b2_comparison_start(b2_comparison *out, const b2_settings *settings, const char *demo);
/* The texts and pictures of the command line. hold: pictures stay open. */
blip2_status b2_comparison_read(b2_comparison *c, bool hold);
/* Open the work folder, if there is one, and the gallery of these pictures. */
blip2_status b2_comparison_check(b2_comparison *c, const b2_inputs *pictures, bool hold);
/* Compare all; texts_of_images, images_of_texts: the directions that pairs are matched in. */
blip2_status b2_comparison_run(b2_comparison *c, bool texts_of_images, bool images_of_texts);
/* Free all, say what went wrong; the command's exit code. */
b2_exit_code b2_comparison_end(b2_comparison *c, blip2_status status);

#endif
