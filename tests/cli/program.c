#define _XOPEN_SOURCE 700 /* terminals */
#include "program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_END, WRITE_END };

bool have_terminals(void) {
    int fd = posix_openpt(O_RDWR | O_NOCTTY);

    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static int open_terminal(int *far_end) {
    int fd = posix_openpt(O_RDWR | O_NOCTTY);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(grantpt(fd), 0);
    ck_assert_int_eq(unlockpt(fd), 0);
    *far_end = open(ptsname(fd), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(*far_end, 0);
    return fd;
}

/* Type what is in a file. */
static void type_in(int terminal, const char *input) {
    char text[4096]; /* what a terminal keeps until it is read */
    FILE *file = fopen(input, "rb");
    size_t size;

    ck_assert_ptr_nonnull(file);
    size = fread(text, 1, sizeof text, file);
    (void)fclose(file);
    ck_assert_uint_lt(size, sizeof text);
    ck_assert_int_eq(write(terminal, text, size), (ssize_t)size);
}

/* In the child. */
static void start(stdout_kind kind, int in, int out, int err, const char *const *arguments) {
    const char *argv[64] = {BLIP2_PROGRAM};

    for (size_t i = 0; arguments[i] != NULL && i < 62; i++)
        argv[i + 1] = arguments[i];
    if (kind == STDOUT_INTERRUPTED) { /* waits across exec */
        sigset_t interrupt;

        (void)sigemptyset(&interrupt);
        (void)sigaddset(&interrupt, SIGINT);
        (void)signal(SIGINT, SIG_DFL);
        (void)sigprocmask(SIG_BLOCK, &interrupt, NULL);
        (void)raise(SIGINT);
    }
    (void)signal(SIGPIPE, kind == STDOUT_BROKEN_QUIET ? SIG_IGN : SIG_DFL);
    if (in >= 0)
        (void)dup2(in, STDIN_FILENO);
    (void)dup2(err, STDERR_FILENO);
    if (kind == STDOUT_CLOSED)
        (void)close(STDOUT_FILENO);
    else
        (void)dup2(out, STDOUT_FILENO);
    (void)execv(BLIP2_PROGRAM, (char *const *)argv);
    _exit(127);
}

/* Read two streams until both end. A terminal's end reads as an error. */
static void collect(outcome *o, int out, int err) {
    struct pollfd streams[2] = {{.fd = out, .events = POLLIN}, {.fd = err, .events = POLLIN}};
    char *texts[2] = {o->out, o->err};
    size_t sizes[2] = {sizeof o->out, sizeof o->err}, used[2] = {0, 0};

    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        ck_assert_int_ge(poll(streams, 2, -1), 0);
        for (int i = 0; i < 2; i++) {
            ssize_t got;

            if (streams[i].fd < 0 || streams[i].revents == 0)
                continue;
            got = read(streams[i].fd, texts[i] + used[i], sizes[i] - 1 - used[i]);
            if (got > 0)
                used[i] += (size_t)got;
            else
                streams[i].fd = -1;
        }
    }
    o->out[used[0]] = o->err[used[1]] = '\0';
}

void run_program(outcome *o, stdout_kind kind, const char *const *arguments) {
    run_program_on(o, kind, NULL, arguments);
}

void run_program_on(outcome *o, stdout_kind kind, const char *input, const char *const *arguments) {
    int out[2], err[2], status, in = -1;
    bool terminal = kind == STDOUT_TERMINAL;
    pid_t child;

    *o = (outcome){0};
    ck_assert_int_eq(pipe(err), 0);
    if (terminal)
        out[READ_END] = open_terminal(&out[WRITE_END]);
    else
        ck_assert_int_eq(pipe(out), 0);
    if (input != NULL && terminal) {
        in = out[WRITE_END];
        type_in(out[READ_END], input);
    } else if (input != NULL) {
        in = open(input, O_RDONLY);
        ck_assert_int_ge(in, 0);
    }
    if (kind == STDOUT_FULL) {
        (void)close(out[WRITE_END]);
        out[WRITE_END] = open("/dev/full", O_WRONLY);
        ck_assert_int_ge(out[WRITE_END], 0);
    }
    if (kind == STDOUT_BROKEN || kind == STDOUT_BROKEN_QUIET) {
        (void)close(out[READ_END]);
        out[READ_END] = -1;
    }
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        start(kind, in, out[WRITE_END], terminal ? out[WRITE_END] : err[WRITE_END], arguments);
    if (in >= 0 && !terminal)
        (void)close(in);
    (void)close(out[WRITE_END]);
    (void)close(err[WRITE_END]);
    collect(o, out[READ_END], err[READ_END]);
    (void)close(out[READ_END]);
    (void)close(err[READ_END]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    o->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    o->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

size_t count_lines(const char *text) {
    size_t lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

void expect_complaint(const outcome *o, int code, const char *about) {
    ck_assert_msg(o->code == code && o->out[0] == '\0' && count_lines(o->err) == 1 &&
                      strncmp(o->err, "blip2: ", 7) == 0 && strstr(o->err, about) != NULL,
                  "expected code %d and one line about '%s', got code %d, signal %d, output '%s', "
                  "errors '%s'",
                  code, about, o->code, o->signal, o->out, o->err);
}

void expect_success(const outcome *o) {
    ck_assert_msg(o->code == 0 && o->err[0] == '\0', "code %d, signal %d, errors '%s'", o->code,
                  o->signal, o->err);
}

/* ---- the folder of a test ------------------------------------------------------------------ */

static char folder[256];

void make_folder(void) {
    temporary_path(folder, sizeof folder, "cli-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

void remove_folder(void) {
    remove_tree(folder);
}

const char *in_folder(const char *name) {
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void write_file(const char *name, const void *data, size_t size) {
    FILE *file = fopen(in_folder(name), "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
}

void link_file(const char *name, const char *target) {
    ck_assert_int_eq(symlink(target, in_folder(name)), 0);
}
