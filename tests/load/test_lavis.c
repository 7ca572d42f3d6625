/* model.json: what it may say, and that what we write is read back the same. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "files.h"
#include "load/lavis.h"
#include "run.h"

#define MODELS "tests/golden/models/"
#define HYPER                                                                                      \
    "\"hyper\":{\"img_size\":56,\"num_query_token\":8,\"ln_vision_eps\":1e-05,\"bert\":{"          \
    "\"hidden_size\":60,\"num_attention_heads\":3,\"num_hidden_layers\":4,"                        \
    "\"intermediate_size\":100,\"max_position_embeddings\":160,\"layer_norm_eps\":1e-12,"          \
    "\"cross_attention_freq\":2},\"vit_inside_checkpoint\":{\"patch_size\":14,\"embed_dim\":88,"   \
    "\"depth\":3,\"num_heads\":2,\"mlp_hidden\":140,\"block_ln_eps\":1e-06,\"act\":\"gelu_erf\"}"
#define STAGE1 "{\"arch\":\"blip2\",\"checkpoint\":\"a.pth\",\"bert_vocab\":\"v.txt\"," HYPER "}}"
#define STAGE2                                                                                     \
    "{\"arch\":\"blip2_opt\",\"checkpoint\":\"a.pth\",\"llm\":\"lm\"," HYPER                       \
    ",\"llm_inside_checkpoint\":true}}"

/* text with the first `from` in it become `to`. */
static void replace(char *out, size_t size, const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);

    ck_assert_msg(at != NULL, "no %s", from);
    ck_assert_int_lt(snprintf(out, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)),
                     (int)size);
}

/* Read a folder with this model.json; the failure must mention part (NULL: must succeed). */
static void check(const char *json, const char *part, b2_config *config) {
    char folder[256];
    b2_lavis_files files;
    blip2_status status;

    make_folder(folder, sizeof folder);
    write_file(folder, "model.json", json, strlen(json));
    status = b2_lavis_read(config, &files, folder);
    if (part == NULL) {
        ck_assert_status_ok(status);
    } else {
        ck_assert_int_lt(status, 0);
        expect_message(part);
        ck_assert_ptr_null(files.checkpoint);
        ck_assert_ptr_null(files.language);
    }
    b2_lavis_files_free(&files);
    remove_folder(folder);
}

START_TEST(fields_are_checked) {
    static const struct {
        const char *from, *to, *part;
    } bad[] = {
        {"\"arch\":\"blip2\"", "\"arch\":\"blip2_flan\"", "arch \"blip2_flan\" is not supported"},
        {"\"arch\":\"blip2\"", "\"arch\":\"blip2_t5\"", "llm"},
        {"\"arch\":\"blip2\"", "\"arch\":7", "arch"},
        {"\"checkpoint\":\"a.pth\",", "", "checkpoint"},
        {"\"bert_vocab\":\"v.txt\",", "", "bert_vocab"},
        {"\"img_size\":56", "\"img_size\":57", "57 pixels"},
        {"\"img_size\":56", "\"img_size\":0", "img_size"},
        {"\"num_query_token\":8,", "", "num_query_token"},
        {"\"num_attention_heads\":3", "\"num_attention_heads\":7", "7"},
        {"\"num_heads\":2", "\"num_heads\":3", "3"},
        {"\"act\":\"gelu_erf\"", "\"act\":\"relu\"", "gelu_erf"},
        {"\"depth\":3", "\"depth\":-3", "depth"},
        {"\"ln_vision_eps\":1e-05", "\"ln_vision_eps\":0", "ln_vision_eps"},
        {"\"arch\":\"blip2\"", "\"vit_model\":\"eva2\",\"arch\":\"blip2\"", "eva2"},
        {"\"arch\":\"blip2\"", "\"vit\":\"no\",\"arch\":\"blip2\"", "no/model.json"},
        {"{", "[", "model.json"},
    };
    b2_config config;
    char json[2000];

    check(STAGE1, NULL, &config);
    ck_assert_uint_eq(config.vit.layers, 3);
    ck_assert(config.qformer.text_input);
    ck_assert_int_eq(config.language, B2_LANGUAGE_NONE);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        replace(json, sizeof json, STAGE1, bad[i].from, bad[i].to);
        check(json, bad[i].part, &config);
    }
}
END_TEST

