#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

/* A handler has nothing but global state to write to. */
static volatile sig_atomic_t asked;

static void on_signal(int number) {
    (void)number;
    asked = 1;
}

/* Who started the program may have had it ignore a signal, as a shell does in the background. */
static void catch_one(int number, sigset_t *caught) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND}, before;

    (void)sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN &&
        sigaction(number, &action, NULL) == 0)
        (void)sigaddset(caught, number);
}

void b2_interrupt_catch(void) {
    sigset_t caught;

    (void)sigemptyset(&caught);
    catch_one(SIGINT, &caught);
    catch_one(SIGTERM, &caught);
    (void)sigprocmask(SIG_UNBLOCK, &caught, NULL); /* one that has waited comes now */
}

void b2_interrupt_catch_key(void) {
    sigset_t caught;

    asked = 0;
    (void)sigemptyset(&caught);
    catch_one(SIGINT, &caught);
    (void)sigprocmask(SIG_UNBLOCK, &caught, NULL);
}

void b2_interrupt_release_key(void) {
    struct sigaction action = {.sa_handler = SIG_DFL}, before;

    (void)sigemptyset(&action.sa_mask);
    if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler == on_signal)
        (void)sigaction(SIGINT, &action, NULL);
}

bool b2_interrupt_asked(void) {
    return asked != 0;
}

b2_exit_code b2_complain_stopped(const char *work) {
    b2_complain("stopped; what is done is kept in %s: the same command goes on from it", work);
    return B2_EXIT_STOPPED;
}
