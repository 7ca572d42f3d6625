/* config.json, and folders with it and the image processor's file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "files.h"
#include "load/config.h"
#include "run.h"
#include "test_config_llama.h"
#include "test_config_t5.h"
#include "test_processor.h"

static blip2_status parse(b2_config *out, const char *json) {
    return b2_config_parse(out, json, strlen(json), "config.json");
}

/* The parse fails with this status and mentions part; out is cleared. */
static void refuse(const char *json, blip2_status expected, const char *part) {
    static const b2_config zero;
    b2_config config;

    memset(&config, 1, sizeof config);
    ck_assert_status(parse(&config, json), expected);
    expect_message(part);
    ck_assert_mem_eq(&config, &zero, sizeof config);
}

START_TEST(defaults_are_those_of_transformers) {
    b2_config c;

    ck_assert_status_ok(parse(&c, "{\"model_type\":\"blip-2\"}"));
    ck_assert_str_eq(c.model_type, "blip-2");
    ck_assert_str_eq(c.architecture, "");
    ck_assert_uint_eq(c.vit.width, 1408);
    ck_assert_uint_eq(c.vit.layers, 39);
    ck_assert_uint_eq(c.vit.heads, 16);
    ck_assert_uint_eq(c.vit.ffn, 6144);
    ck_assert_uint_eq(c.vit.image, 224);
    ck_assert_uint_eq(c.vit.patch, 14);
    ck_assert_int_eq(c.vit.act, B2_ACT_GELU);
    ck_assert(c.vit.block_eps == 1e-6f && c.vit.post_eps == 1e-6f);
    ck_assert(!c.vit.resize_positions);
    ck_assert_uint_eq(c.qformer.queries, 32);
    ck_assert_uint_eq(c.qformer.width, 768);
    ck_assert_uint_eq(c.qformer.layers, 12);
    ck_assert_uint_eq(c.qformer.heads, 12);
    ck_assert_uint_eq(c.qformer.ffn, 3072);
    ck_assert_uint_eq(c.qformer.vocab, 30522);
    ck_assert_uint_eq(c.qformer.positions, 512);
    ck_assert_uint_eq(c.qformer.cross_every, 2);
    ck_assert_uint_eq(c.qformer.vision_width, 1408);
    ck_assert_int_eq(c.qformer.act, B2_ACT_GELU);
    ck_assert(c.qformer.eps == 1e-12f && !c.qformer.text_input);
    ck_assert_int_eq(c.language, B2_LANGUAGE_OPT);
    ck_assert_uint_eq(c.opt.vocab, 50272);
    ck_assert_uint_eq(c.opt.width, 768);
    ck_assert_uint_eq(c.opt.layers, 12);
    ck_assert_uint_eq(c.opt.heads, 12);
    ck_assert_uint_eq(c.opt.ffn, 3072);
    ck_assert_uint_eq(c.opt.positions, 2048);
    ck_assert_uint_eq(c.opt.embed, 768);
    ck_assert_int_eq(c.opt.act, B2_ACT_RELU);
    ck_assert(c.opt.eps == 1e-5f && c.opt.pre_norm);
    ck_assert_uint_eq(c.image.width, 224);
    ck_assert_uint_eq(c.image.height, 224);
    ck_assert(c.image.mean[2] == 0.40821073f && c.image.std[0] == 0.26862954f);
    ck_assert_int_eq(c.image_token, -1);
    ck_assert_int_eq(c.bos, 2);
    ck_assert_int_eq(c.pad, 1);
    ck_assert_uint_eq(c.stop_count, 1);
    ck_assert_int_eq(c.stop_ids[0], 2);
    ck_assert_uint_eq(c.itc_width, 256);
}
END_TEST