/* A folder reads nothing outside of itself but the folders beside it that are for sharing. */
START_TEST(names_stay_inside) {
    static const char file[] = "expected a file in this folder, got ";
    static const char shared[] = "expected a folder in this one, or \"../NAME\" beside it, got ";
    static const struct {
        const char *name;
        bool file, folder;
    } names[] = {{"/etc/passwd", false, false},
                 {"..", false, false},
                 {"../", false, false},
                 {"../..", false, false},
                 {"../.", false, false},
                 {"..//etc", false, false},
                 {"../../etc/passwd", false, false},
                 {"a/../../b", false, false},
                 {"a/..", false, false},
                 {"../a/../../b", false, false},
                 {"../a", false, true},
                 {"../a/b", false, true},
                 {"./a", true, true},
                 {"a/b..", true, true},
                 {"..a/...", true, true}};
    b2_config config;
    char json[2000], field[300], expected[400];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(field, sizeof field, "\"bert_vocab\":\"%s\"", names[i].name);
        (void)snprintf(expected, sizeof expected, "model.json: bert_vocab: %s\"%s\"", file,
                       names[i].name);
        replace(json, sizeof json, STAGE1, "\"bert_vocab\":\"v.txt\"", field);
        check(json, names[i].file ? NULL : expected, &config);
        (void)snprintf(field, sizeof field, "\"checkpoint\":\"%s\"", names[i].name);
        (void)snprintf(expected, sizeof expected, "model.json: checkpoint: %s", file);
        replace(json, sizeof json, STAGE1, "\"checkpoint\":\"a.pth\"", field);
        check(json, names[i].file ? NULL : expected, &config);
        (void)snprintf(field, sizeof field, "\"llm\":\"%s\"", names[i].name);
        (void)snprintf(expected, sizeof expected, "model.json: llm: %s\"%s\"", shared,
                       names[i].name);
        replace(json, sizeof json, STAGE2, "\"llm\":\"lm\"", field);
        check(json, names[i].folder ? "config.json" : expected, &config); /* looked for there */
        (void)snprintf(field, sizeof field, "\"vit\":\"%s\",\"arch\":\"blip2\"", names[i].name);
        (void)snprintf(expected, sizeof expected, "model.json: vit: %s", shared);
        replace(json, sizeof json, STAGE1, "\"arch\":\"blip2\"", field);
        check(json, names[i].folder ? "cannot open" : expected, &config);
    }
}
END_TEST

/* Nor does the tower's folder. */
START_TEST(tower_names_stay_inside) {
    static const char tower[] =
        "{\"file\":\"../a.pth\",\"hyper\":{\"embed_dim\":16,\"depth\":3,\"num_heads\":2,"
        "\"mlp_hidden\":40,\"patch_size\":14,\"block_ln_eps\":1e-06,\"act\":\"gelu_erf\"}}";
    char folder[256], vit[300], json[2000];
    b2_config config;
    b2_lavis_files files;

    make_folder(folder, sizeof folder);
    (void)snprintf(vit, sizeof vit, "%s/vit", folder);
    ck_assert_int_eq(mkdir(vit, 0777), 0);
    replace(json, sizeof json, STAGE1, "\"arch\":\"blip2\"", "\"vit\":\"vit\",\"arch\":\"blip2\"");
    write_file(folder, "model.json", json, strlen(json));
    write_file(vit, "model.json", tower, strlen(tower));
    ck_assert_status(b2_lavis_read(&config, &files, folder), BLIP2_EFORMAT);
    expect_message("vit/model.json: file: expected a file in this folder, got \"../a.pth\"");
    remove_tree(folder);
}
END_TEST

START_TEST(language_model_is_a_folder) {
    b2_config config;
    b2_lavis_files files;
    char json[2000];

    check(STAGE2, "lm/config.json", &config);
    replace(json, sizeof json, STAGE2, "\"llm\":\"lm\",", "");
    check(json, "llm", &config);
    replace(json, sizeof json, STAGE2, "\"llm\":\"lm\"", "\"llm\":null");
    check(json, "llm", &config);
    replace(json, sizeof json, STAGE2, "checkpoint\":true", "checkpoint\":\"yes\"");
    check(json, "llm_inside_checkpoint", &config);
    ck_assert_status_ok(b2_lavis_read(&config, &files, BLIP2_SOURCE_DIR "/" MODELS "lavis_opt"));
    ck_assert_int_eq(config.language, B2_LANGUAGE_OPT);
    ck_assert_uint_eq(config.opt.width, 80);
    ck_assert_uint_eq(config.opt.vocab, 415);
    ck_assert(!config.qformer.text_input);
    ck_assert(!files.language_inside);
    ck_assert_ptr_null(files.vocabulary);
    ck_assert_ptr_nonnull(strstr(files.language, "lavis_llm_opt"));
    b2_lavis_files_free(&files);
}
END_TEST

