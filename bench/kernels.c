/* blip2-bench kernels: how fast single operations of the CUDA device run on the shapes of
 * blip2-opt-2.7b, and of what flan-t5-xl does in another way. One JSON object a line, as they come:
 * first the GPU, then each operation, so that what was measured before a failure or a time limit is
 * kept.
 *
 * An operation is queued into a graph, again and again on changing operands, and graphs are timed
 * by events (cuda/timing.h): what is measured is the GPU alone, operands come from its memory and
 * not from its cache, unless all 16 sets of them fit there, as they would in a model. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "kernel_work.h"
#include "measuring.h"
#include "timing.h"

static const char usage[] =
    "usage: blip2-bench kernels [OPTIONS]\n"
    "\n"
    "Measure single operations of the CUDA device: one JSON object a line.\n"
    "\n"
    "  --device NAME    a GPU (default: cuda)\n"
    "  --compute TYPE   f32, tf32, f16 or bf16 (default: bf16)\n"
    "  --patch PATH     gemm or cudnn: how patches of pictures are made (default: by rule)\n"
    "  --only TEXT      operations whose name contains it\n"
    "  --samples N      times each is measured (default: 15)\n"
    "  --tiny           small shapes, to see that it runs\n"
    "  --help           this text\n";

enum {
    MAX_SAMPLES = 1000,
    MAX_NODES = 2048, /* operations in a graph */
    VIT_N = 257,
    VIT_C = 1408,
    VIT_F = 6144,
    QF_N = 32,
    QF_C = 768,
    QF_F = 3072,
    OPT_N = 40, /* 32 rows of a picture and a short prompt */
    OPT_C = 2560,
    OPT_F = 10240,
    OPT_V = 50272,
    T5_N = 40,
    T5_C = 2048,
    T5_F = 5120,
    T5_V = 32128,
    T5_READS = 257,  /* distances of its bias: -128 .. 128 in the encoder */
    T5_WRITES = 129, /* -128 .. 0 in the decoder */
    COPY = 1 << 29,
    PEAK = 8192,
    LARGE = 65536
};
static const double sample_seconds = 2e-3; /* of one sample: 1000 times the resolution of events */

/* How a row of the table grows with a batch: n rows, or segments. */
typedef enum growth { ONCE, ROWS, SEGMENTS } growth;
static const uint32_t batches[] = {1, 8, 32};

#define LINEAR(name, rows, m, k, ...)                                                              \
    { {name, KERNEL_LINEAR, rows, m, k, __VA_ARGS__}, ROWS }
#define ATTENTION(name, n, m, h, d, ...)                                                           \
    {                                                                                              \
        {name, KERNEL_ATTENTION, n, m, .segments = 1, .heads = h, .head_size = d, __VA_ARGS__},    \
            SEGMENTS                                                                               \
    }
