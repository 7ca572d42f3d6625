#ifndef B2_CLI_BUILD_INDEX_H
#define B2_CLI_BUILD_INDEX_H
#include "arguments.h"

/* blip2 index */
b2_exit_code b2_index_run(const b2_settings *settings);

#endif
