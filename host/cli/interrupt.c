#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A handler has nothing but global state to write to. */
static volatile sig_atomic_t asked;

static void on_signal(int number) {
    (void)number;
    asked = 1;
}

void b2_interrupt_catch(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool b2_interrupt_asked(void) {
    return asked != 0;
}

b2_exit_code b2_complain_stopped(const char *work) {
    b2_complain("stopped; what is done is kept in %s: the same command goes on from it", work);
    return B2_EXIT_STOPPED;
}
