/* Matching and contrast: LAVIS's Blip2ITM one pair at a time, and Hugging Face's retrieval model,
 * of pairs (matching) or of every picture with every text (contrast). */
#include <string.h>

#include "base/alloc.h"
#include "kinds.h"
#include "stage1_case.h"

enum { LAVIS_TOKENS = 32 };

static bool expects(const golden_case *golden, const char *key) {
    return json_object_get(golden->expect, key) != NULL;
}

/* Scores of pairs, or of every picture with every text, pictures first. */
static blip2_status match(const stage1_case *c, bool all, blip2_match_score *scores) {
    size_t count = all ? c->image_count * c->text_count : c->image_count;
    blip2_input *pairs = b2_calloc(count, sizeof *pairs);
    blip2_status status;

    if (pairs == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++) {
        pairs[i].image = c->images[all ? i / c->text_count : i];
        pairs[i].prompt = c->texts[all ? i % c->text_count : i];
    }
    status = blip2_match(c->engine, pairs, count, NULL, scores);
    b2_free(pairs);
    return status;
}

static json_t *list_of(const blip2_match_score *scores, size_t count, char what) {
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++)
        list_add(&list, what == 'l'   ? number_list(scores[i].itm_logits, 2)
                        : what == 'p' ? json_real((double)scores[i].itm_probability)
                                      : json_real((double)scores[i].itc));
    return list;
}

static blip2_status compare_pairs(const stage1_case *c, const blip2_match_score *s, verdict *v) {
    static const struct {
        const char *key, *tolerance;
        char what;
    } keys[] = {{"itm_logits", "logits", 'l'},
                {"logits_per_image", "logits", 'l'},
                {"itm_prob", "prob", 'p'},
                {"prob", "prob", 'p'},
                {"itc", "itc", 'c'}};
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < sizeof keys / sizeof *keys && status == BLIP2_OK; i++)
        if (expects(c->golden, keys[i].key))
            status = verdict_numbers(v, keys[i].key, list_of(s, c->image_count, keys[i].what),
                                     keys[i].tolerance);
    return status;
}

static blip2_status compare_all(const stage1_case *c, const blip2_match_score *s, verdict *v) {
    json_t *rows = json_array();

    for (size_t i = 0; i < c->image_count; i++)
        list_add(&rows, list_of(s + i * c->text_count, c->text_count, 'c'));
    return verdict_numbers(v, "logits_per_image", rows, "logits");
}

/* Hugging Face's embeddings: of pictures every row, of texts the first. */
static blip2_status compare_embeddings(const stage1_case *c, blip2_mode mode, const char *name,
                                       verdict *v) {
    bool images = mode == BLIP2_MODE_IMAGE;
    size_t count = images ? c->image_count : c->text_count, rows = 0, cols = 0, next = 0;
    blip2_input *inputs = b2_calloc(count, sizeof *inputs);
    blip2_features *features = NULL;
    blip2_features_options options;
    float *all = NULL;
    blip2_status status = inputs != NULL ? BLIP2_OK : b2_fail_memory();

    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        inputs[i].image = images ? c->images[i] : NULL;
        inputs[i].prompt = images ? NULL : c->texts[i];
    }
    blip2_features_options_init(&options, sizeof options);
    options.mode = mode;
    if (status == BLIP2_OK)
        status = blip2_features_extract(c->engine, inputs, count, &options, &features);
    if (status == BLIP2_OK) {
        (void)blip2_features_projected(features, 0, &rows, &cols);
        rows = images ? rows : 1;
        if ((all = b2_alloc_array(count * rows * cols, sizeof *all)) == NULL)
            status = b2_fail_memory();
    }
    for (size_t i = 0; i < count && status == BLIP2_OK; i++, next += rows * cols)
        memcpy(all + next, blip2_features_projected(features, i, NULL, NULL),
               rows * cols * sizeof *all);
    if (status == BLIP2_OK)
        status = verdict_tensor(v, name, all, (int64_t)(count * rows), (int64_t)cols, NULL);
    b2_free(all);
    b2_free(inputs);
    blip2_features_free(features);
    return status;
}

static blip2_status run(const stage1_case *c, verdict *v) {
    bool all = json_object_get(c->golden->tensor_names, "image_embeds") != NULL;
    size_t count = all ? c->image_count * c->text_count : c->image_count;
    blip2_match_score *scores;
    blip2_status status;

    if (count == 0 || (!all && c->image_count != c->text_count))
        return golden_bad(c->golden, "inputs.texts", "as many as images",
                          json_object_get(c->golden->inputs, "texts"));
    if ((scores = b2_calloc(count, sizeof *scores)) == NULL)
        return b2_fail_memory();
    status = match(c, all, scores);
    if (status == BLIP2_OK)
        status = all ? compare_all(c, scores, v) : compare_pairs(c, scores, v);
    b2_free(scores);
    if (status == BLIP2_OK && all &&
        (status = compare_embeddings(c, BLIP2_MODE_IMAGE, "image_embeds", v)) == BLIP2_OK)
        status = compare_embeddings(c, BLIP2_MODE_TEXT, "text_embeds", v);
    return status < 0 ? status : stage1_case_compare_ids(c, v);
}

blip2_status run_match(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images", "texts", "image_size", "preprocess", NULL};
    stage1_case c;
    blip2_status status = stage1_case_open(&c, golden, device, known, LAVIS_TOKENS);

    if (status == BLIP2_OK)
        status = run(&c, v);
    stage1_case_close(&c);
    return status;
}
