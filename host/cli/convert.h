#ifndef B2_CONVERT_H
#define B2_CONVERT_H
#include "arguments.h"

b2_exit_code b2_convert_run(const b2_settings *settings);

#endif
