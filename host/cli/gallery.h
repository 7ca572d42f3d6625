/* Pictures that are compared with one another: checked at first, so that it is known which there
 * are, then opened as they are needed, or all held. */
#ifndef B2_GALLERY_H
#define B2_GALLERY_H
#include "arguments.h"
#include "inputs.h"
#include "load/work.h"
#include "progress.h"

typedef struct b2_gallery {
    blip2_image **images; /* [count]; NULL: not held */
    const char **paths;   /* [count] borrowed from the inputs */
    size_t count;
    b2_exit_code code; /* the worst of the pictures that could not be read and have been told */
} b2_gallery;

/* Open all pictures once. Those that cannot be read are told, as 'blip2 caption' does, and left
 * out. hold: keep them, decoded. work: where the finding is kept, so that it is looked up the next
 * time; all zero: nowhere. */
blip2_status b2_gallery_open(b2_gallery *out, const b2_inputs *inputs, const b2_settings *settings,
                             b2_progress *progress, bool hold, const b2_work *work);
/* Why a picture is not there that could not be read when the work was begun. */
blip2_status b2_gallery_tell_again(const b2_input_name *name, bool as_json);
/* Say, as a line of either kind, why a picture cannot be used. error NULL: the library's message.
 */
blip2_status b2_gallery_tell(const char *path, const char *error, bool as_json);
void b2_gallery_free(b2_gallery *gallery);

#endif
