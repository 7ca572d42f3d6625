/* Log lines go to the callback of whoever opened the model; without one they go nowhere. */
#ifndef B2_LOG_H
#define B2_LOG_H
#include "blip2.h"

typedef struct b2_log {
    blip2_log_fn fn; /* may be NULL */
    void *payload;
    blip2_log_level level; /* most detailed level that is passed on */
} b2_log;

/* log may be NULL. Lines are cut at 1023 bytes. */
void b2_log_write(const b2_log *log, blip2_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
