/* blip2-bench verify: run golden cases, say what came out, count. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "bench.h"
#include "device.h"
#include "kinds.h"

static const char usage[] =
    "usage: blip2-bench verify [--json] [--device NAME] CASE_DIR...\n"
    "\n"
    "Run golden cases and compare with the expected values, within the tolerance each case\n"
    "states. CASE_DIR is a case (it has a case.json) or a folder of cases. A case whose kind or\n"
    "options are not supported is skipped and counted, never passed.\n"
    "\n"
    "  --json          one JSON object a line for each case, then one with the counts\n"
    "  --device NAME   device to run on (default: cpu)\n"
    "  --help          this text\n"
    "\n"
    "Relative errors are relative to the largest expected magnitude of a tensor.\n"
    "Exit code: 0 nothing failed, 1 a case failed, 2 wrong usage or a case that cannot be read.\n";

typedef enum outcome { PASSED, FAILED, SKIPPED } outcome;

typedef struct verification {
    const char *device;
    bool json;
    size_t count[3]; /* by outcome */
    bool unreadable; /* some case could not be read */
} verification;

/* ---- printing ----------------------------------------------------------------------------- */

static const char *const outcome_names[] = {"pass", "fail", "skip"};

static json_t *number_or_null(const verdict *v, double value) {
    return v->measured && isfinite(value) ? json_real(value) : json_null();
}

static void print_json(json_t *object) {
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;

    if (text != NULL)
        (void)puts(text);
    free(text);
    json_decref(object);
}

static void print_case(const verification *job, const kind *kind, const verdict *v, outcome o) {
    const char *name = v->golden->name, *reason = b2_text_data(&v->reason);

    if (job->json) {
        print_json(json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "case", name, "kind",
                             kind->name, "device", job->device, "status", outcome_names[o],
                             "reason", reason, "max_abs", number_or_null(v, v->max_abs), "max_rel",
                             number_or_null(v, v->max_rel)));
    } else {
        (void)printf("%s  %s (%s, %s)%s%s", outcome_names[o], name, kind->name, job->device,
                     reason[0] != '\0' ? ": " : "", reason);
        if (o != SKIPPED && v->measured && v->worst > 0)
            (void)printf("; max abs %.3g, rel %.3g, worst %.3g of the tolerance", v->max_abs,
                         v->max_rel, v->worst);
        (void)printf("\n%s", b2_text_data(&v->lines));
    }
    (void)fflush(stdout); /* cases can take long, and a reader may be waiting */
}

static void print_counts(const verification *job) {
    if (job->json)
        print_json(json_pack("{s:I, s:I, s:I}", "passed", (json_int_t)job->count[PASSED], "failed",
                             (json_int_t)job->count[FAILED], "skipped",
                             (json_int_t)job->count[SKIPPED]));
    else
        (void)printf("%zu passed, %zu failed, %zu skipped\n", job->count[PASSED],
                     job->count[FAILED], job->count[SKIPPED]);
}

/* ---- running ------------------------------------------------------------------------------ */

/* BLIP2_OK with *out set, or why the case could not be run for reasons of its own. */
static blip2_status judge(const kind *kind, const char *device, verdict *v, outcome *out) {
    blip2_status status;

    if (kind->run == NULL) {
        *out = SKIPPED;
        b2_text_appendf(&v->reason, "not supported");
        return BLIP2_OK;
    }
    status = kind->run(v->golden, device, v);
    if (status == BLIP2_OK)
        status = verdict_finish(v);
    if (v->failed) { /* whatever came after that */
        *out = FAILED;
        return BLIP2_OK;
    }
    switch (status) {
    case BLIP2_OK:
        *out = PASSED;
        return BLIP2_OK;
    case BLIP2_ENOTSUP:
        *out = SKIPPED;
        b2_text_clear(&v->reason);
        b2_text_clear(&v->lines);
        b2_text_appendf(&v->reason, "not supported: %s", blip2_error_message());
        return BLIP2_OK;
    case BLIP2_EINVAL:
    case BLIP2_EIO:
        return status;
    default: /* a model or picture that the library does not take, a device that fails, ... */
        *out = FAILED;
        verdict_fail(v, "%s", blip2_error_message());
        return BLIP2_OK;
    }
}

static void verify_case(verification *job, const char *directory) {
    golden_case golden;
    verdict v;
    outcome o;
    blip2_status status = golden_open(&golden, directory);

    if (status == BLIP2_OK) {
        const kind *kind = kind_of(&golden);

        if ((status = verdict_open(&v, &golden)) == BLIP2_OK &&
            (status = judge(kind, job->device, &v, &o)) == BLIP2_OK) {
            job->count[o]++;
            print_case(job, kind, &v, o);
        }
        verdict_close(&v);
        golden_close(&golden);
    }
    if (status < 0) {
        job->unreadable = true;
        bench_complain("%s: %s", directory, blip2_error_message());
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names of the cases in a folder, sorted, each yours to free(). */
static blip2_status list_cases(const char *directory, char ***out, size_t *count) {
    DIR *stream = opendir(directory);
    struct dirent *entry;
    blip2_status status = BLIP2_OK;

    *out = NULL;
    *count = 0;
    if (stream == NULL)
        return b2_fail(BLIP2_EIO, "%s", strerror(errno));
    while (status == BLIP2_OK && (entry = readdir(stream)) != NULL) {
        char *path = b2_path_join(directory, entry->d_name);
        char **grown = b2_realloc_array(*out, *count + 1, sizeof **out);

        if (grown != NULL)
            *out = grown;
        if (path == NULL || grown == NULL)
            status = b2_fail_memory();
        if (status == BLIP2_OK && entry->d_name[0] != '.' && golden_is_case(path)) {
            (*out)[(*count)++] = path;
            path = NULL;
        }
        b2_free(path);
    }
    (void)closedir(stream);
    if (*count > 0)
        qsort(*out, *count, sizeof **out, compare_names);
    else if (status == BLIP2_OK)
        status = b2_fail(BLIP2_EIO, "no case.json here or in its folders");
    return status;
}

static void verify_path(verification *job, const char *path) {
    char **cases;
    size_t count;

    if (golden_is_case(path)) {
        verify_case(job, path);
        return;
    }
    if (list_cases(path, &cases, &count) < 0) {
        job->unreadable = true;
        bench_complain("%s: %s", path, blip2_error_message());
    }
    for (size_t i = 0; i < count; i++) {
        verify_case(job, cases[i]);
        b2_free(cases[i]);
    }
    b2_free(cases);
}

int verify_main(int argc, char **argv) {
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"device", required_argument, NULL, 'd'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    verification job = {.device = "cpu"};
    b2_device *device;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'j')
            job.json = true;
        else if (option == 'd')
            job.device = optarg;
        else if (option == 'h')
            return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
        else
            return EXIT_USAGE;
    }
    if (optind == argc)
        return bench_complain("verify: no CASE_DIR given; see blip2-bench verify --help");
    /* Asked for first: without the device every case would be "not supported". */
    if (b2_device_open(&device, job.device, &bench_exact) < 0)
        return bench_complain("--device %s: %s", job.device, blip2_error_message());
    b2_device_close(device);
    for (int i = optind; i < argc; i++)
        verify_path(&job, argv[i]);
    print_counts(&job);
    if (fflush(stdout) != 0 || ferror(stdout))
        return bench_complain("writing the report: %s", strerror(errno));
    if (job.unreadable)
        return EXIT_USAGE;
    return job.count[FAILED] > 0 ? EXIT_DIFFERENT : EXIT_SUCCESS;
}
