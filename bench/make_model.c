/* blip2-bench make-model: a checkpoint of true shapes with random weights, for measuring what does
 * not depend on the weights: time and memory. It is written into a folder beside the one that was
 * asked for and renamed at the end, so that there is never half a checkpoint. */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/text_buffer.h"
#include "bench.h"
#include "model_files.h"
#include "random_weights.h"

static const char usage[] =
    "usage: blip2-bench make-model --shape NAME [OPTIONS] DIR\n"
    "\n"
    "Write a BLIP-2 checkpoint with random weights to DIR, which must not exist or be empty.\n"
    "\n"
    "  --shape NAME         blip2-opt-2.7b, blip2-opt-6.7b, blip2-flan-t5-xl,\n"
    "                       instructblip-vicuna-7b; opt-125m: that language model\n"
    "                       behind a tiny vision tower; for image-text retrieval\n"
    "                       blip2-itm-vit-g; small ones: tiny, tiny-t5,\n"
    "                       tiny-instructblip, tiny-itm\n"
    "  --dtype TYPE         f32, f16 or bf16 (default: bf16)\n"
    "  --layers N           fewer layers of the language model\n"
    "  --vit-layers N       ... of the vision tower\n"
    "  --qformer-layers N   ... of the Q-Former\n"
    "  --seed N             other weights (default: 0)\n"
    "  --help               this text\n";

enum { MAX_LAYERS = 1000 };
static const uint64_t shard_bytes = (uint64_t)4 << 30;

typedef struct recipe {
    b2_config config;
    const char *shape, *directory;
    b2_type type;
    uint64_t seed;
} recipe;

/* ---- the folder --------------------------------------------------------------------------- */

/* EINVAL unless path is free: nothing there, or an empty folder. */
static blip2_status check_free(const char *path) {
    DIR *stream = opendir(path);
    struct dirent *entry;
    bool empty = true;

    if (stream == NULL)
        return errno == ENOENT ? BLIP2_OK : b2_fail(BLIP2_EIO, "%s: %s", path, strerror(errno));
    while ((entry = readdir(stream)) != NULL)
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    (void)closedir(stream);
    return empty ? BLIP2_OK : b2_fail(BLIP2_EINVAL, "%s: the folder is not empty", path);
}

static void remove_folder(const char *path) {
    DIR *stream = opendir(path);
    struct dirent *entry;

    while (stream != NULL && (entry = readdir(stream)) != NULL) {
        char *file = b2_path_join(path, entry->d_name);

        if (file != NULL && unlink(file) != 0 && entry->d_name[0] != '.')
            remove_folder(file);
        b2_free(file);
    }
    if (stream != NULL)
        (void)closedir(stream);
    (void)rmdir(path);
}

static blip2_status write_weights(const recipe *r, const char *directory, bench_tensors *tensors) {
    random_weights random;
    blip2_status status = bench_tensors_list(tensors, &r->config, r->type);

    if (status < 0 || (status = random_weights_init(&random, tensors, r->type, r->seed)) < 0)
        return status;
    status = b2_safetensors_write_folder(directory, tensors->shapes, tensors->count, shard_bytes,
                                         random_weights_fill, &random);
    random_weights_free(&random);
    return status;
}

static blip2_status write_folder(const recipe *r, bench_tensors *tensors) {
    b2_text_buffer path = {0};
    size_t length = strlen(r->directory);
    blip2_status status = check_free(r->directory);

    if (status < 0)
        return status;
    while (length > 1 && r->directory[length - 1] == '/')
        length--;
    b2_text_append(&path, r->directory, length);
    b2_text_appendf(&path, ".tmp-XXXXXX");
    if (path.failed)
        status = b2_fail_memory();
    else if (mkdtemp(path.data) == NULL || chmod(path.data, 0755) != 0)
        status = b2_fail(BLIP2_EIO, "%s: %s", path.data, strerror(errno));
    if (status < 0) {
        b2_text_free(&path);
        return status;
    }
    if ((status = model_files_write(path.data, &r->config, r->type)) == BLIP2_OK &&
        (status = write_weights(r, path.data, tensors)) == BLIP2_OK &&
        rename(path.data, r->directory) != 0)
        status = b2_fail(BLIP2_EIO, "%s: %s", r->directory, strerror(errno));
    if (status < 0)
        remove_folder(path.data);
    b2_text_free(&path);
    return status;
}

