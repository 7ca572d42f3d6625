/* blip2 classify. */
#ifndef B2_CLASSIFY_H
#define B2_CLASSIFY_H
#include "arguments.h"

b2_exit_code b2_classify_run(const b2_settings *settings);

#endif
