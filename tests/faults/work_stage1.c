#include <check.h>

#include "run.h"
#include "work.h"

static const char *const texts[PICTURES] = {"a dog", "two statues eating on a bicycle",
                                            "the red boat is running above the shiny dog"};

static void fill(const place *p, blip2_input inputs[PICTURES]) {
    for (int i = 0; i < PICTURES; i++)
        inputs[i] = (blip2_input){p->images[i], texts[i]};
}

static void add_floats(answer *out, const float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        answer_add(out, (double)values[i]);
}

blip2_status run_match(place *p, answer *out) {
    blip2_match_score scores[PICTURES] = {0};
    blip2_input inputs[PICTURES];
    blip2_status status;

    fill(p, inputs);
    status = blip2_match(p->engine, inputs, PICTURES, NULL, scores);
    for (int i = 0; i < PICTURES; i++) {
        add_floats(out, scores[i].itm_logits, 2);
        answer_add(out, (double)scores[i].itc);
    }
    return status;
}

blip2_status run_features(place *p, answer *out) {
    blip2_features_options options;
    blip2_input inputs[PICTURES];
    blip2_status status = BLIP2_OK;

    fill(p, inputs);
    blip2_features_options_init(&options, sizeof options);
    for (int mode = BLIP2_MODE_IMAGE; mode <= BLIP2_MODE_MULTIMODAL && status == BLIP2_OK; mode++) {
        blip2_features *features;

        options.mode = (blip2_mode)mode;
        status = blip2_features_extract(p->engine, inputs, PICTURES, &options, &features);
        ck_assert(status == BLIP2_OK ? features != NULL : features == NULL);
        for (size_t i = 0; i < blip2_features_count(features); i++) {
            size_t rows, cols;
            const float *m = blip2_features_hidden(features, i, &rows, &cols);

            add_floats(out, m, rows * cols);
        }
        blip2_features_free(features);
    }
    return status;
}

blip2_status run_similarity(place *p, answer *out) {
    blip2_similarity_options options;
    blip2_similarity *s;
    float row[PICTURES];
    blip2_status status;

    blip2_similarity_options_init(&options, sizeof options);
    options.rerank = 2;
    status = blip2_similarity_compute(p->engine, (const blip2_image *const *)p->images, PICTURES,
                                      texts, PICTURES, &options, &s);
    ck_assert(status == BLIP2_OK ? s != NULL : s == NULL);
    for (size_t i = 0; i < PICTURES && status == BLIP2_OK; i++) {
        ck_assert_status_ok(blip2_similarity_scores(s, BLIP2_TEXTS_OF_IMAGE, i, row));
        add_floats(out, row, PICTURES);
    }
    blip2_similarity_free(s);
    return status;
}

static blip2_status explain(place *p, bool caption, answer *out) {
    const blip2_input input = {p->images[1], texts[1]};
    blip2_explain_options options;
    blip2_explanation *e;
    size_t rows, cols;
    blip2_status status;

    blip2_explain_options_init(&options, sizeof options);
    options.caption = caption;
    status = blip2_explain(p->engine, &input, &options, &e);
    ck_assert(status == BLIP2_OK ? e != NULL : e == NULL);
    if (status == BLIP2_OK) {
        const float *map = blip2_explanation_map(e, &rows, &cols);

        add_floats(out, map, rows * cols);
    }
    blip2_explanation_free(e);
    return status;
}

blip2_status run_explain(place *p, answer *out) {
    blip2_status status = explain(p, false, out);

    return status < 0 ? status : explain(p, true, out);
}

blip2_status run_losses(place *p, answer *out) {
    blip2_input inputs[PICTURES];
    blip2_losses losses = {0};
    blip2_status status;

    fill(p, inputs);
    status = blip2_losses_compute(p->engine, inputs, PICTURES, NULL, &losses);
    answer_add(out, losses.itc);
    answer_add(out, losses.itm);
    answer_add(out, losses.itg);
    return status;
}
