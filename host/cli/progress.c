#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static const double first_after = 1.0, every = 0.1; /* seconds */

static double now(void) {
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void b2_progress_start(b2_progress *progress, bool quiet) {
    *progress = (b2_progress){.on = !quiet && isatty(STDERR_FILENO), .start = now()};
}

void b2_progress_show(b2_progress *progress, const char *format, ...) {
    va_list args;
    double t;

    if (!progress->on || (t = now()) < progress->start + first_after || t < progress->drawn + every)
        return;
    (void)fputs("\r\033[K", stderr);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fflush(stderr);
    progress->visible = true;
    progress->drawn = t;
}

void b2_progress_erase(b2_progress *progress) {
    if (!progress->visible)
        return;
    (void)fputs("\r\033[K", stderr);
    (void)fflush(stderr);
    progress->visible = false;
}
