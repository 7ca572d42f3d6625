#ifndef B2_CLI_RANK_H
#define B2_CLI_RANK_H
#include "arguments.h"

/* blip2 rank */
b2_exit_code b2_rank_run(const b2_settings *settings);

#endif
