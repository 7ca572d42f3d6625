/* blip2-bench search: how near the exact search is to its bound, which is the bandwidth of memory.
 *
 * An index of random pictures of a true size (32 vectors of 256 numbers each) is written, and
 * searched for random texts. In the same run the same bytes are read and added up by as many
 * threads, as the bound. With --ann the pictures that faiss finds are compared with the exact ones:
 * each picture's vectors lie around a centre of its own, a text near one of them. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/size.h"
#include "bench.h"
#include "cpu/cpu.h"
#include "index/index.h"
#include "measuring.h"

static const char usage[] =
    "usage: blip2-bench search [OPTIONS]\n"
    "\n"
    "Measure the search in an index of random pictures, beside the bandwidth of memory.\n"
    "\n"
    "  --pictures N   pictures of 32 x 256 numbers (default: 100000, 3.3 GB)\n"
    "  --texts N      texts that share a pass (default: 1)\n"
    "  --half         vectors in 16 bits\n"
    "  --ann N        N nearest vectors by faiss too, and how many of the best 10 they hold\n"
    "  --repeat K     repeats; medians are reported (default: 5)\n"
    "  --threads N    CPU threads (default: all that this process may use)\n"
    "  --file PATH    where the index is written and removed (default: blip2-bench.index)\n"
    "  --help         this text\n";

enum { QUERIES = 32, WIDTH = 256, POOL = 2048, TOP = 10, MOST = 1 << 26, DIGEST = 32 };

typedef struct wish {
    const char *file;
    uint32_t pictures, texts, ann, repeats, threads;
    bool half, help;
} wish;

typedef struct bench {
    const wish *wish;
    b2_type type;
    uint64_t state; /* of the random numbers */
    uint8_t *pool;  /* [pooled, QUERIES, WIDTH] of type; pictures share them in turn */
    size_t pooled;
    blip2_index *index;
    b2_queries texts;
    blip2_hit *exact, *near; /* [texts, TOP] */
    double *seconds;         /* [repeats] scratch */
} bench;

/* ---- random pictures ---------------------------------------------------------------------- */

/* About normal: four uniform numbers added. */
static float draw(bench *b) {
    float sum = 0.0f;

    b->state = b->state * 6364136223846793005U + 1442695040888963407U;
    for (int i = 0; i < 4; i++)
        sum += (float)(b->state >> (16 * i) & 0xffff) / 65536.0f - 0.5f;
    return sum;
}

/* y [WIDTH] of unit length: centre (NULL: none) and noise. */
static void draw_vector(bench *b, float *y, const float *centre) {
    float squares = 0.0f;

    for (int i = 0; i < WIDTH; i++) {
        y[i] = draw(b) + (centre != NULL ? centre[i] * 16.0f * 0.577f : 0.0f);
        squares += y[i] * y[i];
    }
    for (int i = 0; i < WIDTH; i++)
        y[i] /= sqrtf(squares);
}

static blip2_status draw_all(bench *b) {
    const wish *w = b->wish;
    size_t stride = QUERIES * WIDTH * b2_type_size(b->type);
    float picture[QUERIES * WIDTH], centre[WIDTH];

    b->pooled = b2_size_min(w->pictures, POOL);
    b->pool = b2_alloc_array(b->pooled, stride);
    b->texts.count = w->texts;
    b->texts.first = b2_alloc_array(w->texts + 1, sizeof *b->texts.first);
    b->texts.vectors = b2_alloc_array(w->texts, WIDTH * sizeof *b->texts.vectors);
    if (b->pool == NULL || b->texts.first == NULL || b->texts.vectors == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < b->pooled; i++) {
        draw_vector(b, centre, NULL);
        for (size_t q = 0; q < QUERIES; q++)
            draw_vector(b, picture + q * WIDTH, centre);
        b2_from_f32(b->pool + i * stride, b->type, picture, QUERIES * WIDTH);
    }
    for (size_t t = 0; t <= w->texts; t++)
        b->texts.first[t] = t;
    for (size_t t = 0; t < w->texts; t++) {
        b2_to_f32(centre, b->pool + t * 7919 % b->pooled * stride, b->type, WIDTH);
        draw_vector(b, b->texts.vectors + t * WIDTH, centre);
    }
    return BLIP2_OK;
}

