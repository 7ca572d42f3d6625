/* blip2-bench run: where the time of a call goes. The first stone of measuring: one machine, one
 * picture, N requests of it in one batch, the median of K repeats, and no warm-up but the repeats.
 *
 *   load     opening the model, once
 *   encode   preprocessing, vision tower, Q-Former and projection of all N pictures, one batch
 *   prefill  from there until every request has its first new token
 *   decode   from there to the end; the end token is banned, so that all are equally long
 *
 * The engine runs a step that somebody watches without its graph, so nobody watches longer than it
 * takes to see a phase end.                                                                   */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "bench.h"
#include "cpu/cpu.h"
#include "engine/engine.h"
#include "measuring.h"

static const char usage[] =
    "usage: blip2-bench run --model DIR --image FILE [OPTIONS]\n"
    "\n"
    "Measure loading, encoding, prefill and decoding, and the memory taken.\n"
    "\n"
    "  --requests N     requests of the picture in one batch (default: 1)\n"
    "  --new-tokens N   new tokens of each (default: 30)\n"
    "  --prompt TEXT    prompt of each (default: none)\n"
    "  --repeat K       repeats; medians are reported (default: 3)\n"
    "  --device NAME    device to run on (default: cpu)\n"
    "  --compute TYPE   auto, f32, tf32, f16 or bf16 (default: auto)\n"
    "  --threads N      CPU threads (default: all that this process may use)\n"
    "  --no-graphs      launch the kernels of decoding one by one\n"
    "  --json           the report as one JSON object\n"
    "  --help           this text\n";

enum { MAX_REPEATS = 1000, MAX_REQUESTS = 1024, MAX_TOKENS = 1 << 16 };

typedef struct wish {
    const char *model, *image, *prompt, *device, *compute_name;
    blip2_compute compute;
    uint32_t requests, new_tokens, repeats, threads;
    bool json, help;
    bool no_graphs;
} wish;

typedef struct phases { /* seconds */
    double encode, prefill, decode, total;
} phases;

typedef struct speed {
    const wish *wish;
    blip2_model *model;
    blip2_engine *engine;
    blip2_image *image;
    b2_request **requests; /* [requests] */
    double load;           /* seconds */
    uint32_t rows;         /* soft prompt and prompt of one request */
    phases *repeats;       /* [repeats] */

    /* of the repeat that runs */
    b2_trace trace;
    double encoded; /* when the last picture was */
    double first;   /* when the last request had its first token */
} speed;

/* ---- measuring ---------------------------------------------------------------------------- */

static void see_encoded(void *payload, const char *name, uint32_t index, const b2_mat *mat) {
    speed *s = payload;

    (void)index;
    (void)mat;
    if (strcmp(name, "soft_prompt") != 0)
        return;
    (void)s->model->device->ops->sync(s->model->device);
    s->encoded = bench_now();
    s->engine->run.trace = NULL;
}

static void see_logits(b2_request *request, const b2_mat *row, void *payload) {
    speed *s = payload;

    (void)row;
    (void)s->model->device->ops->sync(s->model->device);
    s->first = bench_now();
    request->on_logits = NULL;
}

static blip2_status open_all(speed *s) {
    const wish *w = s->wish;
    blip2_model_options model;
    blip2_engine_options engine;
    b2_tokens prompt = {0};
    double start = bench_now();
    blip2_status status;

    blip2_model_options_init(&model, sizeof model);
    model.device = w->device;
    model.threads = w->threads;
    model.compute = w->compute;
    if ((status = blip2_model_open(&s->model, w->model, &model)) < 0)
        return status;
    s->load = bench_now() - start;
    if ((status = blip2_image_open(&s->image, w->image, NULL)) < 0)
        return status;
    if (s->model->tokenizer == NULL)
        return b2_fail(BLIP2_ENOTSUP, "%s: no language model to measure", w->model);
    status = b2_tokenizer_encode(s->model->tokenizer, w->prompt, strlen(w->prompt), true, &prompt);
    s->rows = s->model->config.qformer.queries + (uint32_t)prompt.count;
    b2_tokens_free(&prompt);
    if (status < 0)
        return status;
    blip2_engine_options_init(&engine, sizeof engine);
    engine.max_requests = engine.max_images = w->requests;
    engine.max_tokens = s->rows + w->new_tokens;
    if ((status = blip2_engine_open(&s->engine, s->model, &engine)) < 0)
        return status;
    s->trace = (b2_trace){see_encoded, s};
    s->engine->graphs.off = w->no_graphs;
    s->requests = b2_calloc(w->requests, sizeof(b2_request *));
    s->repeats = b2_calloc(w->repeats, sizeof *s->repeats);
    return s->requests != NULL && s->repeats != NULL ? BLIP2_OK : b2_fail_memory();
}

