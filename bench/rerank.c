/* blip2-bench rerank: how long N pictures with k texts each take to be matched, host to host: what
 * bench/peers/rerank.py compares with transformers. Every repeat has an engine of its own, so that
 * no picture is encoded before it is measured.                                                  */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "bench.h"
#include "measuring.h"

static const char usage[] =
    "usage: blip2-bench rerank --model DIR --texts FILE [OPTIONS] PICTURE...\n"
    "\n"
    "Match every picture with every text and report the time, the work and the logits.\n"
    "\n"
    "  --texts FILE     texts, one a line\n"
    "  --repeat K       repeats (default: 1)\n"
    "  --requests N     pairs in one batch (default: 32)\n"
    "  --device NAME    device to run on (default: cpu)\n"
    "  --threads N      CPU threads (default: all that this process may use)\n"
    "  --help           this text\n";

enum { MAX_REPEATS = 1000, MAX_REQUESTS = 4096 };

typedef struct rerank {
    const char *model_path, *texts_path, *device;
    uint32_t repeats, requests, threads;
    bool help;
    char *lines; /* the file, cut into texts */
    const char **texts;
    size_t text_count;
    blip2_image **images;
    size_t image_count;
    blip2_model *model;
    blip2_input *pairs; /* [images, texts] */
    blip2_match_score *scores;
    blip2_engine_counts counts; /* of one repeat */
} rerank;

static blip2_status read_texts(rerank *r) {
    b2_file_map map;
    blip2_status status = b2_file_map_open(&map, r->texts_path);
    size_t most;

    if (status < 0)
        return status;
    if (map.size == 0) {
        b2_file_map_close(&map);
        return b2_fail(BLIP2_EINVAL, "%s: no texts", r->texts_path);
    }
    most = map.size + 1;
    r->lines = b2_calloc(most, 1);
    r->texts = b2_alloc_array(most, sizeof *r->texts);
    if (r->lines != NULL && r->texts != NULL)
        memcpy(r->lines, map.data, map.size);
    else
        status = b2_fail_memory();
    b2_file_map_close(&map);
    for (char *line = r->lines; status == BLIP2_OK && *line != '\0';) {
        size_t length = strcspn(line, "\n");
        bool last = line[length] == '\0';

        line[length] = '\0';
        r->texts[r->text_count++] = line;
        line += length + !last;
    }
    return status;
}

static blip2_status open_all(rerank *r, char **paths) {
    blip2_model_options options;
    size_t pairs;
    blip2_status status = read_texts(r);

    if (status < 0)
        return status;
    pairs = r->image_count * r->text_count;
    r->images = b2_calloc(r->image_count, sizeof *r->images);
    r->pairs = b2_calloc(pairs, sizeof *r->pairs);
    r->scores = b2_calloc(pairs, sizeof *r->scores);
    if (r->images == NULL || r->pairs == NULL || r->scores == NULL)
        status = b2_fail_memory();
    for (size_t i = 0; i < r->image_count && status == BLIP2_OK; i++)
        status = blip2_image_open(&r->images[i], paths[i], NULL);
    for (size_t i = 0; i < pairs && status == BLIP2_OK; i++)
        r->pairs[i] = (blip2_input){r->images[i / r->text_count], r->texts[i % r->text_count]};
    if (status < 0)
        return status;
    blip2_model_options_init(&options, sizeof options);
    options.device = r->device;
    options.threads = r->threads;
    return blip2_model_open(&r->model, r->model_path, &options);
}

static blip2_status measure(rerank *r, double *seconds, double *cpu_seconds) {
    blip2_engine *engine;
    blip2_engine_options options;
    blip2_match_options match;
    double start, cpu_start;
    blip2_status status;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = r->requests;
    blip2_match_options_init(&match, sizeof match);
    match.no_itc = 1;
    if ((status = blip2_engine_open(&engine, r->model, &options)) < 0)
        return status;
    start = bench_now();
    cpu_start = bench_cpu_seconds();
    status = blip2_match(engine, r->pairs, r->image_count * r->text_count, &match, r->scores);
    *seconds = bench_now() - start;
    *cpu_seconds = bench_cpu_seconds() - cpu_start;
    if (status == BLIP2_OK)
        status = blip2_engine_stats(engine, &r->counts, sizeof r->counts);
    blip2_engine_close(engine);
    return status;
}

