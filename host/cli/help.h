/* Help texts, made from the tables of commands and options. */
#ifndef B2_HELP_H
#define B2_HELP_H
#include "arguments.h"

/* commands: the last one has no name. */
void b2_help_overview(const b2_command *commands);
void b2_help_command(const b2_command *command);

#endif
