/* blip2 chat: a conversation about a picture. */
#ifndef B2_CHAT_H
#define B2_CHAT_H
#include "arguments.h"

b2_exit_code b2_chat_run(const b2_settings *settings);

#endif
