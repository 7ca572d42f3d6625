/* Signals as questions: stopping a long job by SIGINT or SIGTERM, at its next step, when what it
 * has done is kept; or an answer by SIGINT alone. */
#ifndef B2_INTERRUPT_H
#define B2_INTERRUPT_H
#include <stdbool.h>

#include "console.h"

/* From now on the first such signal only asks to stop; the second ends the process as usual. */
void b2_interrupt_catch(void);
bool b2_interrupt_asked(void);
/* The next SIGINT only asks, and what was asked before is forgotten. */
void b2_interrupt_catch_key(void);
void b2_interrupt_release_key(void); /* it ends the process again */
/* Say that the command can go on from this folder. */
b2_exit_code b2_complain_stopped(const char *work);

#endif
