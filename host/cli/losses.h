#ifndef B2_CLI_LOSSES_H
#define B2_CLI_LOSSES_H
#include "arguments.h"

/* blip2 losses */
b2_exit_code b2_losses_run(const b2_settings *settings);

#endif