/* clang-format off */
static const struct {
    kernel_shape shape; /* for one picture */
    growth growth;
} table[] = {
    {{"copy", KERNEL_COPY, .n = COPY}, ONCE},
    {{"gemm.peak", KERNEL_LINEAR, PEAK, PEAK, .k = PEAK}, ONCE},
    LINEAR("vit.qkv", VIT_N, 3 * VIT_C, VIT_C, .act = B2_ACT_NONE),
    LINEAR("vit.proj", VIT_N, VIT_C, VIT_C, .residual = true),
    LINEAR("vit.fc1", VIT_N, VIT_F, VIT_C, .act = B2_ACT_GELU),
    LINEAR("vit.fc2", VIT_N, VIT_C, VIT_F, .residual = true),
    LINEAR("qformer.cross_kv", VIT_N, 12 * QF_C, VIT_C, .exact = true),
    LINEAR("qformer.qkv", QF_N, 3 * QF_C, QF_C, .exact = true),
    LINEAR("qformer.fc1", QF_N, QF_F, QF_C, .exact = true, .act = B2_ACT_GELU),
    LINEAR("opt.qkv.prefill", OPT_N, 3 * OPT_C, OPT_C, .act = B2_ACT_NONE),
    LINEAR("opt.fc1.prefill", OPT_N, OPT_F, OPT_C, .act = B2_ACT_RELU),
    LINEAR("opt.qkv.decode", 1, 3 * OPT_C, OPT_C, .act = B2_ACT_NONE),
    LINEAR("opt.out.decode", 1, OPT_C, OPT_C, .residual = true),
    LINEAR("opt.fc1.decode", 1, OPT_F, OPT_C, .act = B2_ACT_RELU),
    LINEAR("opt.fc2.decode", 1, OPT_C, OPT_F, .residual = true),
    LINEAR("opt.logits", 1, OPT_V, OPT_C, .wide = true),
    LINEAR("t5.qkv.encode", T5_N, 3 * T5_C, T5_C, .no_bias = true),
    LINEAR("t5.wi.encode", T5_N, T5_F, T5_C, .no_bias = true, .gated = true,
           .act = B2_ACT_GELU_TANH),
    LINEAR("t5.wi.decode", 1, T5_F, T5_C, .no_bias = true, .gated = true,
           .act = B2_ACT_GELU_TANH),
    LINEAR("t5.wo.decode", 1, T5_C, T5_F, .no_bias = true, .residual = true),
    LINEAR("t5.logits", 1, T5_V, T5_C, .no_bias = true, .wide = true),
    ATTENTION("attention.vit", VIT_N, VIT_N, 16, 88, .rule = B2_MASK_ALL),
    ATTENTION("attention.qformer.self", QF_N, QF_N, 12, 64, .exact = true),
    ATTENTION("attention.qformer.cross", QF_N, VIT_N, 12, 64, .exact = true),
    ATTENTION("attention.opt.prefill", OPT_N, OPT_N, 32, 80, .paged = true,
              .rule = B2_MASK_CAUSAL),
    ATTENTION("attention.opt.prefill.512", 512, 512, 32, 80, .paged = true,
              .rule = B2_MASK_CAUSAL),
    ATTENTION("attention.opt.decode.72", 1, 72, 32, 80, .paged = true, .rule = B2_MASK_CAUSAL),
    ATTENTION("attention.opt.decode.512", 1, 512, 32, 80, .paged = true, .rule = B2_MASK_CAUSAL),
    ATTENTION("attention.opt.decode.2048", 1, 2048, 32, 80, .paged = true,
              .rule = B2_MASK_CAUSAL),
    ATTENTION("attention.t5.encode", T5_N, T5_N, 32, 64, .bias_span = T5_READS),
    ATTENTION("attention.t5.encode.512", 512, 512, 32, 64, .bias_span = T5_READS),
    ATTENTION("attention.t5.decode.72", 1, 72, 32, 64, .paged = true, .bias_span = T5_WRITES,
              .rule = B2_MASK_CAUSAL),
    ATTENTION("attention.t5.cross", 1, T5_N, 32, 64, .paged = true),
    {{"norm.vit", KERNEL_NORM, VIT_N, .k = VIT_C}, ROWS},
    {{"norm.t5", KERNEL_NORM, T5_N, .k = T5_C, .no_bias = true}, ROWS},
    {{"norm.large", KERNEL_NORM, LARGE, .k = VIT_C}, ONCE},
    {{"norm.add.large", KERNEL_NORM, LARGE, .k = QF_C, .residual = true}, ONCE},
    {{"embed.large", KERNEL_EMBED, LARGE / 2, OPT_V, .k = OPT_C}, ONCE},
    {{"copy_rows.large", KERNEL_COPY_ROWS, LARGE / 2, .k = OPT_C}, ONCE},
    {{"kv_write.large", KERNEL_KV_WRITE, LARGE / 2, LARGE / 2, .segments = 1, .heads = 32,
      .head_size = 80}, ONCE},
    {{"choose", KERNEL_CHOOSE, 1, .k = OPT_V}, ROWS},
    {{"top_k", KERNEL_TOP_K, 1, 10, .k = OPT_V}, ROWS},
    {{"l2_normalise.large", KERNEL_L2, LARGE, .k = 256}, ONCE},
    {{"itc_max.large", KERNEL_ITC, LARGE / 2, QF_N, .k = 1024}, ONCE},
    {{"rope.large", KERNEL_ROPE, LARGE / 2, 2048, .heads = 32, .head_size = 128}, ONCE},
    {{"patch_embed", KERNEL_PATCH, 1, 224, VIT_C, .patch = 14}, ROWS},
};
/* clang-format on */
enum { TABLE_ROWS = sizeof table / sizeof *table };

typedef struct wish {
    const char *device, *compute_name, *patch_name, *only;
    blip2_compute compute;
    b2_patch_path patch;
    uint32_t samples;
    bool tiny, help;
} wish;

typedef struct measured {
    uint32_t batch, calls, sets;
    double median, best; /* seconds of one call */
} measured;

/* ---- shapes ------------------------------------------------------------------------------- */

static int64_t at_most(int64_t value, int64_t most) {
    return value < most ? value : most;
}

/* Of the same kind, but small: what a GPU in software does in an instant. */
static kernel_shape tiny_of(kernel_shape s) {
    bool picture = s.op == KERNEL_PATCH, square = s.n == s.m;

    s.n = at_most(s.n, s.op == KERNEL_COPY                              ? 4096
                       : s.op == KERNEL_ATTENTION || s.op == KERNEL_ITC ? 32
                                                                        : 5);
    s.m = at_most(s.m, picture ? 28 : s.op == KERNEL_KV_WRITE ? s.n : 40);
    s.k = at_most(s.k, 64);
    s.heads = (uint32_t)at_most(s.heads, 2);
    if (s.op == KERNEL_ATTENTION && square)
        s.m = s.n;
    return s;
}

