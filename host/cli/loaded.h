/* The model that a command works with, and what is said while it is loaded. */
#ifndef B2_LOADED_H
#define B2_LOADED_H
#include "arguments.h"
#include "progress.h"

enum { B2_SHOWN_WARNINGS = 5 }; /* a checkpoint with parts for other tasks has hundreds */

typedef struct b2_loaded {
    const b2_settings *settings;
    b2_progress *progress;
    size_t frames; /* of the video that the model is to read, which sizes the engine; 0: pictures */
    const char *demo; /* the demo model that is meant when none is named: "caption", "match" */
    blip2_model *model;
    blip2_engine *engine;
    char *warnings[B2_SHOWN_WARNINGS]; /* of loading, kept until it has succeeded */
    size_t warning_count;
} b2_loaded;

/* Open model and engine, once, with places for max_requests. A later call does nothing, so that a
 * command can ask when its first picture is there: a wrong file name is told at once. */
blip2_status b2_loaded_open(b2_loaded *loaded, size_t max_requests);
void b2_loaded_close(b2_loaded *loaded);

#endif
