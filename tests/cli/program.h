/* Run the built program as a user would, and look at everything that comes out. */
#ifndef B2_TESTS_PROGRAM_H
#define B2_TESTS_PROGRAM_H
#include <jansson.h>
#include <stdbool.h>

#include "blip2.h"
#include "run.h"

/* A small model with random weights, and pictures that it can read. */
#define TINY_MODEL BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_opt"
#define PICTURES BLIP2_SOURCE_DIR "/models/demo/pictures"
#define PICTURE PICTURES "/001.png"
#define OTHER_PICTURE PICTURES "/002.jpg"

typedef enum stdout_kind {
    STDOUT_PIPE,         /* read by the test, so is stderr */
    STDOUT_FULL,         /* /dev/full: no space left on device */
    STDOUT_CLOSED,       /* no stdout at all */
    STDOUT_BROKEN,       /* a pipe that nobody reads */
    STDOUT_BROKEN_QUIET, /* the same, with SIGPIPE ignored by the parent */
    STDOUT_INTERRUPTED,  /* read by the test; SIGINT comes as soon as the program takes it */
    STDOUT_TERMINAL      /* stdout and stderr are one terminal, with an input stdin too; all of it
                            lands in out, what is typed as well */
} stdout_kind;

typedef struct outcome {
    int code;   /* exit code; -1: ended by a signal */
    int signal; /* that signal, or 0 */
    char out[64 * 1024], err[320 * 1024];
} outcome;

/* Can this machine give terminals? A chroot without /dev/pts cannot. */
bool have_terminals(void);
/* Run blip2 with arguments up to a NULL. */
void run_program(outcome *o, stdout_kind kind, const char *const *arguments);
/* The same with stdin from a file; of a terminal, that is typed. */
void run_program_on(outcome *o, stdout_kind kind, const char *input, const char *const *arguments);
#define RUN(o, ...) run_program((o), STDOUT_PIPE, (const char *const[]){__VA_ARGS__, NULL})
#define RUN_TO(o, kind, ...) run_program((o), (kind), (const char *const[]){__VA_ARGS__, NULL})
#define RUN_ON(o, kind, input, ...)                                                                \
    run_program_on((o), (kind), (input), (const char *const[]){__VA_ARGS__, NULL})

/* It ended with that code, said one line that starts with "blip2: " and holds `about`, and printed
 * no result. */
void expect_complaint(const outcome *o, int code, const char *about);
/* It ended well and said nothing on stderr. */
void expect_success(const outcome *o);
size_t count_lines(const char *text);

/* An empty folder for one test; removed, with its files, after it. */
void make_folder(void);
void remove_folder(void);
/* "<the folder>/name", good until the fourth call after this one. */
const char *in_folder(const char *name);
void write_file(const char *name, const void *data, size_t size); /* in the folder */
/* The tiny model in the folder, with nine more tensors that no one needs: extra.0 .. extra.8. */
void make_larger_model(void);
/* captions.txt in the folder: the true captions of PICTURES, in the order of the pictures, a line
 * each. Their number. */
size_t write_captions(void);
/* The JSON of the first line of *text, which goes on to the next one. */
json_t *take_line(const char **text);
void link_file(const char *name, const char *target); /* in the folder */

TCase *usage_tests(void);
TCase *inputs_tests(void);
TCase *output_tests(void);
TCase *info_tests(void);
TCase *device_tests(void);
TCase *demo_tests(void);
TCase *match_tests(void);
TCase *features_tests(void);
TCase *rank_tests(void);
TCase *retrieve_tests(void);
TCase *losses_tests(void);
TCase *convert_tests(void);
TCase *interrupt_tests(void);
TCase *explain_tests(void);
TCase *sample_tests(void);
TCase *likelihood_tests(void);
TCase *search_tests(void);
TCase *work_tests(void);
TCase *classify_tests(void);
TCase *bad_input_tests(void);
TCase *ask_tests(void);
TCase *chat_tests(void);
TCase *video_tests(void);

#endif