static blip2_status submit_all(speed *s) {
    const b2_request_options options = {.prompt = s->wish->prompt,
                                        .min_new_tokens = s->wish->new_tokens,
                                        .max_new_tokens = s->wish->new_tokens,
                                        .repetition_penalty = 1.0f};
    blip2_status status;

    s->engine->run.trace = &s->trace;
    for (uint32_t i = 0; i < s->wish->requests; i++) {
        b2_request *request;

        if ((status = b2_request_open(&request, s->model, s->image, &options)) < 0)
            return status;
        s->requests[i] = request;
        request->payload = s;
        request->on_logits = see_logits;
        if ((status = b2_engine_submit(s->engine, request)) < 0)
            return status;
    }
    return BLIP2_OK;
}

static blip2_status measure(speed *s, phases *out) {
    bool busy = true;
    double start, end;
    blip2_status status = submit_all(s);

    start = bench_now();
    while (status == BLIP2_OK && busy)
        status = b2_engine_step(s->engine, &busy);
    end = bench_now();
    *out = (phases){s->encoded - start, s->first - s->encoded, end - s->first, end - start};
    for (uint32_t i = 0; i < s->wish->requests; i++) {
        if (s->requests[i] != NULL && status == BLIP2_OK)
            status = s->requests[i]->status;
        if (s->requests[i] != NULL)
            b2_engine_cancel(s->engine, s->requests[i]);
        b2_request_close(s->requests[i]);
        s->requests[i] = NULL;
    }
    return status;
}

static void close_all(speed *s) {
    blip2_engine_close(s->engine);
    blip2_image_free(s->image);
    blip2_model_close(s->model);
    b2_free(s->requests);
    b2_free(s->repeats);
}

/* ---- the report --------------------------------------------------------------------------- */

/* Of the field at `offset` in phases; `sorted` [repeats] is scratch. */
static double median(const speed *s, size_t offset, double *sorted) {
    uint32_t n = s->wish->repeats;

    for (uint32_t i = 0; i < n; i++)
        memcpy(&sorted[i], (const char *)&s->repeats[i] + offset, sizeof *sorted);
    return bench_median(sorted, n);
}

static void read_cpu_model(char *text, size_t size) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    bool found = false;

    (void)snprintf(text, size, "unknown CPU");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        char *colon = strchr(line, ':');

        found = strncmp(line, "model name", 10) == 0 && colon != NULL;
        if (found)
            (void)snprintf(text, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
    }
    if (file != NULL)
        (void)fclose(file);
}

