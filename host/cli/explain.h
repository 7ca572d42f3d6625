/* blip2 explain: where the model looks in a picture, as heat maps. */
#ifndef B2_CLI_EXPLAIN_H
#define B2_CLI_EXPLAIN_H
#include "arguments.h"

b2_exit_code b2_explain_run(const b2_settings *settings);

#endif
