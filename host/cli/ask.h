/* blip2 ask: answers to questions about pictures. */
#ifndef B2_ASK_H
#define B2_ASK_H
#include "arguments.h"

b2_exit_code b2_ask_run(const b2_settings *settings);

#endif
