/* Stopping a long job by SIGINT or SIGTERM, at its next step, when what it has done is kept. */
#ifndef B2_INTERRUPT_H
#define B2_INTERRUPT_H
#include <stdbool.h>

#include "console.h"

/* From now on the first such signal only asks to stop; the second ends the process as usual. */
void b2_interrupt_catch(void);
bool b2_interrupt_asked(void);
/* Say that the command can go on from this folder. */
b2_exit_code b2_complain_stopped(const char *work);

#endif