static blip2_status write_index(bench *b) {
    static const uint8_t pixels[DIGEST];
    const b2_index_shape shape = {"random", b->type, QUERIES, WIDTH};
    size_t stride = QUERIES * WIDTH * b2_type_size(b->type);
    b2_index_row *rows = b2_calloc(b->wish->pictures, sizeof *rows);
    blip2_status status;

    if (rows == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < b->wish->pictures; i++)
        rows[i] = (b2_index_row){
            .path = "p.png", .vectors = b->pool + i % b->pooled * stride, .pixels = pixels};
    status = b2_index_file_write(b->wish->file, &shape, rows, b->wish->pictures);
    b2_free(rows);
    return status;
}

/* ---- measuring ---------------------------------------------------------------------------- */

static size_t vector_bytes(const bench *b) {
    return b->index->file.count * b2_index_file_stride(&b->index->file);
}

static int threads_of(const bench *b) {
    return b2_cpu_of(b->index->device)->threads;
}

/* Seconds that reading all vectors once takes. */
static double read_all(const bench *b, uint64_t *sum) {
    enum { PIECE = 1 << 16 };
    const uint8_t *from = b->index->file.vectors;
    int64_t pieces = (int64_t)(vector_bytes(b) / PIECE);
    uint64_t all = 0;
    double start = bench_now();

#pragma omp parallel for num_threads(threads_of(b)) reduction(+ : all)
    for (int64_t p = 0; p < pieces; p++) {
        uint64_t lane[8] = {0}, word[8];

        for (size_t i = 0; i < PIECE; i += sizeof word) {
            memcpy(word, from + (size_t)p * PIECE + i, sizeof word);
            for (int k = 0; k < 8; k++)
                lane[k] += word[k];
        }
        for (int k = 0; k < 8; k++)
            all += lane[k];
    }
    *sum += all;
    return bench_now() - start;
}

static blip2_status search(bench *b, uint32_t ann, blip2_hit *hits, double *seconds) {
    b2_search_progress progress = {0};
    size_t most = b2_size_min(TOP, b->index->file.count);
    b2_best *lists = b2_calloc(b->texts.count, sizeof *lists);
    double start = bench_now();
    blip2_status status;

    if (lists == NULL)
        return b2_fail_memory();
    for (size_t t = 0; t < b->texts.count; t++)
        lists[t] = (b2_best){.hits = hits + t * TOP, .most = most};
    status = ann > 0 ? b2_search_near(b->index, &b->texts, ann, lists, &progress)
                     : b2_search_exact(b->index, &b->texts, lists, &progress);
    for (size_t t = 0; t < b->texts.count; t++) {
        b2_best_sort(&lists[t]);
        for (size_t i = lists[t].count; i < TOP; i++)
            hits[t * TOP + i] = (blip2_hit){.picture = SIZE_MAX};
    }
    *seconds = bench_now() - start;
    b2_free(lists);
    return status;
}

static blip2_status measure_exact(bench *b) {
    uint32_t repeats = b->wish->repeats;
    double bytes = (double)vector_bytes(b), reading, searching;
    uint64_t sum = 0;
    blip2_status status = BLIP2_OK;

    (void)read_all(b, &sum); /* into memory, and mapped */
    for (uint32_t i = 0; i < repeats; i++)
        b->seconds[i] = read_all(b, &sum);
    reading = bench_median(b->seconds, repeats);
    for (uint32_t i = 0; i < repeats && status == BLIP2_OK; i++)
        status = search(b, 0, b->exact, &b->seconds[i]);
    searching = bench_median(b->seconds, repeats);
    (void)printf("index     %zu pictures of %d x %d %s, %.2f GB; %zu texts, %d threads\n",
                 b->index->file.count, QUERIES, WIDTH, b2_type_name(b->type), bytes / 1e9,
                 b->texts.count, threads_of(b));
    (void)printf("reading   %.3f s, %.2f GB/s (sum %llx)\n", reading, bytes / reading / 1e9,
                 (unsigned long long)sum);
    (void)printf("exact     %.3f s, %.2f GB/s, %.0f pictures/s; %.2f of the time of reading\n",
                 searching, bytes / searching / 1e9, (double)b->index->file.count / searching,
                 searching / reading);
    return status;
}