START_TEST(reads_every_field) {
    b2_config c;

    ck_assert_status_ok(parse(
        &c,
        "{\"model_type\":\"blip-2\",\"architectures\":[\"Blip2ForConditionalGeneration\"],"
        "\"num_query_tokens\":5,\"image_token_index\":90,\"image_text_hidden_size\":11,"
        "\"vision_config\":{\"hidden_size\":12,\"num_hidden_layers\":2,\"num_attention_heads\":3,"
        "\"intermediate_size\":13,\"image_size\":28,\"patch_size\":7,\"layer_norm_eps\":0.5,"
        "\"hidden_act\":\"quick_gelu\",\"qkv_bias\":true,\"dropout\":null},"
        "\"qformer_config\":{\"hidden_size\":14,\"num_hidden_layers\":4,\"num_attention_heads\":7,"
        "\"intermediate_size\":15,\"vocab_size\":16,\"max_position_embeddings\":17,"
        "\"cross_attention_frequency\":3,\"layer_norm_eps\":1,\"hidden_act\":\"gelu_new\","
        "\"use_qformer_text_input\":true,\"encoder_hidden_size\":999},"
        "\"text_config\":{\"model_type\":\"opt\",\"vocab_size\":91,\"hidden_size\":18,"
        "\"num_hidden_layers\":5,\"num_attention_heads\":2,\"ffn_dim\":19,"
        "\"max_position_embeddings\":20,\"word_embed_proj_dim\":21,"
        "\"activation_function\":\"gelu\",\"do_layer_norm_before\":false,"
        "\"bos_token_id\":4,\"pad_token_id\":null,\"eos_token_id\":[6,7]}}"));
    ck_assert_str_eq(c.architecture, "Blip2ForConditionalGeneration");
    ck_assert_uint_eq(c.vit.width, 12);
    ck_assert_uint_eq(c.vit.layers, 2);
    ck_assert_uint_eq(c.vit.heads, 3);
    ck_assert_uint_eq(c.vit.ffn, 13);
    ck_assert_uint_eq(c.vit.image, 28);
    ck_assert_uint_eq(c.vit.patch, 7);
    ck_assert_int_eq(c.vit.act, B2_ACT_QUICK_GELU);
    ck_assert(c.vit.block_eps == 0.5f && c.vit.post_eps == 0.5f);
    ck_assert_uint_eq(c.qformer.queries, 5);
    ck_assert_uint_eq(c.qformer.width, 14);
    ck_assert_uint_eq(c.qformer.layers, 4);
    ck_assert_uint_eq(c.qformer.heads, 7);
    ck_assert_uint_eq(c.qformer.ffn, 15);
    ck_assert_uint_eq(c.qformer.vocab, 16);
    ck_assert_uint_eq(c.qformer.positions, 17);
    ck_assert_uint_eq(c.qformer.cross_every, 3);
    ck_assert_uint_eq(c.qformer.vision_width, 12);
    ck_assert_int_eq(c.qformer.act, B2_ACT_GELU_TANH);
    ck_assert(c.qformer.eps == 1 && c.qformer.text_input);
    ck_assert_uint_eq(c.opt.vocab, 91);
    ck_assert_uint_eq(c.opt.width, 18);
    ck_assert_uint_eq(c.opt.layers, 5);
    ck_assert_uint_eq(c.opt.heads, 2);
    ck_assert_uint_eq(c.opt.ffn, 19);
    ck_assert_uint_eq(c.opt.positions, 20);
    ck_assert_uint_eq(c.opt.embed, 21);
    ck_assert_int_eq(c.opt.act, B2_ACT_GELU);
    ck_assert(!c.opt.pre_norm);
    ck_assert_int_eq(c.image_token, 90);
    ck_assert_int_eq(c.bos, 4);
    ck_assert_int_eq(c.pad, -1);
    ck_assert_uint_eq(c.stop_count, 2);
    ck_assert_int_eq(c.stop_ids[1], 7);
    ck_assert_uint_eq(c.itc_width, 11);
    ck_assert_uint_eq(c.image.width, 28);
}
END_TEST

