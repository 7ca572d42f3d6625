#include "model_files.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

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
    return json_pack("{s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f}", "model_type",
                     "blip_2_qformer", "use_qformer_text_input", (int)qformer->text_input,
                     "hidden_size", (int)qformer->width, "num_hidden_layers", (int)qformer->layers,
                     "num_attention_heads", (int)qformer->heads, "intermediate_size",
                     (int)qformer->ffn, "vocab_size", (int)qformer->vocab,
                     "max_position_embeddings", (int)qformer->positions,
                     "cross_attention_frequency", (int)qformer->cross_every, "encoder_hidden_size",
                     (int)qformer->vision_width, "hidden_act", "gelu", "layer_norm_eps", 1e-12);
}

static json_t *llama_text_config(const b2_config *config) {
    const b2_llama_config *llama = &config->llama;

    return json_pack(
        "{s:s, s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b, s:i, s:i, "
        "s:i}",
        "model_type", "llama", "architectures", "LLaMAForCausalLM", "vocab_size", (int)llama->vocab,
        "hidden_size", (int)llama->width, "num_hidden_layers", (int)llama->layers,
        "num_attention_heads", (int)llama->heads, "num_key_value_heads", (int)llama->kv_heads,
        "intermediate_size", (int)llama->ffn, "max_position_embeddings", (int)llama->positions,
        "hidden_act", "silu", "rms_norm_eps", 1e-6, "tie_word_embeddings", 0, "bos_token_id",
        config->bos, "pad_token_id", config->pad, "eos_token_id", config->stop_ids[0]);
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

static json_t *text_config(const b2_config *config) {
    switch (config->language) {
    case B2_LANGUAGE_OPT:
        return opt_text_config(config);
    case B2_LANGUAGE_T5:
        return t5_text_config(config);
    case B2_LANGUAGE_LLAMA:
        return llama_text_config(config);
    case B2_LANGUAGE_NONE:
        break;
    }
    return json_pack("{s:s}", "model_type", "opt");
}

/* image_token_index, or null. */
static json_t *image_token(const b2_config *config) {
    return config->image_token >= 0 ? json_integer(config->image_token) : json_null();
}

static json_t *whole_config(const b2_config *config, b2_type type) {
    static const char *const names[] = {
        [B2_F32] = "float32", [B2_F16] = "float16", [B2_BF16] = "bfloat16"};
    bool t5 = config->language == B2_LANGUAGE_T5;

    return json_pack(
        "{s:s, s:[s], s:o, s:i, s:i, s:b, s:s, s:o, s:o, s:o}", "model_type", config->model_type,
        "architectures", config->architecture, "image_token_index", image_token(config),
        "image_text_hidden_size", config->itc_width != 0 ? (int)config->itc_width : 256,
        "num_query_tokens", (int)config->qformer.queries, "use_decoder_only_language_model", !t5,
        "torch_dtype", names[type], "vision_config", vision_config(&config->vit), "qformer_config",
        qformer_config(&config->qformer), "text_config", text_config(config));
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

/* Ids of special tokens; "<pad>" has that of the configuration. */
typedef struct special_ids {
    int start, end, unknown; /* "<s>", "</s>", "<unk>" */
} special_ids;

static special_ids special_ids_of(const b2_config *config) {
    return config->language == B2_LANGUAGE_T5 ? (special_ids){3, 1, 2} : (special_ids){0, 2, 3};
}

/* Every id below the image token's has a token, since the added tokens are numbered from the size
 * of the vocabulary on; "t260" and the like are never the result of encoding. */
static json_t *vocabulary(const b2_config *config) {
    special_ids ids = special_ids_of(config);
    int new_line = config->language == B2_LANGUAGE_OPT ? config->stop_ids[0] : 4 + '\n';
    json_t *vocab = json_pack("{s:i, s:i, s:i, s:i}", "<s>", ids.start, "<pad>", config->pad,
                              "</s>", ids.end, "<unk>", ids.unknown);
    uint16_t codes[256];

    b2_byte_level_table(codes);
    for (int id = 0; id < config->image_token && vocab != NULL; id++) {
        int byte = id == new_line ? '\n' : id - 4;
        char text[16];

        if (id == config->pad || id == ids.start || id == ids.end || id == ids.unknown)
            continue;
        if (byte >= 0 && byte < 256 && (byte != '\n' || id == new_line))
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

static json_t *special(const char *id) {
    return json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", id, "type_id", 0);
}

static json_t *sequence(const char *id) {
    return json_pack("{s:{s:s, s:i}}", "Sequence", "id", id, "type_id", 0);
}

/* "</s>" in front, as the tokenizers of OPT and Vicuna have it, or behind, as T5's. */
static json_t *post_processor(const b2_config *config) {
    bool t5 = config->language == B2_LANGUAGE_T5;
    json_t *single = t5 ? json_pack("[o,o]", sequence("A"), special("</s>"))
                        : json_pack("[o,o]", special("</s>"), sequence("A"));
    json_t *pair =
        t5 ? json_pack("[o,o,o,o]", sequence("A"), special("</s>"), sequence("B"), special("</s>"))
           : json_pack("[o,o,o,o]", special("</s>"), sequence("A"), special("</s>"), sequence("B"));

    return json_pack("{s:s, s:o, s:o, s:{s:{s:s, s:[i], s:[s]}}}", "type", "TemplateProcessing",
                     "single", single, "pair", pair, "special_tokens", "</s>", "id", "</s>", "ids",
                     special_ids_of(config).end, "tokens", "</s>");
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
                     added_token("</s>", special_ids_of(config).end),
                     added_token("<image>", config->image_token), "normalizer", "pre_tokenizer",
                     byte_level(), "post_processor", post_processor(config), "decoder",
                     byte_level(), "model", model);
}

/* ---- the Q-Former's tokenizer --------------------------------------------------------------- */

enum { PAD, UNK, CLS, SEP, FIRST_LETTER };

static json_t *letters(void) {
    json_t *vocab =
        json_pack("{s:i, s:i, s:i, s:i}", "[PAD]", PAD, "[UNK]", UNK, "[CLS]", CLS, "[SEP]", SEP);
    int bad = vocab == NULL;

    for (int i = 0; i < 26; i++) {
        char text[] = {'#', '#', (char)('a' + i), '\0'};

        bad |= json_object_set_new(vocab, text + 2, json_integer(FIRST_LETTER + i));
        bad |= json_object_set_new(vocab, text, json_integer(FIRST_LETTER + 26 + i));
    }
    if (bad) {
        json_decref(vocab);
        vocab = NULL;
    }
    return vocab;
}

static json_t *cls_and_sep(void) {
    return json_pack("{s:s, s:[o,o,o], s:[o,o,o,o,o], s:{s:{s:s, s:[i], s:[s]}, s:{s:s, s:[i], "
                     "s:[s]}}}",
                     "type", "TemplateProcessing", "single", special("[CLS]"), sequence("A"),
                     special("[SEP]"), "pair", special("[CLS]"), sequence("A"), special("[SEP]"),
                     sequence("B"), special("[SEP]"), "special_tokens", "[CLS]", "id", "[CLS]",
                     "ids", CLS, "tokens", "[CLS]", "[SEP]", "id", "[SEP]", "ids", SEP, "tokens",
                     "[SEP]");
}

/* BERT's, with no words but the letters. */
static json_t *wordpiece(void) {
    json_t *model = json_pack("{s:s, s:s, s:s, s:i, s:o}", "type", "WordPiece", "unk_token",
                              "[UNK]", "continuing_subword_prefix", "##",
                              "max_input_chars_per_word", 100, "vocab", letters());

    return json_pack("{s:s, s:n, s:n, s:[o,o,o,o], s:{s:s, s:b, s:b, s:n, s:b}, s:{s:s}, s:o, "
                     "s:{s:s, s:s, s:b}, s:o}",
                     "version", "1.0", "truncation", "padding", "added_tokens",
                     added_token("[PAD]", PAD), added_token("[UNK]", UNK),
                     added_token("[CLS]", CLS), added_token("[SEP]", SEP), "normalizer", "type",
                     "BertNormalizer", "clean_text", 1, "handle_chinese_chars", 1, "strip_accents",
                     "lowercase", 1, "pre_tokenizer", "type", "BertPreTokenizer", "post_processor",
                     cls_and_sep(), "decoder", "type", "WordPiece", "prefix", "##", "cleanup", 1,
                     "model", model);
}

static blip2_status write_wordpiece(const char *directory) {
    blip2_status status =
        put(directory, "tokenizer_config.json",
            json_pack("{s:s, s:s, s:s, s:s, s:s}", "tokenizer_class", "PreTrainedTokenizerFast",
                      "unk_token", "[UNK]", "pad_token", "[PAD]", "cls_token", "[CLS]", "sep_token",
                      "[SEP]"));

    return status < 0 ? status : put(directory, "tokenizer.json", wordpiece());
}

/* ---- the folder --------------------------------------------------------------------------- */

/* The Q-Former's, in a folder of its own. */
static blip2_status write_instruction_tokenizer(const char *directory) {
    char *folder = b2_path_join(directory, "qformer_tokenizer");
    blip2_status status = folder != NULL ? BLIP2_OK : b2_fail_memory();

    if (status == BLIP2_OK && mkdir(folder, 0755) != 0)
        status = b2_fail(BLIP2_EIO, "%s: %s", folder, strerror(errno));
    if (status == BLIP2_OK)
        status = write_wordpiece(folder);
    b2_free(folder);
    return status;
}

/* What a language model wants besides. */
static blip2_status write_language_files(const char *directory, const b2_config *config) {
    blip2_status status;

    if ((status = put(directory, "generation_config.json",
                      json_pack("{s:i, s:i, s:i}", "bos_token_id", config->bos, "eos_token_id",
                                config->stop_ids[0], "pad_token_id", config->pad))) < 0 ||
        (status = put(directory, "processor_config.json",
                      json_pack("{s:o, s:i, s:s}", "image_token",
                                json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", "<image>",
                                          "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized",
                                          0, "special", 1),
                                "num_query_tokens", (int)config->qformer.queries, "processor_class",
                                config->instructed ? "InstructBlipProcessor" : "Blip2Processor"))) <
            0 ||
        (status = put(directory, "tokenizer_config.json",
                      json_pack("{s:s, s:b, s:b, s:s, s:s, s:s, s:s}", "tokenizer_class",
                                "PreTrainedTokenizerFast", "add_bos_token", 1, "add_prefix_space",
                                0, "bos_token", "</s>", "eos_token", "</s>", "unk_token", "</s>",
                                "pad_token", "<pad>"))) < 0)
        return status;
    status = put(directory, "tokenizer.json", tokenizer(config));
    return status == BLIP2_OK && config->instructed ? write_instruction_tokenizer(directory)
                                                    : status;
}

blip2_status model_files_write(const char *directory, const b2_config *config, b2_type type) {
    blip2_status status;

    if ((status = put(directory, "config.json", whole_config(config, type))) < 0 ||
        (status = put(directory, "preprocessor_config.json", image_processor(config))) < 0)
        return status;
    return config->language == B2_LANGUAGE_NONE ? write_wordpiece(directory)
                                                : write_language_files(directory, config);
}
