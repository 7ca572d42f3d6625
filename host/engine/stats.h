/* What an engine has done and holds, as its callers see it. */
#ifndef B2_STATS_H
#define B2_STATS_H
#include "blip2.h"

/* On the engine's thread, or while there is none. */
void b2_stats_take(const blip2_engine *engine, blip2_engine_counts *out);

#endif
