/* `blip2-bench score` of a model that matches, of pictures whose things have known places: whether
 * heat maps (blip2_explain) have their peak on the thing that they are asked for. */
#ifndef BENCH_SCORE_LOOK_H
#define BENCH_SCORE_LOOK_H
#include <jansson.h>

#include "blip2.h"

/* captions: file name in folder -> {"things": [{"text": "red circle", "box": [x0, y0, x1, y1]}]},
 * boxes in pixels; file: where it was read from. A line for each kind of map that the model can
 * make: how many of all things, or of those called `text` if it is not NULL, have the peak in their
 * box. Nothing if no picture has things. */
blip2_status score_look(blip2_engine *engine, const blip2_model *model, const char *folder,
                        const char *file, json_t *captions, const char *text);

#endif