static kernel_shape grown(kernel_shape s, growth g, uint32_t batch) {
    if (g == ROWS)
        s.n *= batch;
    if (g == SEGMENTS)
        s.segments *= batch;
    return s;
}

/* ---- measuring ---------------------------------------------------------------------------- */

/* Calls 0 .. calls-1 captured into a graph, and its time. */
static blip2_status time_calls(kernel_work *work, uint32_t calls, uint32_t samples,
                               double *seconds) {
    b2_device *device = work->device;
    b2_graph *graph = NULL;
    blip2_status status = device->ops->sync(device), ended;

    if (status < 0 || (status = device->ops->capture_begin(device)) < 0)
        return status;
    for (uint32_t i = 0; i < calls && status == BLIP2_OK; i++)
        status = kernel_work_queue(work, i);
    ended = device->ops->capture_end(device, &graph);
    if (status == BLIP2_OK)
        status = ended;
    if (status == BLIP2_OK)
        status = b2_gpu_time(device, graph, samples, seconds);
    device->ops->graph_free(device, graph);
    return status;
}

/* seconds [samples] is scratch */
static blip2_status measure(const wish *w, kernel_work *work, double *seconds, measured *out) {
    blip2_status status = BLIP2_OK;
    double calls;

    /* Once each, out of a graph: plans are made and biases converted. */
    for (uint32_t i = 0; i < work->sets && status == BLIP2_OK; i++)
        status = kernel_work_queue(work, i);
    if (status < 0 || (status = time_calls(work, work->sets, 1, seconds)) < 0)
        return status;
    out->sets = out->calls = work->sets;
    calls = seconds[0] > 0 ? work->sets * (sample_seconds / seconds[0]) : MAX_NODES;
    if (!w->tiny && calls > work->sets)
        out->calls = (uint32_t)(calls < MAX_NODES ? calls : MAX_NODES);
    if ((status = time_calls(work, out->calls, w->samples, seconds)) < 0)
        return status;
    out->median = bench_median(seconds, w->samples) / out->calls;
    out->best = seconds[0] / out->calls;
    return BLIP2_OK;
}

/* ---- the report --------------------------------------------------------------------------- */

static const char *op_name(kernel_op op) {
    static const char *const names[] = {"copy",     "linear",    "norm",   "embed", "copy_rows",
                                        "kv_write", "attention", "choose", "top_k", "l2_normalise",
                                        "itc_max",  "rope",      "patch"};

    return names[op];
}

static const char *activations_type(const kernel_work *work) {
    return b2_type_name(work->shape.exact ? B2_F32 : work->device->compute);
}

static int print_result(const wish *w, const kernel_work *work, const measured *m) {
    const kernel_shape *s = &work->shape;
    char name[64];

    (void)snprintf(name, sizeof name, "%s%s%s", s->name,
                   s->op == KERNEL_PATCH && w->patch_name != NULL ? "." : "",
                   s->op == KERNEL_PATCH && w->patch_name != NULL ? w->patch_name : "");
    return bench_print_json(json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:i, s:i, s:i, s:b, s:b, s:b, s:b, s:i, s:i, "
        "s:i, s:f, s:f, s:f, s:f, s:f, s:f}",
        "name", name, "op", op_name(s->op), "compute", w->compute_name, "activations",
        activations_type(work), "batch", (int)m->batch, "n", (json_int_t)s->n, "m",
        (json_int_t)s->m, "k", (json_int_t)s->k, "segments", (int)s->segments, "heads",
        (int)s->heads, "head_size", (int)s->head_size, "causal", s->rule == B2_MASK_CAUSAL, "paged",
        s->paged, "no_bias", s->no_bias, "gated", s->gated, "bias_span", (int)s->bias_span, "sets",
        (int)m->sets, "calls", (int)m->calls, "seconds", m->median, "best_seconds", m->best,
        "bytes", work->bytes, "flops", work->flops, "gb_per_s",
        m->median > 0 ? work->bytes / m->median * 1e-9 : 0, "tflop_per_s",
        m->median > 0 ? work->flops / m->median * 1e-12 : 0));
}

static int print_gpu(const wish *w, const b2_gpu_facts *f) {
    return bench_print_json(json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:i, s:i, s:b}", "gpu", f->name, "device",
        w->device, "compute", w->compute_name, "capability", f->major * 10 + f->minor,
        "multiprocessors", f->multiprocessors, "l2_bytes", (json_int_t)f->cache_bytes,
        "memory_bytes", (json_int_t)f->total_bytes, "free_bytes", (json_int_t)f->free_bytes,
        "cuda_runtime", f->runtime, "cuda_driver", f->driver, "tiny", w->tiny));
}

