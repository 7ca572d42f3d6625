/* Pictures that are compared with one another and so are all held at once, decoded. */
#ifndef B2_GALLERY_H
#define B2_GALLERY_H
#include "arguments.h"
#include "inputs.h"
#include "progress.h"

typedef struct b2_gallery {
    blip2_image **images; /* [count] */
    const char **paths;   /* [count] borrowed from the inputs */
    size_t count;
    b2_exit_code code; /* the worst of the pictures that could not be read and have been told */
} b2_gallery;

/* Read all pictures. Those that cannot be read are told, as 'blip2 caption' does, and left out. */
blip2_status b2_gallery_open(b2_gallery *out, const b2_inputs *inputs, const b2_settings *settings,
                             b2_progress *progress);
void b2_gallery_free(b2_gallery *gallery);

#endif
