/* `blip2-bench score` of a model that matches: whether pictures and their captions find each other.
 */
#ifndef BENCH_SCORE_MATCH_H
#define BENCH_SCORE_MATCH_H
#include <jansson.h>

#include "blip2.h"

/* captions: file name in folder -> {"caption": text, ...}; file: where it was read from. Galleries
 * of 100 pictures and their captions, in this order; what comes first in each row is right if it
 * has the row's caption. Prints a line a way and direction. */
blip2_status score_match(blip2_engine *engine, const char *folder, const char *file,
                         json_t *captions);

#endif
