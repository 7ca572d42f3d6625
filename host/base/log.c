#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void b2_log_write(const b2_log *log, blip2_log_level level, const char *format, ...) {
    char line[1024];
    va_list args;

    if (log == NULL || log->fn == NULL || level > log->level)
        return;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    log->fn(level, line, log->payload);
}
