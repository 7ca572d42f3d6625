/* Options structs of the public header start with their size: a program may know an older or a
 * newer struct than this library. */
#ifndef B2_OPTIONS_H
#define B2_OPTIONS_H
#include <stddef.h>

#include "base/status.h"

/* Copy the caller's options (NULL: all defaults) into out, a zeroed struct of size bytes. EINVAL
 * when _init was not called, ENOTSUP when a field that this library does not know is set. name is
 * the struct's name, for the message. */
blip2_status b2_options_copy(void *out, size_t size, const void *options, const char *name);

#endif
