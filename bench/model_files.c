#include "model_files.h"

#include <jansson.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/file.h"
#include "text/byte_level.h"

/* Take over object (NULL: out of memory) and write it to directory/name. */
static blip2_status put(const char *directory, const char *name, json_t *object) {
    char *path = b2_path_join(directory, name);
    b2_file_writer writer;
    blip2_status status =
        path != NULL && object != NULL ? b2_file_writer_open(&writer, path) : b2_fail_memory();

    if (status == BLIP2_OK) {
        /* What stdio could not write is reported by commit. */
        (void)json_dumpf(object, writer.stream, JSON_INDENT(1));
        (void)fputc('\n', writer.stream);
        status = b2_file_writer_commit(&writer);
    }
    json_decref(object);
    b2_free(path);
    return status;
}

/* ---- config.json -------------------------------------------------------------------------- */

static json_t *vision_config(const b2_vit_config *vit) {
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b}", "model_type",
                     "blip_2_vision_model", "hidden_size", (int)vit->width, "num_hidden_layers",
                     (int)vit->layers, "num_attention_heads", (int)vit->heads, "intermediate_size",
                     (int)vit->ffn, "image_size", (int)vit->image, "patch_size", (int)vit->patch,
                     "hidden_act", "gelu", "layer_norm_eps", 1e-6, "qkv_bias", 1);
}

static json_t *qformer_config(const b2_qformer_config *qformer) {
    return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f}", "model_type",
                     "blip_2_qformer", "hidden_size", (int)qformer->width, "num_hidden_layers",
                     (int)qformer->layers, "num_attention_heads", (int)qformer->heads,
                     "intermediate_size", (int)qformer->ffn, "vocab_size", (int)qformer->vocab,
                     "max_position_embeddings", (int)qformer->positions,
                     "cross_attention_frequency", (int)qformer->cross_every, "encoder_hidden_size",
                     (int)qformer->vision_width, "hidden_act", "gelu", "layer_norm_eps", 1e-12);
}

static json_t *t5_text_config(const b2_config *config) {
    const b2_t5_config *t5 = &config->t5;

    return json_pack(
        "{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:b, s:i, s:i, s:i, "
        "s:i}",
        "model_type", "t5", "architectures", "T5ForConditionalGeneration", "vocab_size",
        (int)t5->vocab, "d_model", (int)t5->width, "num_heads", (int)t5->heads, "d_kv",
        (int)t5->head_size, "d_ff", (int)t5->ffn, "num_layers", (int)t5->layers,
        "num_decoder_layers", (int)t5->decoder_layers, "relative_attention_num_buckets",
        (int)t5->buckets, "relative_attention_max_distance", (int)t5->max_distance,
        "feed_forward_proj", "gated-gelu", "dense_act_fn", "gelu", "tie_word_embeddings", 0,
        "decoder_start_token_id", (int)t5->start, "bos_token_id", config->bos, "pad_token_id",
        config->pad, "eos_token_id", config->stop_ids[0]);
}

static json_t *opt_text_config(const b2_config *config) {
    const b2_opt_config *opt = &config->opt;

    return json_pack("{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:b, s:i, s:i, s:i}",
                     "model_type", "opt", "architectures", "OPTForCausalLM", "vocab_size",
                     (int)opt->vocab, "hidden_size", (int)opt->width, "num_hidden_layers",
                     (int)opt->layers, "num_attention_heads", (int)opt->heads, "ffn_dim",
                     (int)opt->ffn, "max_position_embeddings", (int)opt->positions,
                     "word_embed_proj_dim", (int)opt->embed, "activation_function", "relu",
                     "do_layer_norm_before", 1, "bos_token_id", config->bos, "pad_token_id",
                     config->pad, "eos_token_id", config->stop_ids[0]);
}

static json_t *whole_config(const b2_config *config, b2_type type) {
    static const char *const names[] = {
        [B2_F32] = "float32", [B2_F16] = "float16", [B2_BF16] = "bfloat16"};
    bool t5 = config->language == B2_LANGUAGE_T5;

    return json_pack("{s:s, s:[s], s:i, s:i, s:b, s:s, s:o, s:o, s:o}", "model_type",
                     config->model_type, "architectures", config->architecture, "image_token_index",
                     config->image_token, "num_query_tokens", (int)config->qformer.queries,
                     "use_decoder_only_language_model", !t5, "torch_dtype", names[type],
                     "vision_config", vision_config(&config->vit), "qformer_config",
                     qformer_config(&config->qformer), "text_config",
                     t5 ? t5_text_config(config) : opt_text_config(config));
}

static json_t *image_processor(const b2_config *config) {
    int side = (int)config->vit.image;

    return json_pack("{s:s, s:s, s:b, s:b, s:b, s:b, s:i, s:f, s:{s:i, s:i}, s:[f,f,f], s:[f,f,f]}",
                     "image_processor_type", "BlipImageProcessor", "processor_class",
                     "Blip2Processor", "do_convert_rgb", 1, "do_normalize", 1, "do_rescale", 1,
                     "do_resize", 1, "resample", 3, "rescale_factor", 1.0 / 255.0, "size", "height",
                     side, "width", side, "image_mean", 0.48145466, 0.4578275, 0.40821073,
                     "image_std", 0.26862954, 0.26130258, 0.27577711);
}

