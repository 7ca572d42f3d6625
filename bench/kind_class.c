/* predict_class of LAVIS's instructed models: losses of candidates, and their order. */
#include <string.h>

#include "base/alloc.h"
#include "kinds.h"
#include "stage1_case.h"

typedef struct class_case {
    stage1_case c;
    char **prompts;               /* [images] */
    const char **texts;           /* [all candidates] of all lists */
    blip2_candidates *candidates; /* [images] */
    uint32_t segments;
} class_case;

/* samples.key, of picture i; NULL: there is none. */
static const char *sample(const class_case *k, const char *key, size_t i) {
    const json_t *value = json_object_get(json_object_get(k->c.golden->inputs, "samples"), key);

    return json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
}

static blip2_status make_prompt(const class_case *k, size_t i, char **out) {
    const blip2_question question = {.question = sample(k, "text_input", i),
                                     .prompt = sample(k, "prompt", i),
                                     .context = sample(k, "context", i),
                                     .history = sample(k, "history", i),
                                     .caption = sample(k, "caption", i)};

    return blip2_question_prompt(out, &question);
}

/* candidates: a list of texts for all pictures, or one for each. */
static const json_t *list_of(const class_case *k, size_t i) {
    const json_t *all = json_object_get(k->c.golden->inputs, "candidates");

    return json_is_array(json_array_get(all, 0)) ? json_array_get(all, i) : all;
}

static blip2_status read_inputs(class_case *k) {
    const golden_case *golden = k->c.golden;
    const json_t *args = json_object_get(golden->inputs, "args"), *last = NULL, *entry;
    b2_fields fields = golden_fields(golden, "inputs.args.");
    size_t images = k->c.image_count, count = 0, at;
    blip2_status status;

    k->segments = 1;
    b2_field_u32(&fields, args, "n_segments", 1, 1024, &k->segments);
    for (size_t i = 0; i < images; i++)
        count += json_array_size(list_of(k, i));
    k->prompts = b2_calloc(images, sizeof(char *));
    k->texts = b2_calloc(count, sizeof(const char *));
    k->candidates = b2_calloc(images, sizeof *k->candidates);
    if (k->prompts == NULL || k->texts == NULL || k->candidates == NULL)
        return b2_fail_memory();
    count = 0;
    for (size_t i = 0; i < images; i++) {
        const json_t *list = list_of(k, i);

        if (list != last) /* one list stays one */
            json_array_foreach((json_t *)(uintptr_t)list, at, entry) k->texts[count++] =
                json_string_value(entry);
        last = list;
        if (sample(k, "prompt", i) == NULL)
            return golden_bad(golden, "inputs.samples.prompt", "texts", NULL);
        if ((status = make_prompt(k, i, &k->prompts[i])) < 0)
            return status;
        k->candidates[i] = (blip2_candidates){.image = k->c.images[i],
                                              .prompt = k->prompts[i],
                                              .texts = k->texts + count - json_array_size(list),
                                              .text_count = json_array_size(list)};
    }
    return golden_check(&fields);
}

static blip2_status compare(const class_case *k, const blip2_likelihood *l, verdict *v) {
    json_t *ranks = json_array(), *losses = json_array();
    blip2_status status;

    for (size_t i = 0; i < k->c.image_count; i++) {
        size_t count = k->candidates[i].text_count;
        json_t *order = json_array(), *of = json_array();
        size_t *best = b2_alloc_array(count, sizeof *best);

        count = best != NULL ? blip2_likelihood_best(l, i, count, best) : 0;
        for (size_t t = 0; t < count; t++) {
            list_add(&order, json_integer((json_int_t)best[t]));
            list_add(&of, json_real(blip2_likelihood_loss(l, i, t)));
        }
        b2_free(best);
        list_add(&ranks, order);
        list_add(&losses, of);
    }
    if ((status = verdict_value(v, "ranks", ranks, NULL)) < 0) {
        json_decref(losses);
        return status;
    }
    return verdict_numbers(v, "losses", losses, "losses");
}

static blip2_status run(class_case *k, verdict *v) {
    blip2_likelihood_options options;
    blip2_likelihood *likelihood;
    blip2_status status;

    blip2_likelihood_options_init(&options, sizeof options);
    options.segments = k->segments;
    options.verbatim = 1;
    status = blip2_likelihood_compute(k->c.engine, k->candidates, k->c.image_count, &options,
                                      &likelihood);
    if (status == BLIP2_OK)
        status = compare(k, likelihood, v);
    blip2_likelihood_free(likelihood);
    return status;
}

blip2_status run_class(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",     "image_size", "preprocess", "method",
                                        "candidates", "samples",    "args",       NULL};
    static const char *const known_args[] = {"n_segments", NULL};
    static const char *const known_samples[] = {"prompt",  "text_input", "context",
                                                "history", "caption",    NULL};
    class_case k = {0};
    blip2_status status = golden_only(json_object_get(golden->inputs, "args"), "args.", known_args);

    if (status == BLIP2_OK)
        status = golden_only(json_object_get(golden->inputs, "samples"), "samples.", known_samples);
    if (status == BLIP2_OK &&
        (status = stage1_case_open(&k.c, golden, device, known, UINT32_MAX)) == BLIP2_OK &&
        (status = read_inputs(&k)) == BLIP2_OK)
        status = run(&k, v);
    for (size_t i = 0; i < k.c.image_count && k.prompts != NULL; i++)
        blip2_string_free(k.prompts[i]);
    b2_free(k.prompts);
    b2_free(k.texts);
    b2_free(k.candidates);
    stage1_case_close(&k.c);
    return status;
}
