#ifndef B2_CLI_MATCH_H
#define B2_CLI_MATCH_H
#include "arguments.h"

/* blip2 match */
b2_exit_code b2_match_run(const b2_settings *settings);

#endif
