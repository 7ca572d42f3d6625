/* blip2-bench: is the library right, and how fast is it? */
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blip2.h"

static const char usage[] =
    "usage: blip2-bench COMMAND ...\n"
    "\n"
    "  verify CASE_DIR...   run golden cases and compare with what the originals gave\n"
    "  score FOLDER         count right captions and answers about pictures\n"
    "  make-model DIR       write a checkpoint of true shapes with random weights\n"
    "  run                  measure loading, encoding and generating\n"
    "  load                 measure many requests at once, and check their answers\n"
    "  rerank               measure matching of pictures with texts\n"
    "  search               measure the search in an index of random pictures\n"
    "  kernels              measure single operations of the CUDA device\n"
    "\n"
    "  --help, --version    of the program; every command has its own --help\n";

int bench_complain(const char *format, ...) {
    va_list args;

    va_start(args, format);
    (void)fputs("blip2-bench: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"verify", verify_main},         {"score", score_main},
                    {"make-model", make_model_main}, {"run", run_main},
                    {"rerank", rerank_main},         {"search", search_main},
                    {"kernels", kernels_main},       {"load", load_main}};

    if (argc < 2)
        return bench_complain("a command is missing; see blip2-bench --help");
    if (strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    if (strcmp(argv[1], "--version") == 0)
        return printf("blip2-bench %s\n", blip2_version()) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return bench_complain("no command \"%s\"; see blip2-bench --help", argv[1]);
}
