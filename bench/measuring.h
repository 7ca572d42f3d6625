/* What the commands that measure have in common: options, medians, JSON lines. */
#ifndef BENCH_MEASURING_H
#define BENCH_MEASURING_H
#include <jansson.h>
#include <stdbool.h>

#include "blip2.h"

/* A whole number of 1 to `most`; false: text is none. */
bool bench_read_count(const char *text, uint32_t most, uint32_t *out);
/* auto, f32, tf32, f16 or bf16; *name: the same, as static text. False: text is none. */
bool bench_read_compute(const char *text, blip2_compute *out, const char **name);

/* Seconds of a clock that only goes on. */
double bench_now(void);
double bench_cpu_seconds(void); /* that all threads of this process have spent */
/* numbers [count], which are put in order. */
double bench_median(double *numbers, size_t count);

/* A line to stdout. object is taken over; NULL: out of memory. The exit code, after saying what
 * went wrong. */
int bench_print_json(json_t *object);

#endif
