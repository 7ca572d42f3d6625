/* Ctrl-C (and a request to terminate) as a question that long work asks, so that it can clean up.
 */
#ifndef B2_INTERRUPT_H
#define B2_INTERRUPT_H
#include <stdbool.h>

void b2_interrupt_catch(void);
bool b2_interrupted(void);
/* If so, end the process as the signal would have ended it. */
void b2_interrupt_follow(void);

#endif