START_TEST(knows_the_language_models) {
    b2_config c;

    ck_assert_status_ok(parse(&c, "{\"model_type\":\"blip-2\",\"text_config\":"
                                  "{\"model_type\":\"t5\",\"d_model\":60}}"));
    ck_assert_int_eq(c.language, B2_LANGUAGE_T5);
    ck_assert_int_eq(c.bos, -1);
    ck_assert_int_eq(c.pad, 0);
    ck_assert_int_eq(c.stop_ids[0], 1);
    ck_assert_status_ok(parse(&c, "{\"model_type\":\"instructblip\",\"text_config\":"
                                  "{\"model_type\":\"llama\",\"eos_token_id\":null}}"));
    ck_assert_int_eq(c.language, B2_LANGUAGE_LLAMA);
    ck_assert_uint_eq(c.stop_count, 0);
    ck_assert(c.qformer.text_input);
    ck_assert_status_ok(
        parse(&c, "{\"model_type\":\"blip-2\",\"architectures\":[\"Blip2ForImageTextRetrieval\"],"
                  "\"text_config\":{\"model_type\":\"opt\"}}"));
    ck_assert_int_eq(c.language, B2_LANGUAGE_NONE);
    refuse("{\"model_type\":\"blip-2\",\"text_config\":{\"model_type\":\"bloom\"}}", BLIP2_ENOTSUP,
           "bloom");
    refuse("{\"model_type\":\"llava\"}", BLIP2_ENOTSUP, "llava");
    refuse("{}", BLIP2_EFORMAT, "model_type");
}
END_TEST

START_TEST(refuses_bad_values) {
    static const struct {
        const char *section, *field, *part;
    } bad[] = {
        {"vision_config", "\"hidden_size\":\"abc\"",
         "config.json: vision_config.hidden_size: expected an integer in 1..65536, got \"abc\""},
        {"vision_config", "\"hidden_size\":0", "got 0"},
        {"vision_config", "\"hidden_size\":-1408", "got -1408"},
        {"vision_config", "\"hidden_size\":1408.0", "got 1408"},
        {"vision_config", "\"hidden_size\":1e9", "got 1e+09"},
        {"vision_config", "\"hidden_size\":1048577", "got 1048577"},
        {"vision_config", "\"hidden_size\":9223372036854775807", "got 9223372036854775807"},
        {"vision_config", "\"hidden_size\":null", "got null"},
        {"vision_config", "\"hidden_size\":[]", "got an array"},
        {"vision_config", "\"hidden_size\":{}", "got an object"},
        {"vision_config", "\"hidden_size\":true", "got true"},
        {"vision_config", "\"num_attention_heads\":3", "multiple of 3 heads"},
        {"vision_config", "\"num_attention_heads\":0", "num_attention_heads"},
        {"vision_config", "\"num_hidden_layers\":100000", "num_hidden_layers"},
        {"vision_config", "\"image_size\":225", "multiples of the patch size 14"},
        {"vision_config", "\"image_size\":8192,\"patch_size\":1", "at most 65536 patches"},
        {"vision_config", "\"patch_size\":0", "patch_size"},
        {"vision_config", "\"layer_norm_eps\":-1e-6", "layer_norm_eps"},
        {"vision_config", "\"layer_norm_eps\":0", "layer_norm_eps"},
        {"vision_config", "\"layer_norm_eps\":1e-300", "layer_norm_eps"},
        {"vision_config", "\"layer_norm_eps\":1e300", "layer_norm_eps"},
        {"vision_config", "\"layer_norm_eps\":1e400", "real number overflow"},
        {"vision_config", "\"layer_norm_eps\":NaN", "not valid JSON"},
        {"vision_config", "\"layer_norm_eps\":\"x\"", "layer_norm_eps"},
        {"vision_config", "\"hidden_act\":3", "hidden_act"},
        {"vision_config", "\"hidden_size\":1408,\"hidden_size\":1408", "duplicate"},
        {"vision_config", "\"hidden_size\":99999999999999999999", "too big integer"},
        {"qformer_config", "\"hidden_size\":767", "multiple of 12 heads"},
        {"qformer_config", "\"cross_attention_frequency\":0", "cross_attention_frequency"},
        {"qformer_config", "\"use_qformer_text_input\":1", "true or false"},
        {"text_config", "\"vocab_size\":2000000", "text_config.vocab_size"},
        {"text_config", "\"word_embed_proj_dim\":0", "word_embed_proj_dim"},
        {"text_config", "\"eos_token_id\":[1,2,3,4,5,6,7,8,9]", "at most 8"},
        {"text_config", "\"eos_token_id\":[1,\"2\"]", "eos_token_id"},
        {"text_config", "\"eos_token_id\":-2", "eos_token_id"},
        {"text_config", "\"bos_token_id\":99999999", "bos_token_id"},
        {"text_config", "\"model_type\":7", "text_config.model_type"},
    };
    char json[400];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        (void)snprintf(json, sizeof json, "{\"model_type\":\"blip-2\",\"%s\":{%s}}", bad[i].section,
                       bad[i].field);
        refuse(json, BLIP2_EFORMAT, bad[i].part);
    }
    refuse("{\"model_type\":\"blip-2\",\"vision_config\":[]}", BLIP2_EFORMAT, "vision_config");
    refuse("{\"model_type\":\"blip-2\",\"num_query_tokens\":0}", BLIP2_EFORMAT, "num_query_tokens");
    refuse("{\"model_type\":\"blip-2\",\"image_token_index\":-1}", BLIP2_EFORMAT, "image_token");
    refuse("{\"model_type\":\"blip-2\",\"architectures\":\"x\"}", BLIP2_EFORMAT, "architectures");
    refuse("[]", BLIP2_EFORMAT, "expected an object");
    refuse("", BLIP2_EFORMAT, "not valid JSON");
    refuse("null", BLIP2_EFORMAT, "not valid JSON");
}
END_TEST

