#include "console.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void b2_complain(const char *format, ...) {
    char line[2048];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *c = line; *c != '\0'; c++)
        if (iscntrl((unsigned char)*c))
            *c = '?';
    (void)fprintf(stderr, "blip2: %s\n", line);
}

b2_exit_code b2_exit_code_of(blip2_status status) {
    switch (status) {
    case BLIP2_OK:
        return B2_EXIT_OK;
    case BLIP2_EINVAL:
    case BLIP2_EIO:
    case BLIP2_EFORMAT:
    case BLIP2_ENOTSUP:
    case BLIP2_ESTOP: /* only stopped when the output cannot be written */
        return B2_EXIT_BAD_INPUT;
    case BLIP2_ENOMEM:
    case BLIP2_EDEVMEM:
    case BLIP2_EDEVICE:
    case BLIP2_EINTERNAL:
    case BLIP2_EBUSY:
    case BLIP2_ETIMEDOUT:
        return B2_EXIT_FAILED;
    }
    return B2_EXIT_FAILED;
}

b2_exit_code b2_complain_status(blip2_status status) {
    b2_complain("%s", blip2_error_message());
    return b2_exit_code_of(status);
}

b2_exit_code b2_exit_code_worse(b2_exit_code a, b2_exit_code b) {
    if (a == B2_EXIT_FAILED || b == B2_EXIT_FAILED)
        return B2_EXIT_FAILED;
    if (a == B2_EXIT_STOPPED || b == B2_EXIT_STOPPED)
        return B2_EXIT_STOPPED;
    return a != B2_EXIT_OK ? a : b;
}

void b2_complain_unreadable(size_t count, size_t total) {
    if (count > 1)
        b2_complain("%zu of %zu pictures cannot be read and are left out", count, total);
}

void b2_print_name(const char *name) {
    for (const char *c = name; *c != '\0'; c++)
        (void)putchar(iscntrl((unsigned char)*c) ? '?' : *c);
}

void b2_print_text(const char *text) {
    for (const char *c = text; *c != '\0'; c++)
        (void)putchar(iscntrl((unsigned char)*c) ? ' ' : *c);
}

void b2_print_piece(bool *started, const char *piece, size_t length) {
    for (size_t i = 0; i < length; i++) {
        const char c[2] = {piece[i], '\0'};

        *started = *started || !isspace((unsigned char)piece[i]);
        if (*started)
            b2_print_text(c);
    }
}

bool b2_flush_output(void) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    b2_complain("cannot write the output: %s", strerror(errno));
    return false;
}

b2_exit_code b2_close_output(b2_exit_code code) {
    bool failed = ferror(stdout) != 0;

    if (fclose(stdout) == 0 || failed) /* an earlier failure has been told */
        return failed ? b2_exit_code_worse(code, B2_EXIT_BAD_INPUT) : code;
    b2_complain("cannot write the output: %s", strerror(errno));
    return b2_exit_code_worse(code, B2_EXIT_BAD_INPUT);
}
