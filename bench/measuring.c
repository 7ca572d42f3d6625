#include "measuring.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

bool bench_read_count(const char *text, uint32_t most, uint32_t *out) {
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < 1 || value > most)
        return false;
    *out = (uint32_t)value;
    return true;
}

bool bench_read_compute(const char *text, blip2_compute *out, const char **name) {
    static const char *const names[] = {"auto", "f32", "tf32", "f16", "bf16"};

    for (int i = 0; i <= BLIP2_COMPUTE_BF16; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (blip2_compute)i;
            *name = names[i];
            return true;
        }
    return false;
}

static double read_clock(clockid_t clock) {
    struct timespec t;

    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double bench_now(void) {
    return read_clock(CLOCK_MONOTONIC);
}

double bench_cpu_seconds(void) {
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

static int compare_numbers(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

double bench_median(double *numbers, size_t count) {
    qsort(numbers, count, sizeof *numbers, compare_numbers);
    return count % 2 == 1 ? numbers[count / 2] : (numbers[count / 2 - 1] + numbers[count / 2]) / 2;
}

int bench_print_json(json_t *object) {
    bool bad = object == NULL || json_dumpf(object, stdout, JSON_REAL_PRECISION(6)) != 0 ||
               putchar('\n') == EOF || fflush(stdout) != 0;

    json_decref(object);
    return bad ? bench_complain("the report could not be written") : EXIT_SUCCESS;
}