START_TEST(refuses_what_is_not_built) {
    static const char *const fields[] = {
        "\"vision_config\":{\"qkv_bias\":false}",
        "\"vision_config\":{\"hidden_act\":\"mish\"}",
        "\"text_config\":{\"enable_bias\":false}",
        "\"text_config\":{\"_remove_final_layer_norm\":true}",
        "\"text_config\":{\"layer_norm_elementwise_affine\":false}",
    };
    char json[200];

    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        (void)snprintf(json, sizeof json, "{\"model_type\":\"blip-2\",%s}", fields[i]);
        refuse(json, BLIP2_ENOTSUP, "is not supported");
    }
}
END_TEST

START_TEST(survives_deep_and_cut_json) {
    static const char text[] = "{\"model_type\":\"blip-2\",\"architectures\":[\"x\"],\"vision_"
                               "config\":{\"image_size\":28},"
                               "\"text_config\":{\"eos_token_id\":[1,2]}}";
    char *deep = malloc(1000001);
    b2_config config;

    memset(deep, '[', 1000000);
    deep[1000000] = '\0';
    refuse(deep, BLIP2_EFORMAT, "nested deeper than 64");
    free(deep);
    for (size_t size = 0; size < sizeof text - 1; size++) {
        char *cut = malloc(size + 1);

        memcpy(cut, text, size);
        ck_assert_status(b2_config_parse(&config, cut, size, "config.json"), BLIP2_EFORMAT);
        free(cut);
    }
    for (size_t bit = 0; bit < (sizeof text - 1) * 8; bit++) {
        char flipped[sizeof text];
        blip2_status status;

        memcpy(flipped, text, sizeof text);
        flipped[bit / 8] = (char)(flipped[bit / 8] ^ (1 << bit % 8));
        status = b2_config_parse(&config, flipped, sizeof text - 1, "config.json");
        ck_assert(status == BLIP2_OK || status == BLIP2_EFORMAT || status == BLIP2_ENOTSUP);
    }
}
END_TEST

/* Brackets within texts are no nesting, also behind an escaped quote. */
START_TEST(reads_brackets_in_texts) {
    char json[300], brackets[101] = {0};
    b2_config config;

    memset(brackets, '[', 100);
    (void)snprintf(json, sizeof json, "{\"model_type\":\"blip-2\",\"x\":\"a%s\"}", brackets);
    ck_assert_status_ok(parse(&config, json));
    (void)snprintf(json, sizeof json, "{\"model_type\":\"blip-2\",\"x\":\"a\\\"%s\"}", brackets);
    ck_assert_status_ok(parse(&config, json));
    (void)snprintf(json, sizeof json, "{\"model_type\":\"blip-2\",\"x\":\"a\\\\\",\"y\":%s}",
                   brackets);
    refuse(json, BLIP2_EFORMAT, "nested deeper");
}
END_TEST