/* What a folder says, and what LAVIS changes in the language model. */
START_TEST(every_language_model_is_known) {
    static const struct {
        const char *name, *arch;
        b2_language language;
        bool instructed;
    } models[] = {{"lavis_opt", "blip2_opt", B2_LANGUAGE_OPT, false},
                  {"lavis_t5", "blip2_t5", B2_LANGUAGE_T5, false},
                  {"lavis_t5_instruct", "blip2_t5_instruct", B2_LANGUAGE_T5, true},
                  {"lavis_vicuna_instruct", "blip2_vicuna_instruct", B2_LANGUAGE_LLAMA, true}};

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char path[512];
        b2_config config;
        b2_lavis_files files;

        (void)snprintf(path, sizeof path, "%s/%s%s", BLIP2_SOURCE_DIR, MODELS, models[i].name);
        ck_assert_status_ok(b2_lavis_read(&config, &files, path));
        ck_assert_str_eq(config.architecture, models[i].arch);
        ck_assert_int_eq(config.language, models[i].language);
        ck_assert(config.instructed == models[i].instructed);
        ck_assert(config.qformer.text_input == models[i].instructed);
        ck_assert(models[i].instructed == (files.vocabulary != NULL));
        ck_assert_uint_eq(config.instruction, models[i].instructed ? 24 : 128);
        if (config.language == B2_LANGUAGE_T5) /* whose config.json says gelu_new */
            ck_assert_int_eq(config.t5.act, B2_ACT_GELU);
        if (config.language == B2_LANGUAGE_LLAMA) {
            ck_assert_uint_eq(config.llama.vocab, 390);
            ck_assert_uint_eq(config.llama.added, 1);
        }
        b2_lavis_files_free(&files);
    }
}
END_TEST

/* arch, and a language model that is in the same folder. */
static void check_pair(const char *arch, const char *type, const char *part) {
    char folder[256], json[2000], text[100], other[2000];
    b2_config config;
    b2_lavis_files files;

    (void)snprintf(text, sizeof text, "{\"model_type\":\"%s\"}", type);
    replace(other, sizeof other, STAGE2, "\"lm\"", "\".\",\"bert_vocab\":\"v.txt\"");
    replace(json, sizeof json, other, "blip2_opt", arch);
    make_folder(folder, sizeof folder);
    write_file(folder, "model.json", json, strlen(json));
    write_file(folder, "config.json", text, strlen(text));
    if (part == NULL) {
        ck_assert_status_ok(b2_lavis_read(&config, &files, folder));
        b2_lavis_files_free(&files);
    } else {
        ck_assert_int_lt(b2_lavis_read(&config, &files, folder), 0);
        expect_message(part);
    }
    remove_folder(folder);
}

START_TEST(arch_and_language_model_go_together) {
    check_pair("blip2_opt", "opt", NULL);
    check_pair("blip2_t5", "t5", NULL);
    check_pair("blip2_t5_instruct", "t5", NULL);
    check_pair("blip2_vicuna_instruct", "llama", NULL);
    check_pair("blip2_opt", "t5", "arch \"blip2_opt\" does not go with the language model in");
    check_pair("blip2_t5", "opt", "arch \"blip2_t5\" does not go");
    check_pair("blip2_t5", "llama", "LAVIS has no BLIP-2 with");
    check_pair("blip2_vicuna_instruct", "t5", "arch \"blip2_vicuna_instruct\" does not go");
    check_pair("blip2_t5_instruct", "opt", "LAVIS has no BLIP-2 with");
}
END_TEST

/* A folder of a language model: text is its config.json. */
static void check_language(const char *text, blip2_status expected, const char *part) {
    char folder[256];
    b2_config config;

    make_folder(folder, sizeof folder);
    write_file(folder, "config.json", text, strlen(text));
    b2_config_default(&config);
    ck_assert_status(b2_config_read_language_file(&config, folder), expected);
    if (part != NULL)
        expect_message(part);
    ck_assert_int_eq(config.language != B2_LANGUAGE_NONE, expected == BLIP2_OK);
    remove_folder(folder);
}

