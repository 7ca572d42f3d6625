#include "kinds.h"

#include <string.h>

const b2_device_options bench_exact = {.compute = B2_COMPUTE_F32};

static bool has(const golden_case *golden, const char *input) {
    return json_object_get(golden->inputs, input) != NULL;
}

static bool is_preprocess(const golden_case *golden) {
    return golden->model == NULL && has(golden, "image");
}

static bool is_text_cleaning(const golden_case *golden) {
    return golden->model == NULL && has(golden, "texts");
}

static bool is_tokenizer(const golden_case *golden) {
    return has(golden, "random_ids");
}

static bool is_vit(const golden_case *golden) {
    return json_object_get(golden->model, "vit") != NULL;
}

static bool is_qformer(const golden_case *golden) {
    return has(golden, "tensors") && !has(golden, "images") && !has(golden, "method");
}

/* LAVIS's predict_class. */
static bool is_class(const golden_case *golden) {
    return has(golden, "candidates");
}

/* A call of a LAVIS model's method. */
static bool is_lavis(const golden_case *golden) {
    return has(golden, "method");
}

static bool is_generate(const golden_case *golden) {
    return has(golden, "generate_args");
}

static bool expects(const golden_case *golden, const char *key) {
    return json_object_get(golden->expect, key) != NULL ||
           json_object_get(golden->tensor_names, key) != NULL;
}

/* LAVIS's extract_features. */
static bool is_features(const golden_case *golden) {
    return expects(golden, "image_embeds_proj") || expects(golden, "text_embeds_proj") ||
           expects(golden, "multimodal_embeds");
}

/* Captions of stage 1. */
static bool is_caption(const golden_case *golden) {
    return has(golden, "images") && has(golden, "num_beams");
}

/* Where the queries look. */
static bool is_explain(const golden_case *golden) {
    return expects(golden, "cross_attention");
}

/* Pairs, or pictures with texts, and how well they match. */
static bool is_match(const golden_case *golden) {
    return has(golden, "images") && has(golden, "texts") &&
           (expects(golden, "itm_logits") || expects(golden, "logits_per_image"));
}

/* LAVIS's compute_sim_matrix. */
static bool is_similarity(const golden_case *golden) {
    return has(golden, "k_test");
}

static bool is_losses(const golden_case *golden) {
    return has(golden, "neg_image_for_text");
}

static bool is_forward(const golden_case *golden) {
    return has(golden, "images") &&
           (has(golden, "prompts") || (has(golden, "texts") && expects(golden, "logits")));
}

static bool is_any(const golden_case *golden) {
    (void)golden;
    return true;
}

const kind *kind_of(const golden_case *golden) {
    static const kind kinds[] = {
        {"preprocess", is_preprocess, run_preprocess},
        {"text_cleaning", is_text_cleaning, run_text_cleaning},
        {"tokenizer", is_tokenizer, run_tokenizer},
        {"vit", is_vit, run_vit},
        {"qformer", is_qformer, run_qformer},
        {"class", is_class, run_class},
        {"lavis", is_lavis, run_lavis},
        {"generate", is_generate, run_generate},
        {"losses", is_losses, run_losses},
        {"similarity", is_similarity, run_similarity},
        {"caption", is_caption, run_caption},
        {"features", is_features, run_features},
        {"explain", is_explain, run_explain},
        {"match", is_match, run_match},
        {"forward", is_forward, run_forward},
        {"other", is_any, NULL},
    };
    size_t i = 0;

    while (!kinds[i].is(golden))
        i++;
    return &kinds[i];
}
