#ifndef B2_WRITE_FEATURES_H
#define B2_WRITE_FEATURES_H
#include "arguments.h"

/* blip2 features */
b2_exit_code b2_features_run(const b2_settings *settings);

#endif
