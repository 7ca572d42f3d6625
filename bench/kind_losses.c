/* LAVIS's losses of stage 1 with the hard negatives given, and the weights that they were drawn by.
 */
#include "base/alloc.h"
#include "kinds.h"
#include "stage1_case.h"

typedef struct given {
    blip2_losses_options options;
    int64_t *image_ids; /* [count] or NULL */
    size_t *images, *texts;
    float *image_weights, *text_weights; /* [count, count] */
} given;

/* Input `key` as a whole number of each pair. */
static blip2_status read_list(const stage1_case *c, const char *key, int64_t *out) {
    const json_t *list = json_object_get(c->golden->inputs, key);

    if (json_array_size(list) != c->image_count)
        return golden_bad(c->golden, key, "a number for each picture", list);
    for (size_t i = 0; i < c->image_count; i++) {
        const json_t *item = json_array_get(list, i);

        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return golden_bad(c->golden, key, "whole numbers", list);
        out[i] = json_integer_value(item);
    }
    return BLIP2_OK;
}

static blip2_status read_negatives(const stage1_case *c, const char *key, int64_t *scratch,
                                   size_t *out) {
    blip2_status status = read_list(c, key, scratch);

    for (size_t i = 0; i < c->image_count && status == BLIP2_OK; i++)
        out[i] = (size_t)scratch[i];
    return status;
}

static blip2_status read_given(const stage1_case *c, given *g) {
    const json_t *inputs = c->golden->inputs, *temperature = json_object_get(inputs, "temp");
    const json_t *smoothing = json_object_get(inputs, "label_smoothing");
    size_t count = c->image_count;
    int64_t *scratch = b2_calloc(count, sizeof *scratch);
    blip2_status status = BLIP2_OK;

    blip2_losses_options_init(&g->options, sizeof g->options);
    g->images = b2_calloc(count, sizeof *g->images);
    g->texts = b2_calloc(count, sizeof *g->texts);
    g->image_ids = b2_calloc(count, sizeof *g->image_ids);
    g->image_weights = b2_calloc(count * count, sizeof *g->image_weights);
    g->text_weights = b2_calloc(count * count, sizeof *g->text_weights);
    if (scratch == NULL || g->images == NULL || g->texts == NULL || g->image_ids == NULL ||
        g->image_weights == NULL || g->text_weights == NULL)
        status = b2_fail_memory();
    else if (!json_is_number(temperature) || !json_is_number(smoothing))
        status = golden_bad(c->golden, "inputs", "temp and label_smoothing", inputs);
    else if ((status = read_negatives(c, "neg_image_for_text", scratch, g->images)) == BLIP2_OK)
        status = read_negatives(c, "neg_text_for_image", scratch, g->texts);
    if (status == BLIP2_OK && json_object_get(inputs, "image_id") != NULL) {
        status = read_list(c, "image_id", g->image_ids);
        g->options.image_ids = g->image_ids;
    }
    g->options.temperature = (float)json_number_value(temperature);
    g->options.label_smoothing = (float)json_number_value(smoothing);
    g->options.negative_images = g->images;
    g->options.negative_texts = g->texts;
    g->options.image_weights = g->image_weights;
    g->options.text_weights = g->text_weights;
    b2_free(scratch);
    return status;
}

static void free_given(given *g) {
    b2_free(g->image_ids);
    b2_free(g->images);
    b2_free(g->texts);
    b2_free(g->image_weights);
    b2_free(g->text_weights);
}

static blip2_status compare_weights(verdict *v, const char *key, const float *weights,
                                    size_t count) {
    json_t *rows = json_array();

    for (size_t i = 0; i < count; i++)
        list_add(&rows, number_list(weights + i * count, count));
    return verdict_numbers(v, key, rows, "weights");
}

static blip2_status compare(const stage1_case *c, const given *g, const blip2_losses *l,
                            verdict *v) {
    const struct {
        const char *key;
        double got;
    } losses[] = {{"loss_itc", l->itc},
                  {"loss_itm", l->itm},
                  {"loss_lm", l->itg},
                  {"loss", l->itc + l->itm + l->itg}};
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < sizeof losses / sizeof *losses && status == BLIP2_OK; i++)
        status = verdict_numbers(v, losses[i].key, json_real(losses[i].got), "loss");
    if (status == BLIP2_OK)
        status = compare_weights(v, "weights_t2i", g->image_weights, c->image_count);
    if (status == BLIP2_OK)
        status = compare_weights(v, "weights_i2t", g->text_weights, c->image_count);
    return status < 0 ? status : stage1_case_compare_ids(c, v);
}

static blip2_status run(const stage1_case *c, given *g, uint32_t max_tokens, verdict *v) {
    blip2_input *pairs = b2_calloc(c->image_count, sizeof *pairs);
    blip2_losses losses;
    blip2_status status;

    if (pairs == NULL)
        return b2_fail_memory();
    if (c->image_count != c->text_count)
        status = golden_bad(c->golden, "inputs.texts", "as many as images",
                            json_object_get(c->golden->inputs, "texts"));
    else
        status = read_given(c, g);
    for (size_t i = 0; i < c->image_count && status == BLIP2_OK; i++)
        pairs[i] = (blip2_input){c->images[i], c->texts[i]};
    g->options.max_text_tokens = max_tokens;
    if (status == BLIP2_OK)
        status = blip2_losses_compute(c->engine, pairs, c->image_count, &g->options, &losses);
    if (status == BLIP2_OK)
        status = compare(c, g, &losses, v);
    b2_free(pairs);
    return status;
}

blip2_status run_losses(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",
                                        "texts",
                                        "image_size",
                                        "preprocess",
                                        "max_txt_len",
                                        "neg_image_for_text",
                                        "neg_text_for_image",
                                        "temp",
                                        "label_smoothing",
                                        "image_id",
                                        NULL};
    const json_t *length = json_object_get(golden->inputs, "max_txt_len");
    stage1_case c = {0};
    given g = {0};
    blip2_status status;

    if (!json_is_integer(length) || json_integer_value(length) < 2 ||
        json_integer_value(length) > UINT16_MAX)
        return golden_bad(golden, "inputs.max_txt_len", "a whole number above 1", length);
    status = stage1_case_open(&c, golden, device, known, (uint32_t)json_integer_value(length));
    if (status == BLIP2_OK)
        status = run(&c, &g, (uint32_t)json_integer_value(length), v);
    free_given(&g);
    stage1_case_close(&c);
    return status;
}
