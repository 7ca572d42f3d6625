/* `blip2-bench score`: how many captions and answers about a folder of pictures are right.
 *
 * The folder holds pictures and captions.json: file name -> {"caption": text, "questions":
 * [[question, answer], ...]}, as models/demo/pictures does. Beside these true texts a file may give
 * what another program said ("hf_caption", "hf_answers": [text, ...]); then the texts that agree
 * are counted too. Pictures go through the engine in groups, the caption and all questions of each
 * together. A model that matches pictures with texts is scored by what finds what. */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "bench.h"
#include "blip2.h"
#include "score_look.h"
#include "score_match.h"

enum { GROUP = 32, MOST_BYTES = 64 << 20, MOST_WRONG_SHOWN = 10 };

typedef struct counts {
    size_t right, total, same, compared;
} counts;

typedef struct question {
    const char *file;         /* picture, for the report */
    const char *text;         /* NULL: the caption */
    const char *truth, *peer; /* peer NULL: unknown */
} question;

typedef struct group {
    blip2_image *images[GROUP];
    size_t image_count;
    question *questions; /* [count] */
    blip2_input *inputs; /* [count] */
    char **prompts;      /* [count] or NULL where there is none */
    size_t count, capacity;
} group;

typedef struct totals {
    counts captions, answers;
    size_t wrong_shown;
} totals;

static void group_clear(group *g) {
    for (size_t i = 0; i < g->image_count; i++)
        blip2_image_free(g->images[i]);
    for (size_t i = 0; i < g->count; i++)
        b2_free(g->prompts[i]);
    g->image_count = g->count = 0;
}

static void group_free(group *g) {
    group_clear(g);
    b2_free(g->questions);
    b2_free(g->inputs);
    b2_free(g->prompts);
}

static blip2_status reserve(group *g) {
    size_t capacity = g->capacity > 0 ? 2 * g->capacity : 256;
    void *block;

    if (g->count < g->capacity)
        return BLIP2_OK;
    if ((block = b2_realloc_array(g->questions, capacity, sizeof *g->questions)) == NULL)
        return b2_fail_memory();
    g->questions = block;
    if ((block = b2_realloc_array(g->inputs, capacity, sizeof *g->inputs)) == NULL)
        return b2_fail_memory();
    g->inputs = block;
    if ((block = b2_realloc_array(g->prompts, capacity, sizeof *g->prompts)) == NULL)
        return b2_fail_memory();
    g->prompts = block;
    g->capacity = capacity;
    return BLIP2_OK;
}

/* A caption (text NULL) or a question about the group's last picture. */
static blip2_status add(group *g, question q) {
    static const char form[] = "Question: %s Answer:";
    char *prompt = NULL;
    blip2_status status = reserve(g);

    if (status < 0)
        return status;
    if (q.text != NULL) {
        size_t size = sizeof form + strlen(q.text);

        if ((prompt = b2_alloc(size)) == NULL)
            return b2_fail_memory();
        (void)snprintf(prompt, size, form, q.text);
    }
    g->questions[g->count] = q;
    g->prompts[g->count] = prompt;
    g->inputs[g->count++] = (blip2_input){g->images[g->image_count - 1], prompt};
    return BLIP2_OK;
}

static void judge(counts *c, totals *t, const question *q, const char *said) {
    size_t right = strcmp(said, q->truth) == 0 ? 1 : 0;

    c->total++;
    c->right += right;
    if (q->peer != NULL) {
        c->compared++;
        c->same += strcmp(said, q->peer) == 0 ? 1 : 0;
    }
    if (right == 0 && t->wrong_shown++ < MOST_WRONG_SHOWN)
        fprintf(stderr, "%s: %s: \"%s\", expected \"%s\"\n", q->file,
                q->text != NULL ? q->text : "caption", said, q->truth);
}

static blip2_status run_group(blip2_engine *engine, group *g, totals *t) {
    blip2_result *result;
    blip2_status status = blip2_generate(engine, g->inputs, g->count, NULL, &result);

    if (status < 0)
        return status;
    for (size_t i = 0; i < g->count; i++)
        judge(g->questions[i].text == NULL ? &t->captions : &t->answers, t, &g->questions[i],
              blip2_result_text(result, i));
    blip2_result_free(result);
    group_clear(g);
    return BLIP2_OK;
}

static blip2_status bad_entry(const char *file, const char *name) {
    return b2_fail(BLIP2_EFORMAT,
                   "%s: \"%s\": expected {\"caption\": text, \"questions\": [[text, text], ...]}",
                   file, name);
}

static blip2_status add_picture(group *g, const char *folder, const char *file, const char *name,
                                const json_t *entry) {
    const json_t *questions = json_object_get(entry, "questions");
    const json_t *answers = json_object_get(entry, "hf_answers");
    const char *caption = json_string_value(json_object_get(entry, "caption"));
    const char *peer = json_string_value(json_object_get(entry, "hf_caption"));
    char *path;
    blip2_status status;

    if (caption == NULL || (questions != NULL && !json_is_array(questions)))
        return bad_entry(file, name);
    if ((path = b2_path_join(folder, name)) == NULL)
        return b2_fail_memory();
    status = blip2_image_open(&g->images[g->image_count], path, NULL);
    b2_free(path);
    if (status < 0)
        return status;
    g->image_count++;
    status = add(g, (question){name, NULL, caption, peer});
    for (size_t i = 0; status == BLIP2_OK && i < json_array_size(questions); i++) {
        const json_t *pair = json_array_get(questions, i);
        const char *text = json_string_value(json_array_get(pair, 0));
        const char *truth = json_string_value(json_array_get(pair, 1));

        if (text == NULL || truth == NULL)
            return bad_entry(file, name);
        status =
            add(g, (question){name, text, truth, json_string_value(json_array_get(answers, i))});
    }
    return status;
}

