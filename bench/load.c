/* blip2-bench load: many requests at once, as a back end sends them, and whether each has the
 * answer that it has alone. */
#include "load.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "bench.h"
#include "chance.h"
#include "measuring.h"

static const char usage[] =
    "usage: blip2-bench load --model DIR [OPTIONS] [PICTURE...]\n"
    "\n"
    "Ask for many things at once and report throughput and latency. Without pictures: of 8 that\n"
    "are made up.\n"
    "\n"
    "  --requests N       how many (default: 100)\n"
    "  --concurrency N    so many at a time, the next when one is done (default: 16)\n"
    "  --rate R           instead: R a second arrive, at random (a Poisson process)\n"
    "  --mix LIST         tasks and how often they come, as caption=4,ask=3: caption, ask,\n"
    "                     beams, sample, rank, itm, itc, features (default: all that the\n"
    "                     model can do)\n"
    "  --new-tokens A:B   length of texts (default: 8:24)\n"
    "  --seed N           other requests, and other times (default: 0)\n"
    "  --baseline         report the same requests one at a time as well\n"
    "  --no-check         do not compare answers with those of one request at a time\n"
    "  --tolerance X      by which numbers may differ (default: 1e-5)\n"
    "  --max-requests N   the engine's (default: 16)\n"
    "  --max-waiting N    the engine's (default: its own)\n"
    "  --decode-steps N   the engine's (default: its own)\n"
    "  --device NAME      device to run on (default: cpu)\n"
    "  --compute TYPE     auto, f32, tf32, f16 or bf16 (default: auto)\n"
    "  --threads N        CPU threads (default: all that this process may use)\n"
    "  --json             the report as one JSON object\n"
    "  --help             this text\n";

enum { MAX_REQUESTS = 1000000, MAX_TOKENS = 1 << 16, MADE_UP = 8, SIDE = 224 };

/* ---- what is asked ------------------------------------------------------------------------ */

/* Noise of a seed. */
static blip2_status make_up(blip2_image **out, uint64_t seed) {
    uint8_t *pixels = b2_alloc_array((size_t)SIDE * SIDE, 3);
    blip2_status status;

    if (pixels == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < (size_t)SIDE * SIDE * 3; i++)
        pixels[i] = (uint8_t)chance_below(&seed, 256);
    status = blip2_image_from_rgb(out, pixels, SIDE, SIDE, (size_t)SIDE * 3);
    b2_free(pixels);
    return status;
}

