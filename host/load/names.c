#include "load/names.h"

#include <stdio.h>
#include <string.h>

/* BOTH: the .weight and the .bias of one module; VIT: of one that a CLIP tower calls otherwise;
 * LAVIS_BOTH: of one that Hugging Face lacks. */
#define NAME(meaning_, hf_, hf_too_, lavis_, lavis_2_)                                             \
    { .meaning = meaning_, .hf = hf_, .hf_too = hf_too_, .lavis = lavis_, .lavis_2 = lavis_2_ }
#define ONE(id, meaning, hf, hf_too, lavis) [id] = NAME(meaning, hf, hf_too, lavis, NULL)
#define VIT(id, meaning, hf, lavis, clip)                                                          \
    [id##_W] = NAME(meaning " weight", hf ".weight", NULL, lavis ".weight", clip ".weight"),       \
    [id##_B] = NAME(meaning " bias", hf ".bias", NULL, lavis ".bias", clip ".bias")
#define LAVIS_BOTH(id, meaning, lavis)                                                             \
    [id##_W] = NAME(meaning " weight", NULL, NULL, lavis ".weight", NULL),                         \
    [id##_B] = NAME(meaning " bias", NULL, NULL, lavis ".bias", NULL)
#define BOTH(id, meaning, hf, lavis)                                                               \
    [id##_W] = NAME(meaning " weight", hf ".weight", NULL, lavis ".weight", NULL),                 \
    [id##_B] = NAME(meaning " bias", hf ".bias", NULL, lavis ".bias", NULL)

/* A .weight of T5, which has no biases: the same name in LAVIS's T5. */
#define T5(id, meaning, name)                                                                      \
    ONE(id, "T5 " meaning, "language_model." name ".weight", NULL, "t5_model." name ".weight")

#define HF_VIT "vision_model.encoder.layers.{}."
#define LAVIS_VIT "visual_encoder.blocks.{}."
#define CLIP_VIT "visual_encoder.transformer.resblocks.{}."
#define HF_QF "qformer.encoder.layer.{}."
#define LAVIS_QF "Qformer.bert.encoder.layer.{}."
#define LAVIS_HEAD "Qformer.cls.predictions."
#define HF_OPT "language_model.model.decoder."
#define LAVIS_OPT "opt_model.model.decoder."
#define HF_LLAMA "language_model.model."
#define LAVIS_LLAMA "llm_model.model."
#define HF_LLAMA_LAYER HF_LLAMA "layers.{}."
#define LAVIS_LLAMA_LAYER LAVIS_LLAMA "layers.{}."
#define HF_OPT_LAYER HF_OPT "layers.{}."
#define LAVIS_OPT_LAYER LAVIS_OPT "layers.{}."
#define T5_E "encoder.block.{}.layer."
#define T5_D "decoder.block.{}.layer."

/* clang-format off: a table is read by its columns */
static const b2_weight_name names[B2_WEIGHT_ID_COUNT] = {
    /* vision tower */
    [B2_VIT_CLS] = NAME("vision class token", "vision_model.embeddings.class_embedding", NULL,
                        "visual_encoder.cls_token", "visual_encoder.class_embedding"),
    [B2_VIT_POS] = NAME("vision positions", "vision_model.embeddings.position_embedding", NULL,
                        "visual_encoder.pos_embed", "visual_encoder.positional_embedding"),
    VIT(B2_VIT_PATCH, "vision patch", "vision_model.embeddings.patch_embedding",
        "visual_encoder.patch_embed.proj", "visual_encoder.conv1"),
    LAVIS_BOTH(B2_VIT_PRE_LN, "vision first norm", "visual_encoder.ln_pre"),
    VIT(B2_VIT_LN1, "vision norm 1", HF_VIT "layer_norm1", LAVIS_VIT "norm1", CLIP_VIT "ln_1"),
    [B2_VIT_QKV_W] = NAME("vision qkv weight", HF_VIT "self_attn.qkv.weight", NULL,
                          LAVIS_VIT "attn.qkv.weight", CLIP_VIT "attn.in_proj_weight"),
    [B2_VIT_QKV_B] = NAME("vision qkv bias", HF_VIT "self_attn.qkv.bias", NULL,
                          LAVIS_VIT "attn.qkv.bias", CLIP_VIT "attn.in_proj_bias"),
    VIT(B2_VIT_PROJ, "vision attention output", HF_VIT "self_attn.projection",
        LAVIS_VIT "attn.proj", CLIP_VIT "attn.out_proj"),
    VIT(B2_VIT_LN2, "vision norm 2", HF_VIT "layer_norm2", LAVIS_VIT "norm2", CLIP_VIT "ln_2"),
    VIT(B2_VIT_FC1, "vision mlp in", HF_VIT "mlp.fc1", LAVIS_VIT "mlp.fc1", CLIP_VIT "mlp.c_fc"),
    VIT(B2_VIT_FC2, "vision mlp out", HF_VIT "mlp.fc2", LAVIS_VIT "mlp.fc2", CLIP_VIT "mlp.c_proj"),
    BOTH(B2_VIT_POST_LN, "vision last norm", "vision_model.post_layernorm", "ln_vision"),
    /* Q-Former */
    ONE(B2_QF_QUERIES, "Q-Former queries", "query_tokens", NULL, "query_tokens"),
    ONE(B2_QF_EMB_LN_W, "Q-Former input norm weight", "qformer.layernorm.weight",
        "qformer.embeddings.layernorm.weight", "Qformer.bert.embeddings.LayerNorm.weight"),
    ONE(B2_QF_EMB_LN_B, "Q-Former input norm bias", "qformer.layernorm.bias",
        "qformer.embeddings.layernorm.bias", "Qformer.bert.embeddings.LayerNorm.bias"),
    BOTH(B2_QF_SELF_Q, "Q-Former query", HF_QF "attention.attention.query",
         LAVIS_QF "attention.self.query"),
    BOTH(B2_QF_SELF_K, "Q-Former key", HF_QF "attention.attention.key",
         LAVIS_QF "attention.self.key"),
    BOTH(B2_QF_SELF_V, "Q-Former value", HF_QF "attention.attention.value",
         LAVIS_QF "attention.self.value"),
    BOTH(B2_QF_SELF_OUT, "Q-Former attention output", HF_QF "attention.output.dense",
         LAVIS_QF "attention.output.dense"),
    BOTH(B2_QF_SELF_LN, "Q-Former attention norm", HF_QF "attention.output.LayerNorm",
         LAVIS_QF "attention.output.LayerNorm"),
    BOTH(B2_QF_CROSS_Q, "Q-Former cross query", HF_QF "crossattention.attention.query",
         LAVIS_QF "crossattention.self.query"),
    BOTH(B2_QF_CROSS_K, "Q-Former cross key", HF_QF "crossattention.attention.key",
         LAVIS_QF "crossattention.self.key"),
    BOTH(B2_QF_CROSS_V, "Q-Former cross value", HF_QF "crossattention.attention.value",
         LAVIS_QF "crossattention.self.value"),
    BOTH(B2_QF_CROSS_OUT, "Q-Former cross output", HF_QF "crossattention.output.dense",
         LAVIS_QF "crossattention.output.dense"),
    BOTH(B2_QF_CROSS_LN, "Q-Former cross norm", HF_QF "crossattention.output.LayerNorm",
         LAVIS_QF "crossattention.output.LayerNorm"),
    BOTH(B2_QF_QUERY_FC1, "Q-Former mlp in", HF_QF "intermediate_query.dense",
         LAVIS_QF "intermediate_query.dense"),
    BOTH(B2_QF_QUERY_FC2, "Q-Former mlp out", HF_QF "output_query.dense",
         LAVIS_QF "output_query.dense"),
    BOTH(B2_QF_QUERY_LN, "Q-Former mlp norm", HF_QF "output_query.LayerNorm",
         LAVIS_QF "output_query.LayerNorm"),
    BOTH(B2_QF_TEXT_FC1, "Q-Former text mlp in", HF_QF "intermediate.dense",
         LAVIS_QF "intermediate.dense"),
    BOTH(B2_QF_TEXT_FC2, "Q-Former text mlp out", HF_QF "output.dense", LAVIS_QF "output.dense"),
    BOTH(B2_QF_TEXT_LN, "Q-Former text mlp norm", HF_QF "output.LayerNorm",
         LAVIS_QF "output.LayerNorm"),
    ONE(B2_QF_WORDS, "Q-Former word embedding", "embeddings.word_embeddings.weight",
        "qformer.embeddings.word_embeddings.weight",
        "Qformer.bert.embeddings.word_embeddings.weight"),
    ONE(B2_QF_POSITIONS, "Q-Former position embedding", "embeddings.position_embeddings.weight",
        "qformer.embeddings.position_embeddings.weight",
        "Qformer.bert.embeddings.position_embeddings.weight"),
    LAVIS_BOTH(B2_QF_HEAD_DENSE, "Q-Former head", LAVIS_HEAD "transform.dense"),
    LAVIS_BOTH(B2_QF_HEAD_LN, "Q-Former head norm", LAVIS_HEAD "transform.LayerNorm"),
    ONE(B2_QF_HEAD_BIAS, "Q-Former head bias", NULL, NULL, LAVIS_HEAD "bias"),
    LAVIS_BOTH(B2_QF_HEAD_DECODER, "Q-Former head output", LAVIS_HEAD "decoder"),
    BOTH(B2_ITC_VISION, "image-text contrast, image", "vision_projection", "vision_proj"),
    BOTH(B2_ITC_TEXT, "image-text contrast, text", "text_projection", "text_proj"),
    BOTH(B2_ITM, "image-text matching", "itm_head", "itm_head"),
    ONE(B2_ITC_TEMPERATURE, "image-text contrast temperature", NULL, NULL, "temp"),
    [B2_PROJ_W] = {"language projection weight", "language_projection.weight", NULL,
                   "opt_proj.weight", "t5_proj.weight", "llm_proj.weight"},
    [B2_PROJ_B] = {"language projection bias", "language_projection.bias", NULL, "opt_proj.bias",
                   "t5_proj.bias", "llm_proj.bias"},
    /* OPT; a folder of OPT alone has the same names without "language_model." (weights.c) */
    ONE(B2_OPT_TOKENS, "OPT token embedding", HF_OPT "embed_tokens.weight", NULL,
        LAVIS_OPT "embed_tokens.weight"),
    ONE(B2_OPT_POSITIONS, "OPT position embedding", HF_OPT "embed_positions.weight", NULL,
        LAVIS_OPT "embed_positions.weight"),
    ONE(B2_OPT_PROJECT_IN, "OPT input projection", HF_OPT "project_in.weight", NULL,
        LAVIS_OPT "project_in.weight"),
    ONE(B2_OPT_PROJECT_OUT, "OPT output projection", HF_OPT "project_out.weight", NULL,
        LAVIS_OPT "project_out.weight"),
    BOTH(B2_OPT_FINAL_LN, "OPT last norm", HF_OPT "final_layer_norm", LAVIS_OPT "final_layer_norm"),
    ONE(B2_OPT_HEAD_W, "OPT head", "language_model.lm_head.weight", NULL,
        "opt_model.lm_head.weight"),
    BOTH(B2_OPT_Q, "OPT query", HF_OPT_LAYER "self_attn.q_proj",
         LAVIS_OPT_LAYER "self_attn.q_proj"),
    BOTH(B2_OPT_K, "OPT key", HF_OPT_LAYER "self_attn.k_proj", LAVIS_OPT_LAYER "self_attn.k_proj"),
    BOTH(B2_OPT_V, "OPT value", HF_OPT_LAYER "self_attn.v_proj",
         LAVIS_OPT_LAYER "self_attn.v_proj"),
    BOTH(B2_OPT_OUT, "OPT attention output", HF_OPT_LAYER "self_attn.out_proj",
         LAVIS_OPT_LAYER "self_attn.out_proj"),
    BOTH(B2_OPT_ATTN_LN, "OPT attention norm", HF_OPT_LAYER "self_attn_layer_norm",
         LAVIS_OPT_LAYER "self_attn_layer_norm"),
    BOTH(B2_OPT_FC1, "OPT mlp in", HF_OPT_LAYER "fc1", LAVIS_OPT_LAYER "fc1"),
    BOTH(B2_OPT_FC2, "OPT mlp out", HF_OPT_LAYER "fc2", LAVIS_OPT_LAYER "fc2"),
    BOTH(B2_OPT_MLP_LN, "OPT mlp norm", HF_OPT_LAYER "final_layer_norm",
         LAVIS_OPT_LAYER "final_layer_norm"),
    /* Llama; alone likewise */
    ONE(B2_LLAMA_TOKENS, "Llama token embedding", HF_LLAMA "embed_tokens.weight", NULL,
        LAVIS_LLAMA "embed_tokens.weight"),
    ONE(B2_LLAMA_NORM, "Llama last norm", HF_LLAMA "norm.weight", NULL, LAVIS_LLAMA "norm.weight"),
    ONE(B2_LLAMA_HEAD, "Llama head", "language_model.lm_head.weight", NULL,
        "llm_model.lm_head.weight"),
    ONE(B2_LLAMA_ATTN_NORM, "Llama attention norm", HF_LLAMA_LAYER "input_layernorm.weight", NULL,
        LAVIS_LLAMA_LAYER "input_layernorm.weight"),
    ONE(B2_LLAMA_Q, "Llama query", HF_LLAMA_LAYER "self_attn.q_proj.weight", NULL,
        LAVIS_LLAMA_LAYER "self_attn.q_proj.weight"),
    ONE(B2_LLAMA_K, "Llama key", HF_LLAMA_LAYER "self_attn.k_proj.weight", NULL,
        LAVIS_LLAMA_LAYER "self_attn.k_proj.weight"),
    ONE(B2_LLAMA_V, "Llama value", HF_LLAMA_LAYER "self_attn.v_proj.weight", NULL,
        LAVIS_LLAMA_LAYER "self_attn.v_proj.weight"),
    ONE(B2_LLAMA_OUT, "Llama attention output", HF_LLAMA_LAYER "self_attn.o_proj.weight", NULL,
        LAVIS_LLAMA_LAYER "self_attn.o_proj.weight"),
    ONE(B2_LLAMA_MLP_NORM, "Llama mlp norm", HF_LLAMA_LAYER "post_attention_layernorm.weight", NULL,
        LAVIS_LLAMA_LAYER "post_attention_layernorm.weight"),
    ONE(B2_LLAMA_GATE, "Llama mlp gate", HF_LLAMA_LAYER "mlp.gate_proj.weight", NULL,
        LAVIS_LLAMA_LAYER "mlp.gate_proj.weight"),
    ONE(B2_LLAMA_UP, "Llama mlp in", HF_LLAMA_LAYER "mlp.up_proj.weight", NULL,
        LAVIS_LLAMA_LAYER "mlp.up_proj.weight"),
    ONE(B2_LLAMA_DOWN, "Llama mlp out", HF_LLAMA_LAYER "mlp.down_proj.weight", NULL,
        LAVIS_LLAMA_LAYER "mlp.down_proj.weight"),
    /* T5; a folder of T5 alone has the same names without "language_model." (weights.c) */
    T5(B2_T5_TOKENS, "token embedding", "shared"),
    T5(B2_T5_E_TOKENS, "token embedding, again", "encoder.embed_tokens"),
    T5(B2_T5_D_TOKENS, "token embedding, again", "decoder.embed_tokens"),
    T5(B2_T5_HEAD, "head", "lm_head"),
    T5(B2_T5_E_BUCKETS, "encoder relative positions",
       "encoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
    T5(B2_T5_E_FINAL_LN, "encoder last norm", "encoder.final_layer_norm"),
    T5(B2_T5_E_LN, "encoder attention norm", T5_E "0.layer_norm"),
    T5(B2_T5_E_Q, "encoder query", T5_E "0.SelfAttention.q"),
    T5(B2_T5_E_K, "encoder key", T5_E "0.SelfAttention.k"),
    T5(B2_T5_E_V, "encoder value", T5_E "0.SelfAttention.v"),
    T5(B2_T5_E_OUT, "encoder attention output", T5_E "0.SelfAttention.o"),
    T5(B2_T5_E_MLP_LN, "encoder mlp norm", T5_E "1.layer_norm"),
    T5(B2_T5_E_WI, "encoder mlp in", T5_E "1.DenseReluDense.wi"),
    T5(B2_T5_E_WI_0, "encoder mlp gate", T5_E "1.DenseReluDense.wi_0"),
    T5(B2_T5_E_WI_1, "encoder mlp in", T5_E "1.DenseReluDense.wi_1"),
    T5(B2_T5_E_WO, "encoder mlp out", T5_E "1.DenseReluDense.wo"),
    T5(B2_T5_D_BUCKETS, "decoder relative positions",
       "decoder.block.0.layer.0.SelfAttention.relative_attention_bias"),
    T5(B2_T5_D_FINAL_LN, "decoder last norm", "decoder.final_layer_norm"),
    T5(B2_T5_D_LN, "decoder attention norm", T5_D "0.layer_norm"),
    T5(B2_T5_D_Q, "decoder query", T5_D "0.SelfAttention.q"),
    T5(B2_T5_D_K, "decoder key", T5_D "0.SelfAttention.k"),
    T5(B2_T5_D_V, "decoder value", T5_D "0.SelfAttention.v"),
    T5(B2_T5_D_OUT, "decoder attention output", T5_D "0.SelfAttention.o"),
    T5(B2_T5_D_CROSS_LN, "decoder cross norm", T5_D "1.layer_norm"),
    T5(B2_T5_D_CROSS_Q, "decoder cross query", T5_D "1.EncDecAttention.q"),
    T5(B2_T5_D_CROSS_K, "decoder cross key", T5_D "1.EncDecAttention.k"),
    T5(B2_T5_D_CROSS_V, "decoder cross value", T5_D "1.EncDecAttention.v"),
    T5(B2_T5_D_CROSS_OUT, "decoder cross output", T5_D "1.EncDecAttention.o"),
    T5(B2_T5_D_MLP_LN, "decoder mlp norm", T5_D "2.layer_norm"),
    T5(B2_T5_D_WI, "decoder mlp in", T5_D "2.DenseReluDense.wi"),
    T5(B2_T5_D_WI_0, "decoder mlp gate", T5_D "2.DenseReluDense.wi_0"),
    T5(B2_T5_D_WI_1, "decoder mlp in", T5_D "2.DenseReluDense.wi_1"),
    T5(B2_T5_D_WO, "decoder mlp out", T5_D "2.DenseReluDense.wo"),
};
/* clang-format on */

const b2_weight_name *b2_weight_name_of(b2_weight_id id) {
    return &names[id];
}

bool b2_weight_name_fill(char *text, size_t size, const char *pattern, uint32_t layer) {
    const char *hole = strstr(pattern, "{}");
    int n;

    if (hole == NULL)
        n = snprintf(text, size, "%s", pattern);
    else
        n = snprintf(text, size, "%.*s%u%s", (int)(hole - pattern), pattern, layer, hole + 2);
    return n >= 0 && (size_t)n < size;
}