/* ---- tokenizer ---------------------------------------------------------------------------- */

static json_t *added_token(const char *content, int id) {
    return json_pack("{s:i, s:s, s:b, s:b, s:b, s:b, s:b}", "id", id, "content", content,
                     "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1);
}

/* UTF-8 of one of the alphabet's characters, all below U+0800; text [3]. */
static void alphabet_text(uint16_t code, char *text) {
    if (code < 0x80) {
        text[0] = (char)code;
        text[1] = '\0';
        return;
    }
    text[0] = (char)(0xc0 | code >> 6);
    text[1] = (char)(0x80 | (code & 0x3f));
    text[2] = '\0';
}

/* Every id below the image token's has a token, since the added tokens are numbered from the size
 * of the vocabulary on; "t260" and the like are never the result of encoding. */
static json_t *vocabulary(const b2_config *config) {
    static const char *const first[] = {"<s>", "<pad>", "</s>", "<unk>"};
    static const char *const first_t5[] = {"<pad>", "</s>", "<unk>", "<s>"};
    bool t5 = config->language == B2_LANGUAGE_T5;
    const char *const *names = t5 ? first_t5 : first;
    json_t *vocab =
        json_pack("{s:i, s:i, s:i, s:i}", names[0], 0, names[1], 1, names[2], 2, names[3], 3);
    uint16_t codes[256];

    b2_byte_level_table(codes);
    for (int id = 4; id < config->image_token && vocab != NULL; id++) {
        int byte = id == config->stop_ids[0] ? '\n' : id - 4;
        char text[16];

        if (byte < 256 && (byte != '\n' || id == config->stop_ids[0] || t5))
            alphabet_text(codes[byte], text);
        else
            (void)snprintf(text, sizeof text, "t%d", id);
        if (json_object_set_new(vocab, text, json_integer(id)) != 0) {
            json_decref(vocab);
            vocab = NULL;
        }
    }
    return vocab;
}

static json_t *special(void) {
    return json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", "</s>", "type_id", 0);
}

static json_t *sequence(const char *id) {
    return json_pack("{s:{s:s, s:i}}", "Sequence", "id", id, "type_id", 0);
}

/* "</s>" in front, as OPT's tokenizer has it, or behind, as T5's. */
static json_t *post_processor(const b2_config *config) {
    bool t5 = config->language == B2_LANGUAGE_T5;
    json_t *single = t5 ? json_pack("[o,o]", sequence("A"), special())
                        : json_pack("[o,o]", special(), sequence("A"));
    json_t *pair = t5 ? json_pack("[o,o,o,o]", sequence("A"), special(), sequence("B"), special())
                      : json_pack("[o,o,o,o]", special(), sequence("A"), special(), sequence("B"));

    return json_pack("{s:s, s:o, s:o, s:{s:{s:s, s:[i], s:[s]}}}", "type", "TemplateProcessing",
                     "single", single, "pair", pair, "special_tokens", "</s>", "id", "</s>", "ids",
                     (int)config->bos, "tokens", "</s>");
}

static json_t *byte_level(void) {
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0,
                     "trim_offsets", 1, "use_regex", 1);
}

static json_t *tokenizer(const b2_config *config) {
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:s, s:s, s:b, s:b, s:o, s:[]}", "type", "BPE", "dropout",
                  "unk_token", "continuing_subword_prefix", "", "end_of_word_suffix", "",
                  "fuse_unk", 0, "byte_fallback", 0, "vocab", vocabulary(config), "merges");

    return json_pack("{s:s, s:n, s:n, s:[o,o,o], s:n, s:o, s:o, s:o, s:o}", "version", "1.0",
                     "truncation", "padding", "added_tokens", added_token("<pad>", config->pad),
                     added_token("</s>", config->bos), added_token("<image>", config->image_token),
                     "normalizer", "pre_tokenizer", byte_level(), "post_processor",
                     post_processor(config), "decoder", byte_level(), "model", model);
}

blip2_status model_files_write(const char *directory, const b2_config *config, b2_type type) {
    blip2_status status;

    if ((status = put(directory, "config.json", whole_config(config, type))) < 0 ||
        (status = put(directory, "generation_config.json",
                      json_pack("{s:i, s:i, s:i}", "bos_token_id", config->bos, "eos_token_id",
                                config->stop_ids[0], "pad_token_id", config->pad))) < 0 ||
        (status = put(directory, "preprocessor_config.json", image_processor(config))) < 0 ||
        (status = put(directory, "processor_config.json",
                      json_pack("{s:o, s:i, s:s}", "image_token",
                                json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", "<image>",
                                          "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized",
                                          0, "special", 1),
                                "num_query_tokens", (int)config->qformer.queries, "processor_class",
                                "Blip2Processor"))) < 0 ||
        (status = put(directory, "tokenizer_config.json",
                      json_pack("{s:s, s:b, s:b, s:s, s:s, s:s, s:s}", "tokenizer_class",
                                "PreTrainedTokenizerFast", "add_bos_token", 1, "add_prefix_space",
                                0, "bos_token", "</s>", "eos_token", "</s>", "unk_token", "</s>",
                                "pad_token", "<pad>"))) < 0)
        return status;
    return put(directory, "tokenizer.json", tokenizer(config));
}
