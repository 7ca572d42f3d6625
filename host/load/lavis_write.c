/* model.json, as lavis.c reads it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "load/lavis.h"

/* Digits that give every float back. */
enum { FLOAT_DIGITS = 9 };

/* Out of memory anywhere makes *ok false; value is taken over. */
static void put(json_t *object, const char *key, json_t *value, bool *ok) {
    if (json_object_set_new(object, key, value) != 0)
        *ok = false;
}

static void put_size(json_t *object, const char *key, uint32_t value, bool *ok) {
    put(object, key, json_integer((json_int_t)value), ok);
}

/* With as few digits as give the float back: 1e-6f is not the double 1e-6. */
static void put_float(json_t *object, const char *key, float value, bool *ok) {
    char text[32];

    for (int digits = 1; digits <= FLOAT_DIGITS; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            break;
    }
    put(object, key, json_real(strtod(text, NULL)), ok);
}

static json_t *vit_json(const b2_vit_config *vit, bool *ok) {
    json_t *out = json_object();

    put_size(out, "img_size", vit->image, ok);
    put_size(out, "patch_size", vit->patch, ok);
    put_size(out, "embed_dim", vit->width, ok);
    put_size(out, "depth", vit->layers, ok);
    put_size(out, "num_heads", vit->heads, ok);
    put_size(out, "mlp_hidden", vit->ffn, ok);
    put_float(out, "block_ln_eps", vit->block_eps, ok);
    put(out, "act", json_string(vit->clip ? "quick_gelu" : "gelu_erf"), ok);
    return out;
}

static json_t *bert_json(const b2_qformer_config *q, bool *ok) {
    json_t *out = json_object();

    put_size(out, "hidden_size", q->width, ok);
    put_size(out, "num_attention_heads", q->heads, ok);
    put_size(out, "num_hidden_layers", q->layers, ok);
    put_size(out, "intermediate_size", q->ffn, ok);
    put_size(out, "max_position_embeddings", q->positions, ok);
    put_float(out, "layer_norm_eps", q->eps, ok);
    put_size(out, "cross_attention_freq", q->cross_every, ok);
    return out;
}

/* The original's fields (prompt, max_txt_len, ...), and over them those that are read. */
static json_t *hyper_json(const b2_config *config, const json_t *original, bool *ok) {
    const json_t *kept = json_object_get(original, "hyper");
    json_t *out = json_is_object(kept) ? json_deep_copy(kept) : json_object();

    put_size(out, "img_size", config->vit.image, ok);
    put_size(out, "num_query_token", config->qformer.queries, ok);
    put(out, "vit_inside_checkpoint", vit_json(&config->vit, ok), ok);
    put(out, "bert", bert_json(&config->qformer, ok), ok);
    put_float(out, "ln_vision_eps", config->vit.post_eps, ok);
    if (config->language != B2_LANGUAGE_NONE)
        put(out, "llm_inside_checkpoint", json_true(), ok);
    return out;
}

blip2_status b2_lavis_model_json(char **out, const b2_config *config, const json_t *original,
                                 const char *checkpoint) {
    const size_t flags = JSON_INDENT(2) | JSON_REAL_PRECISION(FLOAT_DIGITS);
    bool language = config->language != B2_LANGUAGE_NONE, ok = true;
    json_t *root = json_object();
    size_t length;

    *out = NULL;
    put(root, "format", json_string("lavis"), &ok);
    put(root, "arch", json_string(config->architecture), &ok);
    put(root, "checkpoint", json_string(checkpoint), &ok);
    put(root, "vit_model", json_string(config->vit.clip ? "clip_L" : "eva_clip_g"), &ok);
    if (language)
        put(root, "llm", json_string(B2_LAVIS_LANGUAGE), &ok);
    if (config->qformer.text_input)
        put(root, "bert_vocab", json_string(B2_LAVIS_VOCABULARY), &ok);
    put(root, "hyper", hyper_json(config, original, &ok), &ok);
    length = ok ? json_dumpb(root, NULL, 0, flags) : 0;
    if (length > 0 && (*out = b2_alloc(length + 2)) != NULL &&
        json_dumpb(root, *out, length, flags) == length) {
        (*out)[length] = '\n';
        (*out)[length + 1] = '\0';
    } else {
        b2_free(*out);
        *out = NULL;
    }
    json_decref(root);
    return *out != NULL ? BLIP2_OK : b2_fail_memory();
}