static uint64_t peak_bytes(void) {
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static double rate(double count, double seconds) {
    return seconds > 0 ? count / seconds : 0;
}

static int report(const speed *s) {
    const wish *w = s->wish;
    double *scratch = b2_alloc_array(w->repeats, sizeof *scratch);
    int threads =
        strcmp(s->model->device->ops->name, "cpu") == 0 ? b2_cpu_of(s->model->device)->threads : 0;
    char cpu[128];
    double encode, prefill, decode, total, new_tokens = (double)w->requests * (w->new_tokens - 1);
    uint64_t peak = peak_bytes();

    if (scratch == NULL)
        return bench_complain("out of memory");
    encode = median(s, offsetof(phases, encode), scratch) / w->requests;
    prefill = rate((double)w->requests * s->rows, median(s, offsetof(phases, prefill), scratch));
    decode = rate(new_tokens, median(s, offsetof(phases, decode), scratch));
    total = rate(w->requests, median(s, offsetof(phases, total), scratch));
    b2_free(scratch);
    read_cpu_model(cpu, sizeof cpu);
    if (w->json)
        return bench_print_json(
            json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:I}",
                      "model", w->model, "device", w->device, "compute", w->compute_name, "cpu",
                      cpu, "threads", threads, "requests", (json_int_t)w->requests, "prompt_rows",
                      (json_int_t)s->rows, "new_tokens", (json_int_t)w->new_tokens, "repeats",
                      (json_int_t)w->repeats, "load_s", s->load, "encode_s_per_image", encode,
                      "prefill_tokens_per_s", prefill, "decode_tokens_per_s", decode,
                      "captions_per_s", total, "peak_rss_bytes", (json_int_t)peak));
    (void)printf("machine   %s, %d threads, device %s\n", cpu, threads, w->device);
    (void)printf("run       %u requests of %u + %u tokens, median of %u\n", w->requests, s->rows,
                 w->new_tokens, w->repeats);
    (void)printf("load      %.3f s\n", s->load);
    (void)printf("encode    %.1f ms a picture\n", encode * 1e3);
    (void)printf("prefill   %.1f tokens/s\n", prefill);
    (void)printf("decode    %.1f tokens/s\n", decode);
    (void)printf("captions  %.2f captions/s\n", total);
    (void)printf("peak RSS  %.3f GiB\n", (double)peak / (1 << 30));
    return fflush(stdout) == 0 ? EXIT_SUCCESS : bench_complain("the report could not be written");
}

/* ---- the command -------------------------------------------------------------------------- */

static int read_options(int argc, char **argv, wish *w) {
    static const struct option options[] = {{"model", required_argument, NULL, 'm'},
                                            {"image", required_argument, NULL, 'i'},
                                            {"prompt", required_argument, NULL, 'p'},
                                            {"device", required_argument, NULL, 'd'},
                                            {"compute", required_argument, NULL, 'c'},
                                            {"requests", required_argument, NULL, 'r'},
                                            {"new-tokens", required_argument, NULL, 'n'},
                                            {"repeat", required_argument, NULL, 'k'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"no-graphs", no_argument, NULL, 'g'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool good = true;

        switch (option) {
        case 'm':
            w->model = optarg;
            break;
        case 'i':
            w->image = optarg;
            break;
        case 'p':
            w->prompt = optarg;
            break;
        case 'd':
            w->device = optarg;
            break;
        case 'c':
            if (!bench_read_compute(optarg, &w->compute, &w->compute_name))
                return bench_complain("run: --compute %s: expected auto, f32, tf32, f16 or bf16",
                                      optarg);
            break;
        case 'r':
            good = bench_read_count(optarg, MAX_REQUESTS, &w->requests);
            break;
        case 'n':
            good = bench_read_count(optarg, MAX_TOKENS, &w->new_tokens);
            break;
        case 'k':
            good = bench_read_count(optarg, MAX_REPEATS, &w->repeats);
            break;
        case 't':
            good = bench_read_count(optarg, 1024, &w->threads);
            break;
        case 'g':
            w->no_graphs = true;
            break;
        case 'j':
            w->json = true;
            break;
        case 'h':
            w->help = true;
            break;
        default:
            return EXIT_USAGE;
        }
        if (!good)
            return bench_complain("run: \"%s\" is no number that can be used here", optarg);
    }
    return EXIT_SUCCESS;
}

int run_main(int argc, char **argv) {
    wish w = {.prompt = "",
              .device = "cpu",
              .compute_name = "auto",
              .requests = 1,
              .new_tokens = 30,
              .repeats = 3};
    speed s = {.wish = &w};
    int code = read_options(argc, argv, &w);
    blip2_status status;

    if (code != EXIT_SUCCESS)
        return code;
    if (w.help)
        return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    if (w.model == NULL || w.image == NULL || optind != argc)
        return bench_complain("run: expected --model DIR and --image FILE; see --help");
    status = open_all(&s);
    for (uint32_t i = 0; i < w.repeats && status == BLIP2_OK; i++)
        status = measure(&s, &s.repeats[i]);
    code = status == BLIP2_OK ? report(&s) : bench_complain("%s", blip2_error_message());
    close_all(&s);
    return code;
}
