/* The answer to a request, bit for bit, alone, beside others, in another order, with another number
 * of places and of threads. With BLIP2_TEST_DEVICE on that device, deterministic; there two
 * settings do, since a GPU in software takes its time. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

#include "blip2.h"

#define GOLDEN BLIP2_SOURCE_DIR "/tests/golden"

enum { INPUTS = 6, PICTURES = 3, MOST = 4096 };

/* What an answer consists of. */
typedef struct answer {
    unsigned char bytes[MOST];
    size_t size;
} answer;

static void add(answer *a, const void *data, size_t bytes) {
    ck_assert_uint_le(a->size + bytes, sizeof a->bytes);
    memcpy(a->bytes + a->size, data, bytes);
    a->size += bytes;
}

typedef struct setting {
    uint32_t threads, places;
    bool alone, reversed;
} setting;

static const setting settings[] = {
    {1, 8, false, false}, {1, 3, false, true}, {1, 1, false, false},
    {1, 8, true, false},  {2, 8, false, true},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

typedef struct world {
    blip2_model *model;
    blip2_engine *engine;
    blip2_image *images[PICTURES];
    blip2_input inputs[INPUTS];
    answer answers[INPUTS];
} world;

static const char *device(void) {
    const char *wanted = getenv("BLIP2_TEST_DEVICE");

    return wanted != NULL ? wanted : "cpu";
}

static void open_world(world *w, const char *folder, const setting *s, const char *const *texts) {
    blip2_model_options model;
    blip2_engine_options engine;
    char path[1024];

    memset(w, 0, sizeof *w);
    blip2_model_options_init(&model, sizeof model);
    model.threads = s->threads;
    model.device = device();
    model.deterministic = 1;
    (void)snprintf(path, sizeof path, "%s/models/%s", GOLDEN, folder);
    ck_assert_status_ok(blip2_model_open(&w->model, path, &model));
    blip2_engine_options_init(&engine, sizeof engine);
    engine.max_requests = s->places;
    engine.max_images = s->places < 2 ? 1 : 2;
    ck_assert_status_ok(blip2_engine_open(&w->engine, w->model, &engine));
    for (int i = 0; i < PICTURES; i++) {
        (void)snprintf(path, sizeof path, "%s/images/p%d.png", GOLDEN, i);
        ck_assert_status_ok(blip2_image_open(&w->images[i], path, NULL));
    }
    for (int i = 0; i < INPUTS; i++)
        w->inputs[i] = (blip2_input){w->images[i % PICTURES], texts[i]};
}

static void close_world(world *w) {
    for (int i = 0; i < PICTURES; i++)
        blip2_image_free(w->images[i]);
    blip2_engine_close(w->engine);
    blip2_model_close(w->model);
}

/* Asks `count` inputs and adds what comes to answers [count]. */
typedef void ask_fn(world *w, const blip2_input *inputs, size_t count, answer *answers[]);

static void ask_with(world *w, const blip2_input *inputs, size_t count, answer *answers[],
                     const blip2_generate_options *options) {
    uint32_t texts = options->num_return_sequences > 1 ? options->num_return_sequences : 1;
    blip2_result *result;

    ck_assert_status_ok(blip2_generate(w->engine, inputs, count, options, &result));
    for (size_t i = 0; i < count * texts; i++) {
        size_t tokens, steps, columns;
        const int32_t *ids = blip2_result_tokens(result, i, &tokens);
        float score = blip2_result_score(result, i);
        const blip2_logprob *logprobs = blip2_result_logprobs(result, i, &steps, &columns);

        add(answers[i / texts], ids, tokens * sizeof *ids);
        add(answers[i / texts], &score, sizeof score);
        if (logprobs != NULL)
            add(answers[i / texts], logprobs, steps * columns * sizeof *logprobs);
    }
    blip2_result_free(result);
}

static void ask_texts(world *w, const blip2_input *inputs, size_t count, answer *answers[]) {
    blip2_generate_options greedy, drawn, beams;

    blip2_generate_options_init(&greedy, sizeof greedy);
    greedy.max_new_tokens = 6;
    drawn = beams = greedy;
    greedy.logprobs = drawn.logprobs = 3;
    drawn.do_sample = 1;
    drawn.temperature = 1.5f;
    drawn.seed = 7;
    drawn.num_return_sequences = 2;
    beams.num_beams = 3;
    ask_with(w, inputs, count, answers, &greedy);
    ask_with(w, inputs, count, answers, &drawn);
    ask_with(w, inputs, count, answers, &beams);
}

static void ask_stage1(world *w, const blip2_input *inputs, size_t count, answer *answers[]) {
    blip2_match_score scores[INPUTS] = {0};
    blip2_features_options options;

    ck_assert_status_ok(blip2_match(w->engine, inputs, count, NULL, scores));
    for (size_t i = 0; i < count; i++)
        add(answers[i], &scores[i], sizeof scores[i]);
    blip2_features_options_init(&options, sizeof options);
    for (int mode = BLIP2_MODE_IMAGE; mode <= BLIP2_MODE_MULTIMODAL; mode++) {
        blip2_features *features;

        options.mode = (blip2_mode)mode;
        ck_assert_status_ok(blip2_features_extract(w->engine, inputs, count, &options, &features));
        for (size_t i = 0; i < count; i++) {
            size_t rows, cols;
            const float *hidden = blip2_features_hidden(features, i, &rows, &cols);

            add(answers[i], hidden, cols * sizeof *hidden); /* the first row */
        }
        blip2_features_free(features);
    }
}

static void ask_captions(world *w, const blip2_input *inputs, size_t count, answer *answers[]) {
    blip2_input pictures[INPUTS];

    for (size_t i = 0; i < count; i++)
        pictures[i] = (blip2_input){inputs[i].image, NULL};
    ask_texts(w, pictures, count, answers);
}

static void ask_all(world *w, const setting *s, ask_fn *ask) {
    blip2_input inputs[INPUTS];
    answer *answers[INPUTS];

    for (int i = 0; i < INPUTS; i++) {
        int at = s->reversed ? INPUTS - 1 - i : i;

        inputs[i] = w->inputs[at];
        answers[i] = &w->answers[at];
    }
    for (size_t i = 0; i < INPUTS; i += s->alone ? 1 : INPUTS)
        ask(w, inputs + i, s->alone ? 1 : INPUTS, answers + i);
}

static void check(const char *folder, const char *const *texts, ask_fn *ask) {
    static world first, other;

    for (int i = 0; i < (strcmp(device(), "cpu") == 0 ? SETTINGS : 2); i++) {
        world *w = i == 0 ? &first : &other;

        open_world(w, folder, &settings[i], texts);
        ask_all(w, &settings[i], ask);
        close_world(w);
        for (int j = 0; i > 0 && j < INPUTS; j++)
            ck_assert_msg(first.answers[j].size == other.answers[j].size &&
                              memcmp(first.answers[j].bytes, other.answers[j].bytes,
                                     other.answers[j].size) == 0,
                          "%s: input %d differs with setting %d", folder, j, i);
    }
}

static const char *const questions[INPUTS] = {
    "a photo of", "Question: how many cats are there on the very long table? Answer:",
    "x",          "which city is this?",
    "a photo of", "Question: what is it? Answer:"};

START_TEST(language) {
    static const char *const folders[] = {"hf_blip2_opt", "hf_blip2_t5", "hf_instructblip_llama",
                                          "hf_instructblip_t5"};

    if (_i == 0 || strcmp(device(), "cpu") == 0)
        check(folders[_i], questions, ask_texts);
}
END_TEST

START_TEST(stage1) {
    check("lavis_stage1", questions, ask_stage1);
    check("lavis_stage1", questions, ask_captions);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("alone");
    TCase *tcase = tcase_create("language"), *other = tcase_create("stage1");

    tcase_set_timeout(tcase, 300);
    tcase_set_timeout(other, 300);
    tcase_add_loop_test(tcase, language, 0, 4);
    tcase_add_test(other, stage1);
    suite_add_tcase(suite, tcase);
    suite_add_tcase(suite, other);
    return run_suite(suite);
}
