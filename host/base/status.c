#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The one piece of per-thread state in the library: what blip2_error_message() answers. */
static _Thread_local char message[1024];

blip2_status b2_fail(blip2_status code, const char *format, ...) {
    va_list args;

    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    /* Names from files end up here: keep the promise of one printable line. */
    for (char *c = message; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return code;
}

blip2_status b2_fail_memory(void) {
    return b2_fail(BLIP2_ENOMEM, "out of memory");
}

const char *b2_file_name(const char *path) {
    const char *slash = strrchr(path, '/');

    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

const char *blip2_error_message(void) {
    return message;
}

const char *blip2_status_name(blip2_status status) {
    switch (status) {
#define NAME(name, value, text)                                                                    \
    case name:                                                                                     \
        return #name;
        BLIP2_STATUS_MAP(NAME)
#undef NAME
    }
    return "unknown status";
}

const char *blip2_status_text(blip2_status status) {
    switch (status) {
#define TEXT(name, value, text)                                                                    \
    case name:                                                                                     \
        return text;
        BLIP2_STATUS_MAP(TEXT)
#undef TEXT
    }
    return "unknown status";
}

const char *blip2_version(void) {
    return BLIP2_VERSION;
}
