/* The options of decoding that the commands which write text share. */
#ifndef B2_DECODING_OPTIONS_H
#define B2_DECODING_OPTIONS_H
#include "arguments.h"

/* Put what a command line gives into options, which hold the command's defaults. They borrow from
 * settings. */
void b2_decoding_options_set(blip2_generate_options *options, const b2_settings *settings);
/* Options that do not go together are told here by the names that a user gave; false then. */
bool b2_decoding_options_check(const b2_settings *settings, const char *command);

#endif