START_TEST(reads_folders) {
    static const char model[] = "{\"model_type\":\"blip-2\"}";
    static const char old[] = "{\"num_query_tokens\":32}";
    static const char pre[] = "{\"size\":{\"height\":28,\"width\":28}}";
    static const char nested[] = "{\"image_processor\":{\"size\":{\"height\":56,\"width\":56}}}";
    static const char bad[] = "{\"size\":{\"height\":-1,\"width\":28}}";
    char folder[256];
    b2_config c;

    make_folder(folder, sizeof folder);
    ck_assert_status(b2_config_read(&c, folder, NULL), BLIP2_EIO);
    expect_message("config.json");
    write_file(folder, "config.json", model, sizeof model - 1);
    ck_assert_status_ok(b2_config_read(&c, folder, NULL));
    ck_assert_uint_eq(c.image.width, 224);
    write_file(folder, "processor_config.json", old, sizeof old - 1);
    write_file(folder, "preprocessor_config.json", pre, sizeof pre - 1);
    ck_assert_status_ok(b2_config_read(&c, folder, NULL));
    ck_assert_uint_eq(c.image.width, 28);
    write_file(folder, "processor_config.json", nested, sizeof nested - 1);
    ck_assert_status_ok(b2_config_read(&c, folder, NULL));
    ck_assert_uint_eq(c.image.width, 56);
    write_file(folder, "processor_config.json", old, sizeof old - 1);
    write_file(folder, "preprocessor_config.json", bad, sizeof bad - 1);
    ck_assert_status(b2_config_read(&c, folder, NULL), BLIP2_EFORMAT);
    expect_message("preprocessor_config.json: size.height");
    ck_assert_uint_eq(c.vit.width, 0);
    remove_folder(folder);
}
END_TEST

START_TEST(reads_golden_folders) {
    b2_config c;

    ck_assert_status_ok(
        b2_config_read(&c, BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_opt", NULL));
    ck_assert_uint_eq(c.vit.width, 66);
    ck_assert_uint_eq(c.opt.ffn, 110);
    ck_assert_int_eq(c.stop_ids[0], 202);
    ck_assert_int_eq(c.image_token, 410);
    ck_assert_uint_eq(c.image.height, 56);
    ck_assert_status_ok(
        b2_config_read(&c, BLIP2_SOURCE_DIR "/tests/golden/models/hf_blip2_itm", NULL));
    ck_assert_int_eq(c.language, B2_LANGUAGE_NONE);
    ck_assert_uint_eq(c.qformer.cross_every, 3);
    ck_assert_int_eq(c.image_token, -1);
    ck_assert(c.qformer.text_input);
}
END_TEST

START_TEST(survives_failing_memory) {
    static const char model[] =
        "{\"model_type\":\"blip-2\",\"text_config\":{\"eos_token_id\":[1,2]}}";
    static const char pre[] = "{\"size\":{\"height\":28,\"width\":28},\"image_mean\":[0,0,0]}";
    char folder[256];
    bool again = true;

    make_folder(folder, sizeof folder);
    write_file(folder, "config.json", model, sizeof model - 1);
    write_file(folder, "preprocessor_config.json", pre, sizeof pre - 1);
    gate_jansson();
    for (int64_t n = 0; again; n++) {
        b2_config c;
        blip2_status status;

        ck_assert_int_lt(n, 1000);
        b2_alloc_fail_after(n);
        status = b2_config_read(&c, folder, NULL);
        again = b2_alloc_count() > n;
        b2_alloc_fail_after(-1);
        check_out_of_memory(status, again);
    }
    remove_folder(folder);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("config");
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, defaults_are_those_of_transformers);
    tcase_add_test(tests, reads_every_field);
    tcase_add_test(tests, knows_the_language_models);
    tcase_add_test(tests, refuses_bad_values);
    tcase_add_test(tests, refuses_what_is_not_built);
    tcase_add_test(tests, survives_deep_and_cut_json);
    tcase_add_test(tests, reads_brackets_in_texts);
    tcase_add_test(tests, reads_folders);
    tcase_add_test(tests, reads_golden_folders);
    tcase_add_test(tests, survives_failing_memory);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, processor_tests());
    suite_add_tcase(suite, t5_config_tests());
    suite_add_tcase(suite, llama_config_tests());
    return run_suite(suite);
}
