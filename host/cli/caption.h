#ifndef B2_CAPTION_H
#define B2_CAPTION_H
#include "arguments.h"

/* blip2 caption */
b2_exit_code b2_caption_run(const b2_settings *settings);

#endif
