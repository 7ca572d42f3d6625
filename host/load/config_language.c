/* text_config of config.json, with the defaults of transformers' configuration of each kind. */
#include <string.h>

#include "load/config_parts.h"

static const b2_opt_config opt_defaults = {
    .vocab = 50272,
    .width = 768,
    .layers = 12,
    .heads = 12,
    .ffn = 3072,
    .positions = 2048,
    .act = B2_ACT_RELU,
    .eps = 1e-5f,
    .pre_norm = true,
};

static void read_stop_ids(b2_fields *f, const json_t *object, b2_config *config) {
    const json_t *value = json_object_get(object, "eos_token_id");
    size_t count = json_is_array(value) ? json_array_size(value) : 1;

    if (f->status < 0 || value == NULL)
        return;
    config->stop_count = 0;
    if (json_is_null(value))
        return;
    if (count > B2_MAX_STOP_IDS) {
        b2_field_fail(f, "eos_token_id", "at most 8 token ids", value);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_is_array(value) ? json_array_get(value, i) : value;

        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > B2_MAX_TOKEN) {
            b2_field_fail(f, "eos_token_id", "a token id or a list of them", id);
            return;
        }
        config->stop_ids[config->stop_count++] = (int32_t)json_integer_value(id);
    }
}

static void read_tokens(b2_fields *f, const json_t *object, int32_t bos, int32_t pad, int32_t eos,
                        b2_config *config) {
    config->bos = bos;
    config->pad = pad;
    config->stop_ids[0] = eos;
    config->stop_count = 1;
    b2_field_token(f, object, "bos_token_id", &config->bos);
    b2_field_token(f, object, "pad_token_id", &config->pad);
    read_stop_ids(f, object, config);
}

static void read_opt(b2_fields *f, const json_t *object, b2_opt_config *opt) {
    *opt = opt_defaults;
    b2_field_u32(f, object, "vocab_size", 1, B2_MAX_ROWS, &opt->vocab);
    b2_field_u32(f, object, "hidden_size", 1, B2_MAX_WIDTH, &opt->width);
    b2_field_u32(f, object, "num_hidden_layers", 1, B2_MAX_LAYERS, &opt->layers);
    b2_field_u32(f, object, "num_attention_heads", 1, B2_MAX_HEADS, &opt->heads);
    b2_field_u32(f, object, "ffn_dim", 1, B2_MAX_FFN, &opt->ffn);
    b2_field_u32(f, object, "max_position_embeddings", 1, B2_MAX_ROWS, &opt->positions);
    b2_field_activation(f, object, "activation_function", &opt->act);
    b2_field_bool(f, object, "do_layer_norm_before", &opt->pre_norm);
    b2_field_must_be(f, object, "_remove_final_layer_norm", false);
    b2_field_must_be(f, object, "enable_bias", true);
    b2_field_must_be(f, object, "layer_norm_elementwise_affine", true);
    opt->embed = opt->width;
    if (!json_is_null(json_object_get(object, "word_embed_proj_dim")))
        b2_field_u32(f, object, "word_embed_proj_dim", 1, B2_MAX_WIDTH, &opt->embed);
    b2_field_heads(f, opt->width, opt->heads);
}

void b2_config_read_language(b2_fields *f, const json_t *top, b2_config *config) {
    const json_t *object = b2_field_object(f, top, "text_config");
    char type[32] = "opt";

    f->section = "text_config.";
    b2_field_text(f, object, "model_type", type, sizeof type);
    if (strcmp(type, "opt") == 0) {
        config->language = B2_LANGUAGE_OPT;
        read_opt(f, object, &config->opt);
        read_tokens(f, object, 2, 1, 2, config);
    } else if (strcmp(type, "t5") == 0) {
        config->language = B2_LANGUAGE_T5;
        read_tokens(f, object, -1, 0, 1, config);
    } else if (strcmp(type, "llama") == 0) {
        config->language = B2_LANGUAGE_LLAMA;
        read_tokens(f, object, 1, -1, 2, config);
    } else if (f->status == BLIP2_OK) {
        f->status = b2_fail(BLIP2_ENOTSUP, "%s: text_config.model_type: \"%s\" is not supported",
                            f->file, type);
    }
    f->section = "";
}
