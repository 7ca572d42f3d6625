/* What the program says and how it ends. Results go to stdout, everything else to stderr, one line
 * a message. */
#ifndef B2_CONSOLE_H
#define B2_CONSOLE_H
#include <stdbool.h>

#include "blip2.h"

typedef enum b2_exit_code {
    B2_EXIT_OK = 0,
    B2_EXIT_FAILED = 1,    /* out of memory, the device, a mistake of ours */
    B2_EXIT_BAD_INPUT = 2, /* usage, a file, an output that cannot be written */
    B2_EXIT_STOPPED = 130  /* by a signal, with what is done kept (interrupt.h) */
} b2_exit_code;

/* "blip2: ..." to stderr. Control characters, which file names may hold, are shown as '?'. */
void b2_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Say blip2_error_message(). */
b2_exit_code b2_complain_status(blip2_status status);
b2_exit_code b2_exit_code_of(blip2_status status);
/* The worse of two; a failure of ours is worse than a stop, which is worse than bad
 * input. */
b2_exit_code b2_exit_code_worse(b2_exit_code a, b2_exit_code b);

/* How many of the pictures could not be read, where that is more than the one line said already. */
void b2_complain_unreadable(size_t count, size_t total);

/* A file's name to stdout, as b2_complain shows it. */
void b2_print_name(const char *name);
/* Text of a model to stdout, control characters as spaces: it stays one line. */
void b2_print_text(const char *text);

/* A piece of such a text, as it comes; white space in front of the text is left out. *started:
 * false at first, then past that. */
void b2_print_piece(bool *started, const char *piece, size_t length);

/* Everything printed so far has reached stdout; false, after saying why, if it cannot. */
bool b2_flush_output(void);
/* Close stdout, once, at the end: some file systems report a full disk only now. */
b2_exit_code b2_close_output(b2_exit_code code);

#endif