START_TEST(language_configs_are_checked) {
    check_language("{\"model_type\":\"opt\"}", BLIP2_OK, NULL);
    check_language("{\"model_type\":\"t5\"}", BLIP2_OK, NULL);
    check_language("{\"model_type\":\"opt\",\"hidden_size\":0}", BLIP2_EFORMAT, ": hidden_size");
    check_language("{\"model_type\":\"gpt2\"}", BLIP2_ENOTSUP, "gpt2");
    check_language("{\"hidden_size\":8}", BLIP2_EFORMAT, "model_type");
    check_language("[]", BLIP2_EFORMAT, "model_type");
    check_language("{", BLIP2_EFORMAT, "config.json");
}
END_TEST

/* The two say the same of a model. */
static void same_config(const b2_config *a, const b2_config *b) {
    char *text[2];

    ck_assert_status_ok(b2_lavis_model_json(&text[0], a, NULL, "x"));
    ck_assert_status_ok(b2_lavis_model_json(&text[1], b, NULL, "x"));
    ck_assert_str_eq(text[0], text[1]);
    b2_free(text[0]);
    b2_free(text[1]);
}

/* Write the model.json of a golden model, as for a converted one, and read it. */
START_TEST(what_is_written_is_read) {
    static const char *const models[] = {"lavis_stage1", "lavis_stage1_coco", "lavis_stage1_vitL"};

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char folder[256], path[512], *text;
        b2_config config, again;
        b2_lavis_files files;
        b2_lavis original;

        (void)snprintf(path, sizeof path, "%s/%s%s", BLIP2_SOURCE_DIR, MODELS, models[i]);
        ck_assert_status_ok(b2_lavis_read(&config, &files, path));
        ck_assert_status_ok(b2_lavis_open(&original, path));
        ck_assert_status_ok(
            b2_lavis_model_json(&text, &config, original.json, "model.safetensors"));
        ck_assert_ptr_nonnull(strstr(text, "\"max_txt_len\"")); /* nothing that it said is lost */
        make_folder(folder, sizeof folder);
        write_file(folder, "model.json", text, strlen(text));
        b2_lavis_files_free(&files);
        ck_assert_status_ok(b2_lavis_read(&again, &files, folder));
        ck_assert_ptr_null(files.tower);
        ck_assert_ptr_nonnull(strstr(files.checkpoint, "/model.safetensors"));
        ck_assert_ptr_nonnull(strstr(files.vocabulary, "/" B2_LAVIS_VOCABULARY));
        same_config(&config, &again);
        ck_assert_float_eq(config.vit.block_eps, again.vit.block_eps);
        ck_assert_float_eq(config.qformer.eps, again.qformer.eps);
        b2_lavis_files_free(&files);
        b2_lavis_close(&original);
        b2_free(text);
        remove_folder(folder);
    }
}
END_TEST

/* Sizes of a tower that is too small to be LAVIS's. */
START_TEST(sizes_are_inferred) {
    const b2_lavis_sizes sizes = {.vit_heads = 2, .vit_layers = 3, .qformer_heads = 3};
    const b2_lavis_sizes larger = {.image = 84, .vit_heads = 2, .qformer_heads = 3};
    b2_config expected, got;
    b2_lavis_files files;
    b2_weights *w;

    ck_assert_status_ok(
        b2_lavis_read(&expected, &files, BLIP2_SOURCE_DIR "/" MODELS "lavis_stage1"));
    ck_assert_status_ok(b2_weights_open(&w, files.checkpoint, NULL));
    ck_assert_status(b2_lavis_infer(&got, w, &sizes), BLIP2_EFORMAT);
    expect_message("vision tower is not in it");
    ck_assert_status_ok(b2_weights_join(w, files.tower, "visual_encoder."));
    ck_assert_status_ok(b2_lavis_infer(&got, w, &sizes));
    (void)strcpy(got.architecture, expected.architecture); /* which the files don't say */
    same_config(&got, &expected);
    ck_assert_status_ok(b2_lavis_infer(&got, w, &larger));
    ck_assert_uint_eq(got.image.width, 84);
    ck_assert_uint_eq(got.vit.layers, 4);
    b2_weights_close(w);
    b2_lavis_files_free(&files);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lavis");
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, fields_are_checked);
    tcase_add_test(tests, names_stay_inside);
    tcase_add_test(tests, tower_names_stay_inside);
    tcase_add_test(tests, language_model_is_a_folder);
    tcase_add_test(tests, every_language_model_is_known);
    tcase_add_test(tests, arch_and_language_model_go_together);
    tcase_add_test(tests, language_configs_are_checked);
    tcase_add_test(tests, what_is_written_is_read);
    tcase_add_test(tests, sizes_are_inferred);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
