#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A handler has no other way to say something. */
static volatile sig_atomic_t caught;

static void on_signal(int number) {
    caught = number;
}

static void set(int number, void (*handler)(int)) {
    struct sigaction old, action = {.sa_handler = handler};

    (void)sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* as nohup asks */
        (void)sigaction(number, &action, NULL);
}

void b2_interrupt_catch(void) {
    set(SIGINT, on_signal);
    set(SIGTERM, on_signal);
}

bool b2_interrupted(void) {
    return caught != 0;
}

void b2_interrupt_follow(void) {
    if (caught == 0)
        return;
    set(caught, SIG_DFL);
    (void)raise(caught);
}