static blip2_status measure_near(bench *b) {
    double building, *seconds = b->seconds;
    size_t found = 0, most = b2_size_min(TOP, b->index->file.count);
    blip2_status status = search(b, b->wish->ann, b->near, &building);

    for (uint32_t i = 0; i < b->wish->repeats && status == BLIP2_OK; i++)
        status = search(b, b->wish->ann, b->near, &seconds[i]);
    if (status < 0)
        return status;
    for (size_t t = 0; t < b->texts.count; t++)
        for (size_t i = 0; i < most; i++)
            for (size_t k = 0; k < most; k++)
                found += b->near[t * TOP + k].picture == b->exact[t * TOP + i].picture;
    (void)printf("faiss     %.3f s, and %.1f s once; %u nearest vectors hold %.1f %% of the best "
                 "%zu\n",
                 bench_median(seconds, b->wish->repeats), building, b->wish->ann,
                 100.0 * (double)found / (double)(b->texts.count * most), most);
    return BLIP2_OK;
}

static blip2_status run(bench *b) {
    const wish *w = b->wish;
    blip2_index_options options;
    blip2_status status;

    b->exact = b2_calloc(w->texts, TOP * sizeof *b->exact);
    b->near = b2_calloc(w->texts, TOP * sizeof *b->near);
    b->seconds = b2_calloc(w->repeats, sizeof *b->seconds);
    if (b->exact == NULL || b->near == NULL || b->seconds == NULL)
        return b2_fail_memory();
    blip2_index_options_init(&options, sizeof options);
    options.threads = w->threads;
    if ((status = draw_all(b)) < 0 || (status = write_index(b)) < 0)
        return status;
    if ((status = blip2_index_open(&b->index, w->file, &options)) == BLIP2_OK &&
        (status = measure_exact(b)) == BLIP2_OK && w->ann > 0)
        status = measure_near(b);
    blip2_index_close(b->index);
    (void)unlink(w->file);
    return status;
}

/* ---- the command -------------------------------------------------------------------------- */

static int read_options(int argc, char **argv, wish *w) {
    static const struct option options[] = {{"pictures", required_argument, NULL, 'p'},
                                            {"texts", required_argument, NULL, 'x'},
                                            {"half", no_argument, NULL, 'f'},
                                            {"ann", required_argument, NULL, 'a'},
                                            {"repeat", required_argument, NULL, 'k'},
                                            {"threads", required_argument, NULL, 't'},
                                            {"file", required_argument, NULL, 'o'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const struct {
        int option;
        uint32_t *value, most;
    } counts[] = {{'p', &w->pictures, MOST},
                  {'x', &w->texts, 1 << 16},
                  {'a', &w->ann, MOST},
                  {'k', &w->repeats, 1000},
                  {'t', &w->threads, 1024}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool good = option != '?';

        w->half |= option == 'f';
        w->help |= option == 'h';
        if (option == 'o')
            w->file = optarg;
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            if (counts[i].option == option)
                good = bench_read_count(optarg, counts[i].most, counts[i].value);
        if (!good)
            return bench_complain("search: a bad option or number; see blip2-bench search --help");
    }
    return optind == argc ? EXIT_SUCCESS
                          : bench_complain("search: unexpected argument \"%s\"", argv[optind]);
}

int search_main(int argc, char **argv) {
    wish w = {.file = "blip2-bench.index", .pictures = 100000, .texts = 1, .repeats = 5};
    bench b = {.wish = &w, .state = 1};
    blip2_status status;

    if (read_options(argc, argv, &w) != EXIT_SUCCESS)
        return EXIT_USAGE;
    if (w.help)
        return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    b.type = w.half ? B2_F16 : B2_F32;
    status = run(&b);
    b2_queries_free(&b.texts);
    b2_free(b.pool);
    b2_free(b.exact);
    b2_free(b.near);
    b2_free(b.seconds);
    if (status < 0)
        return bench_complain("search: %s", blip2_error_message());
    return fflush(stdout) == 0 ? EXIT_SUCCESS : bench_complain("the report could not be written");
}
