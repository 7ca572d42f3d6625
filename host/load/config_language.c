/* text_config of config.json, with the defaults of transformers' configuration of each kind. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "load/config_parts.h"
#include "load/json.h"

enum { MAX_CONFIG_BYTES = 1 << 20 };

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

static const b2_t5_config t5_defaults = {
    .vocab = 32128,
    .width = 512,
    .heads = 8,
    .head_size = 64,
    .ffn = 2048,
    .layers = 6,
    .buckets = 32,
    .max_distance = 128,
    .act = B2_ACT_RELU,
    .scaled_head = true,
    .eps = 1e-6f,
    .start = -1,
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

/* "relu", "gated-gelu", ...: of the latter it is known that the tanh form is meant. dense_act_fn,
 * where it is written down, wins: BLIP-2 runs Flan-T5 with the other form. */
static void read_feed_forward(b2_fields *f, const json_t *object, b2_t5_config *t5) {
    char text[32] = "relu";
    const char *name = text;

    b2_field_text(f, object, "feed_forward_proj", text, sizeof text);
    if (f->status < 0)
        return;
    t5->gated = strncmp(text, "gated-", 6) == 0;
    if (t5->gated)
        name += 6;
    if (strcmp(text, "gated-gelu") == 0)
        t5->act = B2_ACT_GELU_TANH;
    else if (!b2_activation_of(name, &t5->act)) {
        f->status = b2_fail(BLIP2_ENOTSUP, "%s: %sfeed_forward_proj: \"%s\" is not supported",
                            f->file, f->section, text);
        return;
    }
    b2_field_activation(f, object, "dense_act_fn", &t5->act);
    b2_field_bool(f, object, "is_gated_act", &t5->gated);
}

/* How distances fall into buckets is only defined for tables of some size. */
static void read_relative_positions(b2_fields *f, const json_t *object, b2_t5_config *t5) {
    b2_field_u32(f, object, "relative_attention_num_buckets", 4, B2_MAX_BUCKETS, &t5->buckets);
    b2_field_u32(f, object, "relative_attention_max_distance", 1, B2_MAX_DISTANCE,
                 &t5->max_distance);
    if (f->status == BLIP2_OK && t5->max_distance <= t5->buckets / 2)
        f->status = b2_fail(BLIP2_EFORMAT,
                            "%s: %srelative_attention_max_distance: expected more than half of %u "
                            "buckets, got %u",
                            f->file, f->section, t5->buckets, t5->max_distance);
}

static void read_t5(b2_fields *f, const json_t *object, b2_config *config) {
    b2_t5_config *t5 = &config->t5;
    bool tied = true;

    *t5 = t5_defaults;
    b2_field_u32(f, object, "vocab_size", 1, B2_MAX_ROWS, &t5->vocab);
    b2_field_u32(f, object, "d_model", 1, B2_MAX_WIDTH, &t5->width);
    b2_field_u32(f, object, "num_heads", 1, B2_MAX_HEADS, &t5->heads);
    b2_field_u32(f, object, "d_kv", 1, B2_MAX_HEAD_SIZE, &t5->head_size);
    b2_field_u32(f, object, "d_ff", 1, B2_MAX_FFN, &t5->ffn);
    b2_field_u32(f, object, "num_layers", 1, B2_MAX_LAYERS, &t5->layers);
    t5->decoder_layers = t5->layers;
    if (!json_is_null(json_object_get(object, "num_decoder_layers")))
        b2_field_u32(f, object, "num_decoder_layers", 1, B2_MAX_LAYERS, &t5->decoder_layers);
    b2_field_f32(f, object, "layer_norm_epsilon", B2_MIN_EPS, B2_MAX_EPS, &t5->eps);
    read_feed_forward(f, object, t5);
    read_relative_positions(f, object, t5);
    b2_field_bool(f, object, "tie_word_embeddings", &tied);
    t5->scaled_head = tied;
    b2_field_bool(f, object, "scale_decoder_outputs", &t5->scaled_head);
    t5->start = config->bos >= 0 ? config->bos : config->pad;
    b2_field_token(f, object, "decoder_start_token_id", &t5->start);
    if (f->status == BLIP2_OK && (t5->start < 0 || (uint32_t)t5->start >= t5->vocab))
        f->status = b2_fail(BLIP2_EFORMAT,
                            "%s: %sdecoder_start_token_id: expected a token id below %u, got %d",
                            f->file, f->section, t5->vocab, t5->start);
}

static const b2_llama_config llama_defaults = {
    .vocab = 32000,
    .width = 4096,
    .layers = 32,
    .heads = 32,
    .ffn = 11008,
    .positions = 2048,
    .act = B2_ACT_SILU,
    .eps = 1e-6f,
    .rope_theta = 10000,
    .rope_factor = 1,
};

/* Rotary positions: "rope_theta" and "rope_scaling" beside the other fields, or in transformers 5
 * both as "rope_parameters". */