static void close_all(rerank *r) {
    for (size_t i = 0; r->images != NULL && i < r->image_count; i++)
        blip2_image_free(r->images[i]);
    blip2_model_close(r->model);
    b2_free(r->images);
    b2_free(r->pairs);
    b2_free(r->scores);
    b2_free(r->texts);
    b2_free(r->lines);
}

/* seconds [repeats], then of the CPU [repeats]. */
static int report(const rerank *r, const double *seconds) {
    json_t *times = json_array(), *cpu_times = json_array(), *logits = json_array();

    for (uint32_t i = 0; i < r->repeats; i++) {
        (void)json_array_append_new(times, json_real(seconds[i]));
        (void)json_array_append_new(cpu_times, json_real(seconds[r->repeats + i]));
    }
    for (size_t i = 0; i < r->image_count * r->text_count; i++)
        (void)json_array_append_new(logits, json_pack("[f, f]", (double)r->scores[i].itm_logits[0],
                                                      (double)r->scores[i].itm_logits[1]));
    return bench_print_json(json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o}", "model", r->model_path, "pictures",
        (json_int_t)r->image_count, "texts", (json_int_t)r->text_count, "pictures_encoded",
        (json_int_t)r->counts.images_encoded, "pairs", (json_int_t)r->counts.pairs_scored,
        "seconds", times, "cpu_seconds", cpu_times, "itm_logits", logits));
}

static int read_options(int argc, char **argv, rerank *r) {
    static const struct option options[] = {
        {"model", required_argument, NULL, 'm'},    {"texts", required_argument, NULL, 'x'},
        {"device", required_argument, NULL, 'd'},   {"repeat", required_argument, NULL, 'k'},
        {"requests", required_argument, NULL, 'r'}, {"threads", required_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},           {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool good = true;

        if (option == '?')
            return EXIT_USAGE;
        if (option == 'm')
            r->model_path = optarg;
        else if (option == 'x')
            r->texts_path = optarg;
        else if (option == 'd')
            r->device = optarg;
        else if (option == 'k')
            good = bench_read_count(optarg, MAX_REPEATS, &r->repeats);
        else if (option == 'r')
            good = bench_read_count(optarg, MAX_REQUESTS, &r->requests);
        else if (option == 't')
            good = bench_read_count(optarg, 1024, &r->threads);
        else
            r->help = true;
        if (!good)
            return bench_complain("rerank: \"%s\" is no number that can be used here", optarg);
    }
    return EXIT_SUCCESS;
}

int rerank_main(int argc, char **argv) {
    rerank r = {.device = "cpu", .repeats = 1, .requests = 32};
    double *seconds;
    int code = read_options(argc, argv, &r);
    blip2_status status;

    if (code != EXIT_SUCCESS)
        return code;
    if (r.help)
        return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    if (r.model_path == NULL || r.texts_path == NULL || optind == argc)
        return bench_complain(
            "rerank: expected --model DIR, --texts FILE and pictures; see --help");
    r.image_count = (size_t)(argc - optind);
    seconds = b2_calloc(r.repeats, 2 * sizeof *seconds);
    status = seconds != NULL ? open_all(&r, argv + optind) : b2_fail_memory();
    for (uint32_t i = 0; i < r.repeats && status == BLIP2_OK; i++)
        status = measure(&r, &seconds[i], &seconds[r.repeats + i]);
    code = status == BLIP2_OK ? report(&r, seconds) : bench_complain("%s", blip2_error_message());
    close_all(&r);
    b2_free(seconds);
    return code;
}
