/* count_model MODEL LAYERS PICTURE FILE: what a model of true widths (blip2-bench make-model) asks
 * of the GPU in software, through the engine as users run it: encoding a picture and reading the
 * prompt, and a step of decoding. Writes a line for every kernel of either and one for the host;
 * fails where a step allocates, waits more than once or launches more than 7 kernels a layer and 6
 * around them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blip2.h"
#include "image/image.h"
#include "ptx_vm.h"

enum { STEPS = 3, MOST_KERNELS = 64, A_LAYER = 7, AROUND = 6 };

typedef struct counts {
    vm_counters kernels[MOST_KERNELS];
    size_t count;
    vm_host_counters host;
} counts;

static counts before, after;
static const counts none;

static blip2_status count_generate(counts *c, blip2_engine *engine, const blip2_image *image,
                                   uint32_t new_tokens) {
    const blip2_input input = {image, NULL};
    blip2_generate_options options;
    blip2_result *result = NULL;
    blip2_status status;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = options.min_new_tokens = new_tokens;
    vm_counters_clear();
    status = blip2_generate(engine, &input, 1, &options, &result);
    blip2_result_free(result);
    c->host = *vm_host();
    for (c->count = 0; c->count < vm_counters_count() && c->count < MOST_KERNELS; c->count++)
        c->kernels[c->count] = *vm_counters_at(c->count);
    return status;
}

static const vm_counters *find(const counts *c, const char *kernel) {
    static const vm_counters none;

    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->kernels[i].kernel, kernel) == 0)
            return &c->kernels[i];
    return &none;
}

/* What is in `all` and not in `less`, divided by `times`. */
static void write_kernels(FILE *file, const char *phase, const counts *all, const counts *less,
                          uint64_t times) {
    for (size_t i = 0; i < all->count; i++) {
        const vm_counters *a = &all->kernels[i], *b = find(less, a->kernel);
        const vm_traffic *of_a[] = {&a->load, &a->store}, *of_b[] = {&b->load, &b->store};

        if (a->launches == b->launches)
            continue;
        (void)fprintf(file, "%s\t%s\t%" PRIu64, phase, a->kernel,
                      (a->launches - b->launches) / times);
        for (int s = 0; s < 2; s++)
            (void)fprintf(file, "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64,
                          (of_a[s]->requests - of_b[s]->requests) / times,
                          (of_a[s]->coalesced - of_b[s]->coalesced) / times,
                          (of_a[s]->sectors - of_b[s]->sectors) / times,
                          (of_a[s]->distinct - of_b[s]->distinct) / times);
        (void)fputc('\n', file);
    }
}

/* Kernels that ran, from a graph or not. */
static uint64_t launches_of(const counts *c) {
    uint64_t sum = 0;

    for (size_t i = 0; i < c->count; i++)
        sum += c->kernels[i].launches;
    return sum;
}

static void write_host(FILE *file, const char *phase, const counts *all, const counts *less,
                       uint64_t times) {
    const vm_host_counters *a = &all->host, *b = &less->host;

    (void)fprintf(file,
                  "%s\thost\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64
                  "\t%" PRIu64 "\n",
                  phase, (launches_of(all) - launches_of(less)) / times,
                  (a->graph_launches - b->graph_launches) / times,
                  (a->synchronisations - b->synchronisations) / times,
                  (a->copies - b->copies) / times, (a->allocations - b->allocations) / times,
                  (a->host_allocations - b->host_allocations) / times);
}

/* layers: of the language model */
static int check_step(uint64_t layers) {
    const vm_host_counters *a = &after.host;
    uint64_t most = A_LAYER * layers + AROUND;
    uint64_t launches = (launches_of(&after) - launches_of(&before)) / STEPS;
    uint64_t waits = (a->synchronisations - before.host.synchronisations) / STEPS;
    uint64_t allocations = a->allocations + a->host_allocations;

    if (launches <= most && waits <= 1 && allocations == 0 && vm_report_count() == 0)
        return EXIT_SUCCESS;
    (void)fprintf(stderr,
                  "count_model: a step of %" PRIu64 " layers launches %" PRIu64
                  " kernels (at most %" PRIu64 "), waits %" PRIu64 " times (1), allocates %" PRIu64
                  " times (0); %zu findings\n",
                  layers, launches, most, waits, allocations, vm_report_count());
    return EXIT_FAILURE;
}

/* The same shapes with another pixel: a picture that the engine has not encoded yet. */
static blip2_status alter(blip2_image **out, const blip2_image *image) {
    blip2_status status;

    image->rgb[0] ^= 1;
    status = blip2_image_from_rgb(out, image->rgb, image->width, image->height,
                                  (size_t)image->width * 3);
    image->rgb[0] ^= 1;
    return status;
}

int main(int argc, char **argv) {
    blip2_model_options options;
    blip2_model *model = NULL;
    blip2_engine *engine = NULL;
    blip2_image *image = NULL, *other = NULL;
    FILE *file = NULL;
    int rc = EXIT_FAILURE;

    if (argc != 5) {
        (void)fputs("usage: count_model MODEL LAYERS PICTURE FILE\n", stderr);
        return 2;
    }
    blip2_model_options_init(&options, sizeof options);
    options.device = "cuda";
    options.compute = BLIP2_COMPUTE_F16;
    options.threads = 1;
    if (blip2_model_open(&model, argv[1], &options) < 0 ||
        blip2_engine_open(&engine, model, NULL) < 0 ||
        blip2_image_open(&image, argv[3], NULL) < 0 || alter(&other, image) < 0 ||
        count_generate(&before, engine, other, 1) < 0 || /* cuBLASLt's plans are made */
        count_generate(&before, engine, image, 1) < 0) {
        (void)fprintf(stderr, "count_model: %s\n", blip2_error_message());
        goto out;
    }
    file = fopen(argv[4], "w");
    if (file == NULL) {
        perror(argv[4]);
        goto out;
    }
    write_kernels(file, "picture", &before, &none, 1);
    write_host(file, "picture", &before, &none, 1);
    /* From here on the picture is encoded. */
    if (count_generate(&before, engine, image, 1) < 0 ||
        count_generate(&after, engine, image, 1 + STEPS) < 0) {
        (void)fprintf(stderr, "count_model: %s\n", blip2_error_message());
        goto out;
    }
    write_kernels(file, "step", &after, &before, STEPS);
    write_host(file, "step", &after, &before, STEPS);
    rc = check_step(strtoull(argv[2], NULL, 10));
out:
    if (file != NULL && fclose(file) != 0)
        rc = EXIT_FAILURE;
    blip2_image_free(image);
    blip2_image_free(other);
    blip2_engine_close(engine);
    blip2_model_close(model);
    return rc;
}
