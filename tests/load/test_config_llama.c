/* text_config of Llama, and what InstructBLIP adds. */
#include "test_config_llama.h"

#include <stdio.h>
#include <string.h>

#include "files.h"
#include "load/config.h"
#include "run.h"

/* fields: of text_config, behind its type; "" for none. */
static blip2_status parse(b2_config *out, const char *fields) {
    char json[800];

    (void)snprintf(
        json, sizeof json,
        "{\"model_type\":\"instructblip\",\"text_config\":{\"model_type\":\"llama\"%s%s}}",
        *fields != '\0' ? "," : "", fields);
    return b2_config_parse(out, json, strlen(json), "config.json");
}

static b2_llama_config llama_of(const char *fields) {
    b2_config c;

    ck_assert_status_ok(parse(&c, fields));
    ck_assert_int_eq(c.language, B2_LANGUAGE_LLAMA);
    return c.llama;
}

START_TEST(defaults_are_those_of_transformers) {
    b2_config c;

    ck_assert_status_ok(parse(&c, ""));
    ck_assert_uint_eq(c.llama.vocab, 32000);
    ck_assert_uint_eq(c.llama.width, 4096);
    ck_assert_uint_eq(c.llama.layers, 32);
    ck_assert_uint_eq(c.llama.heads, 32);
    ck_assert_uint_eq(c.llama.kv_heads, 32);
    ck_assert_uint_eq(c.llama.head_size, 128);
    ck_assert_uint_eq(c.llama.ffn, 11008);
    ck_assert_uint_eq(c.llama.positions, 2048);
    ck_assert_int_eq(c.llama.act, B2_ACT_SILU);
    ck_assert(c.llama.eps == 1e-6f && !c.llama.tied);
    ck_assert(c.llama.rope_theta == 10000 && c.llama.rope_factor == 1);
    ck_assert_int_eq(c.bos, 1);
    ck_assert_int_eq(c.pad, -1);
    ck_assert_uint_eq(c.stop_count, 1);
    ck_assert_int_eq(c.stop_ids[0], 2);
    ck_assert(c.instructed && c.qformer.text_input);
}
END_TEST

START_TEST(reads_every_field) {
    b2_llama_config l =
        llama_of("\"vocab_size\":400,\"hidden_size\":80,\"num_hidden_layers\":3,"
                 "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":24,"
                 "\"intermediate_size\":112,\"max_position_embeddings\":256,"
                 "\"hidden_act\":\"gelu\",\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,"
                 "\"rope_theta\":500000.0,\"attention_bias\":false,\"mlp_bias\":false,"
                 "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}");

    ck_assert_uint_eq(l.vocab, 400);
    ck_assert_uint_eq(l.width, 80);
    ck_assert_uint_eq(l.layers, 3);
    ck_assert_uint_eq(l.heads, 4);
    ck_assert_uint_eq(l.kv_heads, 2);
    ck_assert_uint_eq(l.head_size, 24);
    ck_assert_uint_eq(l.ffn, 112);
    ck_assert_uint_eq(l.positions, 256);
    ck_assert_int_eq(l.act, B2_ACT_GELU);
    ck_assert(l.eps == 1e-5f && l.tied);
    ck_assert(l.rope_theta == 500000 && l.rope_factor == 2);
}
END_TEST

/* Before transformers 5 and since then. */
START_TEST(rotary_positions_have_two_spellings) {
    static const struct {
        const char *fields;
        float theta, factor;
    } ways[] = {
        {"\"rope_scaling\":null,\"head_dim\":null,\"num_key_value_heads\":null", 10000, 1},
        {"\"rope_scaling\":{\"rope_type\":\"default\"}", 10000, 1},
        {"\"rope_parameters\":{\"rope_theta\":20000.0,\"rope_type\":\"default\"}", 20000, 1},
        {"\"rope_parameters\":{\"rope_theta\":20000,\"rope_type\":\"linear\",\"factor\":4}", 20000,
         4},
    };

    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        b2_llama_config l = llama_of(ways[i].fields);

        ck_assert(l.rope_theta == ways[i].theta && l.rope_factor == ways[i].factor);
    }
}
END_TEST

START_TEST(refuses_bad_values) {
    static const struct {
        const char *fields;
        blip2_status status;
        const char *part;
    } bad[] = {
        {"\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}", BLIP2_ENOTSUP,
         "config.json: text_config.rope_scaling.rope_type: \"dynamic\" is not supported, only "
         "default and linear"},
        {"\"rope_parameters\":{\"rope_type\":\"yarn\"}", BLIP2_ENOTSUP,
         "text_config.rope_parameters.rope_type: \"yarn\""},
        {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":0}", BLIP2_EFORMAT,
         "text_config.rope_scaling.factor"},
        {"\"rope_scaling\":[]", BLIP2_EFORMAT, "text_config.rope_scaling: expected an object"},
        {"\"rope_theta\":-1", BLIP2_EFORMAT, "text_config.rope_theta"},
        {"\"num_key_value_heads\":5", BLIP2_EFORMAT,
         "num_key_value_heads: expected a divisor of num_attention_heads, got 5"},
        {"\"num_key_value_heads\":0", BLIP2_EFORMAT, "num_key_value_heads"},
        {"\"head_dim\":7", BLIP2_EFORMAT, "text_config.head_dim: expected an even size, got 7"},
        {"\"hidden_size\":4095", BLIP2_EFORMAT, "multiple of 32 heads"},
        {"\"attention_bias\":true", BLIP2_ENOTSUP, "attention_bias"},
        {"\"mlp_bias\":true", BLIP2_ENOTSUP, "mlp_bias"},
        {"\"hidden_act\":\"mish\"", BLIP2_ENOTSUP, "hidden_act"},
        {"\"rms_norm_eps\":0", BLIP2_EFORMAT, "rms_norm_eps"},
        {"\"tie_word_embeddings\":1", BLIP2_EFORMAT, "tie_word_embeddings"},
    };
    b2_config c;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_status(parse(&c, bad[i].fields), bad[i].status);
        expect_message(bad[i].part);
    }
}
END_TEST

TCase *llama_config_tests(void) {
    TCase *tests = tcase_create("llama");

    tcase_add_test(tests, defaults_are_those_of_transformers);
    tcase_add_test(tests, reads_every_field);
    tcase_add_test(tests, rotary_positions_have_two_spellings);
    tcase_add_test(tests, refuses_bad_values);
    return tests;
}