static blip2_status score_folder(blip2_engine *engine, const char *folder, const char *file,
                                 json_t *root, totals *t) {
    group g = {0};
    const char *name;
    json_t *entry;
    blip2_status status = BLIP2_OK;

    json_object_foreach(root, name, entry) {
        if ((status = add_picture(&g, folder, file, name, entry)) < 0)
            goto out;
        if (g.image_count == GROUP && (status = run_group(engine, &g, t)) < 0)
            goto out;
    }
    if (g.count > 0)
        status = run_group(engine, &g, t);
out:
    group_free(&g);
    return status;
}

static blip2_status read_captions(json_t **out, const char *file) {
    json_error_t error;
    uint8_t *text;
    size_t size;
    blip2_status status = b2_file_read(&text, &size, file, MOST_BYTES);

    *out = NULL;
    if (status < 0)
        return status;
    *out = json_loadb((const char *)text, size, JSON_REJECT_DUPLICATES, &error);
    b2_free(text);
    if (*out == NULL)
        return b2_fail(BLIP2_EFORMAT, "%s: line %d: %s", file, error.line, error.text);
    if (!json_is_object(*out)) {
        json_decref(*out);
        *out = NULL;
        return b2_fail(BLIP2_EFORMAT, "%s: expected an object of pictures", file);
    }
    return BLIP2_OK;
}

static void report(const char *what, const counts *c) {
    if (c->total == 0)
        return;
    printf("%s: %zu of %zu right (%.1f %%)", what, c->right, c->total,
           100.0 * (double)c->right / (double)c->total);
    if (c->compared > 0)
        printf(", %zu of %zu as the peer (%.2f %%)", c->same, c->compared,
               100.0 * (double)c->same / (double)c->compared);
    printf("\n");
}

/* With a model that matches; text: only heat maps of it. */
static blip2_status score_stage1(blip2_engine *engine, const blip2_model *model, const char *folder,
                                 const char *file, json_t *root, const char *text) {
    blip2_status status = BLIP2_OK;

    if (text == NULL)
        status = score_match(engine, folder, file, root);
    return status < 0 ? status : score_look(engine, model, folder, file, root, text);
}

static blip2_status score(const char *model_folder, const char *device, const char *folder,
                          const char *text) {
    blip2_model_options options;
    blip2_model *model = NULL;
    blip2_engine *engine = NULL;
    json_t *root = NULL;
    totals t = {0};
    char *file = b2_path_join(folder, "captions.json");
    blip2_status status;

    if (file == NULL)
        return b2_fail_memory();
    blip2_model_options_init(&options, sizeof options);
    options.device = device;
    if ((status = read_captions(&root, file)) == BLIP2_OK &&
        (status = blip2_model_open(&model, model_folder, &options)) == BLIP2_OK &&
        (status = blip2_engine_open(&engine, model, NULL)) == BLIP2_OK &&
        (status = blip2_model_can(model, "match") != 0
                      ? score_stage1(engine, model, folder, file, root, text)
                      : score_folder(engine, folder, file, root, &t)) == BLIP2_OK) {
        report("captions", &t.captions);
        report("answers", &t.answers);
    }
    blip2_engine_close(engine);
    blip2_model_close(model);
    json_decref(root);
    b2_free(file);
    return status;
}

static const char usage[] =
    "usage: blip2-bench score --model DIR [--device D] [--text TEXT] FOLDER\n"
    "\n"
    "Caption the pictures of FOLDER and ask its questions; count the texts that are right.\n"
    "With a model that matches: count the pictures and captions that find each other, and the "
    "heat\n"
    "maps whose peak is on the thing that they are for; with --text only those for this text.\n"
    "FOLDER/captions.json: file name -> {\"caption\": text, \"questions\": [[text, answer], "
    "...],\n\"things\": [{\"text\": \"red circle\", \"box\": [x0, y0, x1, y1]}]}\n";

int score_main(int argc, char **argv) {
    static const struct option options[] = {{"model", required_argument, NULL, 'm'},
                                            {"device", required_argument, NULL, 'd'},
                                            {"text", required_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *model = NULL, *device = NULL, *text = NULL;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'm')
            model = optarg;
        else if (option == 'd')
            device = optarg;
        else if (option == 't')
            text = optarg;
        else if (option == 'h')
            return fputs(usage, stdout) < 0 ? EXIT_USAGE : EXIT_SUCCESS;
        else
            return EXIT_USAGE;
    }
    if (model == NULL || optind + 1 != argc)
        return bench_complain("score: --model DIR and one FOLDER; see blip2-bench score --help");
    if (score(model, device, argv[optind], text) < 0)
        return bench_complain("score: %s", blip2_error_message());
    if (fflush(stdout) != 0 || ferror(stdout))
        return bench_complain("writing the report: %s", strerror(errno));
    return EXIT_SUCCESS;
}
