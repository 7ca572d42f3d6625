#include "load_mix.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "chance.h"

const char *const load_task_names[LOAD_TASKS] = {"caption", "ask", "beams", "sample",
                                                 "rank",    "itm", "itc",   "features"};
/* As blip2_model_can names them. */
static const char *const abilities[LOAD_TASKS] = {"caption", "vqa", "caption", "caption",
                                                  "vqa",     "itm", "itc",     "features"};
static const uint32_t usual[LOAD_TASKS] = {4, 3, 1, 1, 1, 2, 2, 1};

static const char *const questions[] = {
    "Question: what colour is the ring? Answer:", "Question: is there a star? Answer:",
    "Question: how many shapes are there? Answer:",
    "Question: is the thing to the left of the big blue square red, or is it green? Answer:"};
static const char *const texts[] = {"a small red ring", "a big red star", "yes",
                                    "a big red star above a small blue square"};
enum { QUESTIONS = sizeof questions / sizeof *questions, TEXTS = sizeof texts / sizeof *texts };
enum { MOST_WEIGHT = 1000000, BEAMS = 4 };

bool load_mix_read(load_mix *mix, const char *text) {
    for (bool more = true; more;) {
        size_t length = strcspn(text, "="), task = 0;
        unsigned long weight;
        char *end;

        while (task < LOAD_TASKS && (strncmp(load_task_names[task], text, length) != 0 ||
                                     load_task_names[task][length] != '\0'))
            task++;
        if (task == LOAD_TASKS || text[length] != '=' || text[length + 1] < '0' ||
            text[length + 1] > '9')
            return false;
        weight = strtoul(text + length + 1, &end, 10);
        more = *end == ',';
        if (weight < 1 || weight > MOST_WEIGHT || (*end != '\0' && !more))
            return false;
        mix->weights[task] = (uint32_t)weight;
        text = end + 1;
    }
    return true;
}

blip2_status load_mix_settle(load_mix *mix, const blip2_model *model) {
    uint32_t total = 0;

    for (int i = 0; i < LOAD_TASKS; i++) {
        if (mix->weights[i] > 0 && !blip2_model_can(model, abilities[i]))
            return b2_fail(BLIP2_ENOTSUP, "--mix: the model cannot do \"%s\"", load_task_names[i]);
        total += mix->weights[i];
    }
    for (int i = 0; i < LOAD_TASKS && total == 0; i++)
        mix->weights[i] = blip2_model_can(model, abilities[i]) ? usual[i] : 0;
    return BLIP2_OK;
}

static load_task draw_task(const load_mix *mix, uint64_t *state) {
    uint32_t total = 0, at;
    int task = 0;

    for (int i = 0; i < LOAD_TASKS; i++)
        total += mix->weights[i];
    at = chance_below(state, total);
    while (at >= mix->weights[task])
        at -= mix->weights[task++];
    return (load_task)task;
}

static ask_kind kind_of(load_task task) {
    if (task <= LOAD_SAMPLE)
        return ASK_TEXTS;
    if (task == LOAD_RANK)
        return ASK_LIKELIHOOD;
    return task == LOAD_FEATURES ? ASK_FEATURES : ASK_MATCH;
}

load_task load_mix_draw(const load_mix *mix, uint64_t *state, const blip2_model *model,
                        blip2_image *const *images, size_t count, ask *out) {
    load_task task = draw_task(mix, state);

    ask_init(out, kind_of(task));
    out->count = 1;
    out->inputs[0].image = images[chance_below(state, (uint32_t)count)];
    if (task == LOAD_ASK || task == LOAD_RANK)
        out->inputs[0].prompt = questions[chance_below(state, QUESTIONS)];
    if (out->kind == ASK_TEXTS)
        out->generate.max_new_tokens = out->generate.min_new_tokens =
            mix->least + chance_below(state, mix->most - mix->least + 1);
    if (task == LOAD_BEAMS)
        out->generate.num_beams = BEAMS;
    if (task == LOAD_SAMPLE) {
        out->generate.do_sample = 1;
        out->generate.top_p = 0.9f;
        out->generate.seed = chance_next(state);
    }
    if (out->kind == ASK_LIKELIHOOD) {
        out->texts = texts;
        out->text_count = TEXTS;
    }
    if (out->kind == ASK_MATCH) {
        out->inputs[0].prompt = texts[chance_below(state, TEXTS)];
        out->match.no_itm = task == LOAD_ITC && blip2_model_can(model, "itm");
        out->match.no_itc = task == LOAD_ITM && blip2_model_can(model, "itc");
    }
    return task;
}
