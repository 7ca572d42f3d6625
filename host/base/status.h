/* Status codes with a message, set once, where the failure is found. Callers clean up and pass the
 * code on; they never overwrite the message. */
#ifndef B2_STATUS_H
#define B2_STATUS_H
#include "blip2.h"

/* Set this thread's message (cut at 1023 bytes) and return code. */
blip2_status b2_fail(blip2_status code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Out of memory: a fixed message, so that reporting it needs no memory. */
blip2_status b2_fail_memory(void);

/* The name of a file without its folders, for messages. Points into path. */
const char *b2_file_name(const char *path);

#endif