/* ---- the command -------------------------------------------------------------------------- */

/* A shape that fails is reported and left; a device that failed ends the run. */
static int run_case(const wish *w, b2_device *device, size_t cache_bytes, const kernel_shape *shape,
                    uint32_t batch, double *seconds) {
    measured m = {.batch = batch};
    kernel_work work;
    int code = EXIT_SUCCESS;
    blip2_status status = kernel_work_open(&work, device, shape, cache_bytes);

    if (status == BLIP2_OK)
        status = measure(w, &work, seconds, &m);
    if (status == BLIP2_OK) {
        code = print_result(w, &work, &m);
    } else {
        code = bench_print_json(json_pack("{s:s, s:s, s:i, s:s}", "name", shape->name, "compute",
                                          w->compute_name, "batch", (int)batch, "error",
                                          blip2_error_message()));
        code = code == EXIT_SUCCESS ? EXIT_DIFFERENT : code;
    }
    kernel_work_close(&work);
    return status == BLIP2_EDEVICE ? EXIT_USAGE : code;
}

static int run_all(const wish *w, b2_device *device, size_t cache_bytes, double *seconds) {
    int code = EXIT_SUCCESS;

    for (size_t i = 0; i < TABLE_ROWS && code != EXIT_USAGE; i++) {
        size_t count = table[i].growth == ONCE ? 1 : w->tiny ? 2 : sizeof batches / sizeof *batches;

        if (w->only != NULL && strstr(table[i].shape.name, w->only) == NULL)
            continue;
        for (size_t b = 0; b < count && code != EXIT_USAGE; b++) {
            uint32_t batch = w->tiny ? (uint32_t)b + 1 : batches[b];
            kernel_shape shape = w->tiny ? tiny_of(table[i].shape) : table[i].shape;
            int one;

            shape = grown(shape, table[i].growth, batch);
            one = run_case(w, device, cache_bytes, &shape, batch, seconds);
            code = one > code ? one : code;
        }
    }
    return code;
}

static bool read_patch(const char *text, wish *w) {
    w->patch_name = text;
    w->patch = strcmp(text, "gemm") == 0 ? B2_PATCH_GEMM : B2_PATCH_CUDNN;
    return strcmp(text, "gemm") == 0 || strcmp(text, "cudnn") == 0;
}

static int read_options(int argc, char **argv, wish *w) {
    static const struct option options[] = {
        {"device", required_argument, NULL, 'd'},  {"compute", required_argument, NULL, 'c'},
        {"patch", required_argument, NULL, 'p'},   {"only", required_argument, NULL, 'o'},
        {"samples", required_argument, NULL, 's'}, {"tiny", no_argument, NULL, 't'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'd':
            w->device = optarg;
            break;
        case 'c':
            if (!bench_read_compute(optarg, &w->compute, &w->compute_name) ||
                w->compute == BLIP2_COMPUTE_AUTO)
                return bench_complain("kernels: --compute %s: expected f32, tf32, f16 or bf16",
                                      optarg);
            break;
        case 'p':
            if (!read_patch(optarg, w))
                return bench_complain("kernels: --patch %s: expected gemm or cudnn", optarg);
            break;
        case 'o':
            w->only = optarg;
            break;
        case 's':
            if (!bench_read_count(optarg, MAX_SAMPLES, &w->samples))
                return bench_complain("kernels: --samples %s: expected 1 to %d", optarg,
                                      MAX_SAMPLES);
            break;
        case 't':
            w->tiny = true;
            break;
        case 'h':
            w->help = true;
            break;
        default:
            return EXIT_USAGE;
        }
    }
    return optind == argc ? EXIT_SUCCESS
                          : bench_complain("kernels: unexpected argument \"%s\"", argv[optind]);
}

int kernels_main(int argc, char **argv) {
    double seconds[MAX_SAMPLES];
    wish w = {
        .device = "cuda", .compute_name = "bf16", .compute = BLIP2_COMPUTE_BF16, .samples = 15};
    b2_device_options options = {0};
    b2_gpu_facts facts;
    b2_device *device = NULL;
    int code = read_options(argc, argv, &w);

    if (code != EXIT_SUCCESS)
        return code;
    if (w.help)
        return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    options.compute = (b2_compute)w.compute;
    options.patch_path = w.patch;
    if (b2_device_open(&device, w.device, &options) < 0 || b2_gpu_facts_of(device, &facts) < 0) {
        code = bench_complain("--device %s: %s", w.device, blip2_error_message());
    } else {
        code = print_gpu(&w, &facts);
        if (code == EXIT_SUCCESS)
            code = run_all(&w, device, w.tiny ? 4096 : facts.cache_bytes, seconds);
    }
    b2_device_close(device);
    return code;
}
