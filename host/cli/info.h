#ifndef B2_INFO_H
#define B2_INFO_H
#include "arguments.h"

/* blip2 info */
b2_exit_code b2_info_run(const b2_settings *settings);

#endif
