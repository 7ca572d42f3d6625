#ifndef B2_CLI_RETRIEVE_H
#define B2_CLI_RETRIEVE_H
#include "arguments.h"

/* blip2 retrieve */
b2_exit_code b2_retrieve_run(const b2_settings *settings);

#endif
