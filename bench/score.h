/* `blip2-bench score` (score.c). */
#ifndef BENCH_SCORE_H
#define BENCH_SCORE_H
#include "base/status.h"

/* Caption and question the pictures of folder/captions.json, print how many texts are right. */
blip2_status bench_score(const char *model_folder, const char *folder);

#endif
