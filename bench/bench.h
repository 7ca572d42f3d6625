/* The commands of blip2-bench. argv[0] is the command's name; each returns the exit code. */
#ifndef BENCH_H
#define BENCH_H

enum { EXIT_DIFFERENT = 1, EXIT_USAGE = 2 }; /* besides EXIT_SUCCESS */

int verify_main(int argc, char **argv);
int make_model_main(int argc, char **argv);
int score_main(int argc, char **argv);
int run_main(int argc, char **argv);
int search_main(int argc, char **argv);
int kernels_main(int argc, char **argv);
int load_main(int argc, char **argv);
int rerank_main(int argc, char **argv);

/* One line to stderr, "blip2-bench: " in front; returns EXIT_USAGE. */
int bench_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