static blip2_status open_images(load *l, char **paths, size_t count) {
    blip2_status status = BLIP2_OK;

    l->image_count = count > 0 ? count : MADE_UP;
    if ((l->images = b2_calloc(l->image_count, sizeof *l->images)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < l->image_count && status == BLIP2_OK; i++)
        status =
            count > 0 ? blip2_image_open(&l->images[i], paths[i], NULL) : make_up(&l->images[i], i);
    return status;
}

static blip2_status open_all(load *l, char **paths, size_t count) {
    const load_wish *w = &l->wish;
    blip2_model_options options;
    uint64_t state = w->mix.seed;
    double arrival = 0;
    blip2_status status = open_images(l, paths, count);

    if (status < 0)
        return status;
    blip2_model_options_init(&options, sizeof options);
    options.device = w->device;
    options.threads = w->threads;
    options.compute = w->compute;
    if ((status = blip2_model_open(&l->model, w->model, &options)) < 0 ||
        (status = load_mix_settle(&l->wish.mix, l->model)) < 0)
        return status;
    if ((l->requests = b2_calloc(w->requests, sizeof *l->requests)) == NULL)
        return b2_fail_memory();
    for (uint32_t i = 0; i < w->requests; i++) {
        load_request *r = &l->requests[i];

        r->task = load_mix_draw(&w->mix, &state, l->model, l->images, l->image_count, &r->ask);
        if (w->rate > 0) /* (1 - u is above 0) */
            arrival -= log(1 - chance_unit(&state)) / w->rate;
        r->arrival = arrival;
    }
    return BLIP2_OK;
}

static void close_all(load *l) {
    for (uint32_t i = 0; l->requests != NULL && i < l->wish.requests; i++) {
        answer_free(&l->requests[i].answer);
        answer_free(&l->requests[i].alone);
    }
    for (size_t i = 0; l->images != NULL && i < l->image_count; i++)
        blip2_image_free(l->images[i]);
    blip2_model_close(l->model);
    b2_free(l->requests);
    b2_free(l->images);
}

static void check(load *l) {
    for (uint32_t i = 0; i < l->wish.requests; i++) {
        const load_request *r = &l->requests[i];
        double difference;

        if (r->status < 0)
            continue;
        difference = answer_difference(&r->answer, &r->alone);
        l->wrong += difference > l->wish.tolerance;
        if (difference <= l->wish.tolerance && difference > l->difference)
            l->difference = difference;
    }
}

/* ---- the command -------------------------------------------------------------------------- */

static bool read_number(const char *text, double *out) {
    char *end;

    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out > 0 && isfinite(*out);
}

/* "A:B", or "A" for both. */
static bool read_range(char *text, load_mix *mix) {
    char *colon = strchr(text, ':');

    if (colon != NULL)
        *colon++ = '\0';
    return bench_read_count(text, MAX_TOKENS, &mix->least) &&
           bench_read_count(colon != NULL ? colon : text, MAX_TOKENS, &mix->most) &&
           mix->least <= mix->most;
}

/* Those that take a value. */
static bool read_option(int option, char *value, load_wish *w) {
    uint32_t seed = 0;

    switch (option) {
    case 'm':
        w->model = value;
        return true;
    case 'd':
        w->device = value;
        return true;
    case 'c':
        return bench_read_compute(value, &w->compute, &w->compute_name);
    case 'n':
        return bench_read_count(value, MAX_REQUESTS, &w->requests);
    case 'k':
        return bench_read_count(value, MAX_REQUESTS, &w->concurrency);
    case 'R':
        return read_number(value, &w->rate);
    case 'x':
        return load_mix_read(&w->mix, value);
    case 'l':
        return read_range(value, &w->mix);
    case 's':
        if (strcmp(value, "0") != 0 && !bench_read_count(value, UINT32_MAX, &seed))
            return false;
        w->mix.seed = seed;
        return true;
    case 'e':
        w->tolerance = 0.0;
        return strcmp(value, "0") == 0 || read_number(value, &w->tolerance);
    case 'M':
        return bench_read_count(value, MAX_REQUESTS, &w->max_requests);
    case 'w':
        return bench_read_count(value, MAX_REQUESTS, &w->max_waiting);
    case 'D':
        return bench_read_count(value, MAX_REQUESTS, &w->decode_steps);
    default:
        return bench_read_count(value, 1024, &w->threads);
    }
}

static int read_options(int argc, char **argv, load_wish *w) {
    static const struct option options[] = {{"model", required_argument, NULL, 'm'},
                                            {"device", required_argument, NULL, 'd'},
                                            {"compute", required_argument, NULL, 'c'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"requests", required_argument, NULL, 'n'},
                                            {"concurrency", required_argument, NULL, 'k'},
                                            {"rate", required_argument, NULL, 'R'},
                                            {"mix", required_argument, NULL, 'x'},
                                            {"new-tokens", required_argument, NULL, 'l'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"tolerance", required_argument, NULL, 'e'},
                                            {"max-requests", required_argument, NULL, 'M'},
                                            {"max-waiting", required_argument, NULL, 'w'},
                                            {"decode-steps", required_argument, NULL, 'D'},
                                            {"baseline", no_argument, NULL, 'b'},
                                            {"no-check", no_argument, NULL, 'u'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'b')
            w->baseline = true;
        else if (option == 'u')
            w->no_check = true;
        else if (option == 'j')
            w->json = true;
        else if (option == 'h')
            w->help = true;
        else if (!read_option(option, optarg, w))
            return bench_complain("load: \"%s\" cannot be used here; see --help", optarg);
    }
    return EXIT_SUCCESS;
}

int load_main(int argc, char **argv) {
    load l = {.wish = {.device = "cpu",
                       .compute_name = "auto",
                       .requests = 100,
                       .concurrency = 16,
                       .max_requests = 16,
                       .tolerance = 1e-5,
                       .mix = {.least = 8, .most = 24}}};
    int code = read_options(argc, argv, &l.wish);
    blip2_status status;

    if (code != EXIT_SUCCESS)
        return code;
    if (l.wish.help)
        return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    if (l.wish.model == NULL)
        return bench_complain("load: expected --model DIR; see --help");
    status = open_all(&l, argv + optind, (size_t)(argc - optind));
    if (status == BLIP2_OK && (l.wish.baseline || !l.wish.no_check))
        status = load_run_alone(&l);
    if (status == BLIP2_OK)
        status = load_run_together(&l);
    if (status == BLIP2_OK && !l.wish.no_check)
        check(&l);
    code = status == BLIP2_OK ? load_report(&l) : bench_complain("%s", blip2_error_message());
    close_all(&l);
    return code;
}