static void read_rope(b2_fields *f, const json_t *object, b2_llama_config *llama) {
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};

    b2_field_f32(f, object, "rope_theta", 1, 1e12, &llama->rope_theta);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *rope = b2_field_object(f, object, keys[i]);
        char type[32] = "default", section[64];

        (void)snprintf(section, sizeof section, "text_config.%s.", keys[i]);
        f->section = section;
        b2_field_text(f, rope, "type", type, sizeof type);
        b2_field_text(f, rope, "rope_type", type, sizeof type);
        b2_field_f32(f, rope, "rope_theta", 1, 1e12, &llama->rope_theta);
        if (strcmp(type, "linear") == 0)
            b2_field_f32(f, rope, "factor", 1e-3, 1e6, &llama->rope_factor);
        else if (f->status == BLIP2_OK && strcmp(type, "default") != 0)
            f->status = b2_fail(BLIP2_ENOTSUP,
                                "%s: %srope_type: \"%s\" is not supported, only default and linear",
                                f->file, section, type);
        f->section = "text_config.";
    }
}

static void read_llama(b2_fields *f, const json_t *object, b2_llama_config *llama) {
    *llama = llama_defaults;
    b2_field_u32(f, object, "vocab_size", 1, B2_MAX_ROWS, &llama->vocab);
    b2_field_u32(f, object, "hidden_size", 1, B2_MAX_WIDTH, &llama->width);
    b2_field_u32(f, object, "num_hidden_layers", 1, B2_MAX_LAYERS, &llama->layers);
    b2_field_u32(f, object, "num_attention_heads", 1, B2_MAX_HEADS, &llama->heads);
    b2_field_u32(f, object, "intermediate_size", 1, B2_MAX_FFN, &llama->ffn);
    b2_field_u32(f, object, "max_position_embeddings", 1, B2_MAX_ROWS, &llama->positions);
    b2_field_activation(f, object, "hidden_act", &llama->act);
    b2_field_f32(f, object, "rms_norm_eps", B2_MIN_EPS, B2_MAX_EPS, &llama->eps);
    b2_field_bool(f, object, "tie_word_embeddings", &llama->tied);
    b2_field_must_be(f, object, "attention_bias", false);
    b2_field_must_be(f, object, "mlp_bias", false);
    b2_field_heads(f, llama->width, llama->heads);
    llama->kv_heads = llama->heads;
    if (!json_is_null(json_object_get(object, "num_key_value_heads")))
        b2_field_u32(f, object, "num_key_value_heads", 1, B2_MAX_HEADS, &llama->kv_heads);
    llama->head_size = llama->width / llama->heads;
    if (!json_is_null(json_object_get(object, "head_dim")))
        b2_field_u32(f, object, "head_dim", 2, B2_MAX_WIDTH, &llama->head_size);
    read_rope(f, object, llama);
    if (llama->heads % llama->kv_heads != 0)
        b2_field_fail(f, "num_key_value_heads", "a divisor of num_attention_heads",
                      json_object_get(object, "num_key_value_heads"));
    if (f->status == BLIP2_OK && llama->head_size % 2 != 0)
        f->status = b2_fail(BLIP2_EFORMAT, "%s: %shead_dim: expected an even size, got %u", f->file,
                            f->section, llama->head_size);
}

static void read_language(b2_fields *f, const json_t *object, const char *section,
                          b2_config *config) {
    char type[32] = "opt";

    f->section = section;
    b2_field_text(f, object, "model_type", type, sizeof type);
    if (strcmp(type, "opt") == 0) {
        config->language = B2_LANGUAGE_OPT;
        read_opt(f, object, &config->opt);
        read_tokens(f, object, 2, 1, 2, config);
    } else if (strcmp(type, "t5") == 0) {
        config->language = B2_LANGUAGE_T5;
        read_tokens(f, object, -1, 0, 1, config);
        read_t5(f, object, config);
    } else if (strcmp(type, "llama") == 0) {
        config->language = B2_LANGUAGE_LLAMA;
        read_llama(f, object, &config->llama);
        read_tokens(f, object, 1, -1, 2, config);
    } else if (f->status == BLIP2_OK) {
        f->status = b2_fail(BLIP2_ENOTSUP, "%s: %smodel_type: \"%s\" is not supported", f->file,
                            section, type);
    }
    f->section = "";
}

void b2_config_read_language(b2_fields *f, const json_t *top, b2_config *config) {
    read_language(f, b2_field_object(f, top, "text_config"), "text_config.", config);
}

blip2_status b2_config_read_language_file(b2_config *config, const char *directory) {
    char *path = b2_path_join(directory, "config.json");
    b2_fields f = {.file = path, .section = ""};
    b2_config changed = *config;
    uint8_t *text = NULL;
    json_t *top = NULL;
    size_t size = 0;

    if (path == NULL)
        return b2_fail_memory();
    f.status = b2_file_read(&text, &size, path, MAX_CONFIG_BYTES);
    if (f.status == BLIP2_OK)
        f.status = b2_json_parse(&top, (const char *)text, size, path);
    if (f.status == BLIP2_OK && json_object_get(top, "model_type") == NULL)
        b2_field_fail(&f, "model_type", "that of a language model", NULL);
    read_language(&f, top, "", &changed);
    if (f.status == BLIP2_OK)
        *config = changed;
    json_decref(top);
    b2_free(text);
    b2_free(path);
    return f.status;
}