/* ---- the command -------------------------------------------------------------------------- */

static bool read_number(const char *text, uint64_t least, uint64_t most, uint64_t *out) {
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *out >= least &&
           *out <= most;
}

static bool read_type(const char *text, b2_type *out) {
    static const struct {
        const char *name;
        b2_type type;
    } types[] = {{"f32", B2_F32}, {"f16", B2_F16}, {"bf16", B2_BF16}};

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(text, types[i].name) == 0) {
            *out = types[i].type;
            return true;
        }
    return false;
}

typedef struct wish { /* what the command line asks for; 0 layers: those of the shape */
    uint64_t layers, vit_layers, qformer_layers, seed;
    bool help;
} wish;

/* EXIT_SUCCESS or a complaint. */
static int read_options(int argc, char **argv, recipe *r, wish *w) {
    static const struct option options[] = {{"shape", required_argument, NULL, 's'},
                                            {"dtype", required_argument, NULL, 't'},
                                            {"layers", required_argument, NULL, 'l'},
                                            {"vit-layers", required_argument, NULL, 'v'},
                                            {"qformer-layers", required_argument, NULL, 'q'},
                                            {"seed", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return EXIT_USAGE;
        if (option == 'h')
            w->help = true;
        else if (option == 's')
            r->shape = optarg;
        else if (option == 't' && !read_type(optarg, &r->type))
            return bench_complain("--dtype: expected f32, f16 or bf16, got \"%s\"", optarg);
        else if (option == 'r' && !read_number(optarg, 0, UINT64_MAX, &w->seed))
            return bench_complain("--seed: expected a number, got \"%s\"", optarg);
        else if ((option == 'l' && !read_number(optarg, 1, MAX_LAYERS, &w->layers)) ||
                 (option == 'v' && !read_number(optarg, 1, MAX_LAYERS, &w->vit_layers)) ||
                 (option == 'q' && !read_number(optarg, 1, MAX_LAYERS, &w->qformer_layers)))
            return bench_complain("layers: expected 1 to %d, got \"%s\"", MAX_LAYERS, optarg);
    }
    return EXIT_SUCCESS;
}

static void apply(recipe *r, const wish *w) {
    b2_config *config = &r->config;

    if (w->layers != 0)
        config->opt.layers = config->llama.layers = config->t5.layers = config->t5.decoder_layers =
            (uint32_t)w->layers;
    if (w->vit_layers != 0)
        r->config.vit.layers = (uint32_t)w->vit_layers;
    if (w->qformer_layers != 0)
        r->config.qformer.layers = (uint32_t)w->qformer_layers;
    r->seed = w->seed;
}

int make_model_main(int argc, char **argv) {
    recipe r = {.type = B2_BF16};
    wish w = {0};
    bench_tensors tensors = {0};
    uint64_t bytes = 0;
    int code = read_options(argc, argv, &r, &w);

    if (code != EXIT_SUCCESS)
        return code;
    if (w.help)
        return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
    if (r.shape == NULL || optind + 1 != argc)
        return bench_complain("make-model: expected --shape NAME and one DIR; see --help");
    if (!bench_shape(r.shape, &r.config))
        return bench_complain("--shape: no shape \"%s\"; see blip2-bench make-model --help",
                              r.shape);
    apply(&r, &w);
    r.directory = argv[optind];
    if (write_folder(&r, &tensors) < 0) {
        code = bench_complain("%s", blip2_error_message());
        goto out;
    }
    for (size_t i = 0; i < tensors.count; i++) {
        uint64_t elements = 1;

        for (uint32_t d = 0; d < tensors.shapes[i].rank; d++)
            elements *= (uint64_t)tensors.shapes[i].dim[d];
        bytes += elements * b2_type_size(r.type);
    }
    (void)printf("%s: %s, %zu tensors, %" PRIu64 " bytes of %s\n", r.directory, r.shape,
                 tensors.count, bytes, b2_type_name(r.type));
out:
    b2_arena_free(&tensors.arena);
    return code;
}
