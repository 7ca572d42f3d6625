/* text_config of T5. */
#include "test_config_t5.h"

#include <stdio.h>
#include <string.h>

#include "files.h"
#include "load/config.h"
#include "run.h"

/* fields: of text_config, behind its type; "" for none. */
static blip2_status parse(b2_config *out, const char *fields) {
    char json[600];

    (void)snprintf(json, sizeof json,
                   "{\"model_type\":\"blip-2\",\"text_config\":{\"model_type\":\"t5\"%s%s}}",
                   *fields != '\0' ? "," : "", fields);
    return b2_config_parse(out, json, strlen(json), "config.json");
}

static b2_t5_config t5_of(const char *fields) {
    b2_config c;

    ck_assert_status_ok(parse(&c, fields));
    ck_assert_int_eq(c.language, B2_LANGUAGE_T5);
    return c.t5;
}

START_TEST(defaults_are_those_of_transformers) {
    b2_t5_config t5 = t5_of("");

    ck_assert_uint_eq(t5.vocab, 32128);
    ck_assert_uint_eq(t5.width, 512);
    ck_assert_uint_eq(t5.heads, 8);
    ck_assert_uint_eq(t5.head_size, 64);
    ck_assert_uint_eq(t5.ffn, 2048);
    ck_assert_uint_eq(t5.layers, 6);
    ck_assert_uint_eq(t5.decoder_layers, 6);
    ck_assert_uint_eq(t5.buckets, 32);
    ck_assert_uint_eq(t5.max_distance, 128);
    ck_assert_int_eq(t5.act, B2_ACT_RELU);
    ck_assert(!t5.gated && t5.scaled_head);
    ck_assert(t5.eps == 1e-6f);
    ck_assert_int_eq(t5.start, 0);
}
END_TEST

START_TEST(reads_every_field) {
    b2_t5_config t5 =
        t5_of("\"vocab_size\":272,\"d_model\":60,\"num_heads\":3,\"d_kv\":24,\"d_ff\":84,"
              "\"num_layers\":3,\"num_decoder_layers\":2,\"layer_norm_epsilon\":1e-5,"
              "\"relative_attention_num_buckets\":16,\"relative_attention_max_distance\":64,"
              "\"feed_forward_proj\":\"gated-gelu\",\"tie_word_embeddings\":false,"
              "\"decoder_start_token_id\":5");

    ck_assert_uint_eq(t5.vocab, 272);
    ck_assert_uint_eq(t5.width, 60);
    ck_assert_uint_eq(t5.heads, 3);
    ck_assert_uint_eq(t5.head_size, 24);
    ck_assert_uint_eq(t5.ffn, 84);
    ck_assert_uint_eq(t5.layers, 3);
    ck_assert_uint_eq(t5.decoder_layers, 2);
    ck_assert_uint_eq(t5.buckets, 16);
    ck_assert_uint_eq(t5.max_distance, 64);
    ck_assert(t5.eps == 1e-5f);
    ck_assert(!t5.scaled_head);
    ck_assert_int_eq(t5.start, 5);
    ck_assert_uint_eq(t5_of("\"num_layers\":4,\"num_decoder_layers\":null").decoder_layers, 4);
}
END_TEST

START_TEST(feed_forward_parts) {
    static const struct {
        const char *fields;
        b2_activation act;
        bool gated;
    } cases[] = {
        {"\"feed_forward_proj\":\"gelu\"", B2_ACT_GELU, false},
        {"\"feed_forward_proj\":\"gated-gelu\"", B2_ACT_GELU_TANH, true},
        {"\"feed_forward_proj\":\"gated-relu\"", B2_ACT_RELU, true},
        {"\"feed_forward_proj\":\"gated-silu\"", B2_ACT_SILU, true},
        {"\"feed_forward_proj\":\"gated-gelu\",\"dense_act_fn\":\"gelu\"", B2_ACT_GELU, true},
        {"\"dense_act_fn\":\"gelu_new\",\"is_gated_act\":true", B2_ACT_GELU_TANH, true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        b2_t5_config t5 = t5_of(cases[i].fields);

        ck_assert_int_eq(t5.act, cases[i].act);
        ck_assert_int_eq(t5.gated, cases[i].gated);
    }
}
END_TEST

/* As transformers finds it: the field, else bos_token_id, else T5's own rule, the padding. */
START_TEST(a_text_starts_somewhere) {
    ck_assert_int_eq(t5_of("\"bos_token_id\":7").start, 7);
    ck_assert_int_eq(t5_of("\"bos_token_id\":7,\"decoder_start_token_id\":0").start, 0);
    ck_assert_int_eq(t5_of("\"pad_token_id\":9").start, 9);
}
END_TEST

START_TEST(refuses_bad_values) {
    static const struct {
        const char *fields;
        blip2_status status;
        const char *part;
    } bad[] = {
        {"\"feed_forward_proj\":\"gated-mish\"", BLIP2_ENOTSUP,
         "config.json: text_config.feed_forward_proj: \"gated-mish\" is not supported"},
        {"\"feed_forward_proj\":\"gated\"", BLIP2_ENOTSUP, "feed_forward_proj"},
        {"\"feed_forward_proj\":\"a-relu\"", BLIP2_ENOTSUP, "feed_forward_proj"},
        {"\"feed_forward_proj\":3", BLIP2_EFORMAT, "feed_forward_proj"},
        {"\"dense_act_fn\":\"mish\"", BLIP2_ENOTSUP, "dense_act_fn"},
        {"\"d_kv\":0", BLIP2_EFORMAT, "text_config.d_kv: expected an integer in 1..4096, got 0"},
        {"\"num_heads\":0", BLIP2_EFORMAT, "num_heads"},
        {"\"num_decoder_layers\":0", BLIP2_EFORMAT, "num_decoder_layers"},
        {"\"relative_attention_num_buckets\":3", BLIP2_EFORMAT, "num_buckets"},
        {"\"relative_attention_num_buckets\":2000", BLIP2_EFORMAT, "num_buckets"},
        {"\"relative_attention_max_distance\":16", BLIP2_EFORMAT,
         "text_config.relative_attention_max_distance: expected more than half of 32 buckets, "
         "got 16"},
        {"\"decoder_start_token_id\":32128", BLIP2_EFORMAT, "decoder_start_token_id"},
        {"\"decoder_start_token_id\":null", BLIP2_EFORMAT, "decoder_start_token_id"},
        {"\"pad_token_id\":null", BLIP2_EFORMAT, "decoder_start_token_id"},
        {"\"tie_word_embeddings\":1", BLIP2_EFORMAT, "tie_word_embeddings"},
    };
    b2_config c;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_status(parse(&c, bad[i].fields), bad[i].status);
        expect_message(bad[i].part);
    }
}
END_TEST

TCase *t5_config_tests(void) {
    TCase *tests = tcase_create("t5");

    tcase_add_test(tests, defaults_are_those_of_transformers);
    tcase_add_test(tests, reads_every_field);
    tcase_add_test(tests, feed_forward_parts);
    tcase_add_test(tests, a_text_starts_somewhere);
    tcase_add_test(tests, refuses_bad_values);
    return tests;
}
