#ifndef B2_CLI_SEARCH_H
#define B2_CLI_SEARCH_H
#include "arguments.h"

/* blip2 search */
b2_exit_code b2_search_run(const b2_settings *settings);

#endif
