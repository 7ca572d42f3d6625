#ifndef B2_LIKELIHOODS_H
#define B2_LIKELIHOODS_H
#include "arguments.h"

b2_exit_code b2_rank_answers_run(const b2_settings *settings);
b2_exit_code b2_logits_run(const b2_settings *settings);

#endif
