/* One line on a terminal that says how far a long piece of work has come. It appears on stderr once
 * a second has gone by and is erased before anything else is printed. */
#ifndef B2_PROGRESS_H
#define B2_PROGRESS_H
#include <stdbool.h>

typedef struct b2_progress {
    bool on;             /* stderr is a terminal, and the user did not ask for quiet */
    bool visible;        /* the line stands there now */
    double start, drawn; /* seconds */
} b2_progress;

void b2_progress_start(b2_progress *progress, bool quiet);
/* Draw the line, at most ten times a second. */
void b2_progress_show(b2_progress *progress, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void b2_progress_erase(b2_progress *progress);

#endif
