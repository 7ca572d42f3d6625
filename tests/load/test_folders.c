/* Folders of weights made by hand: other names, shards and their index, what is no model. */
#include "test_folders.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "files.h"
#include "load/safetensors_write.h"
#include "load/tensors.h"
#include "load/weights.h"
#include "run.h"

static void write_tensors(const char *folder, const char *file, const char *header,
                          size_t data_bytes) {
    bytes content = make_safetensors(header, data_bytes);

    write_file(folder, file, content.data, content.size);
    bytes_free(&content);
}

#define F32(name, begin)                                                                           \
    "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" begin "]}"

START_TEST(knows_other_names) {
    static const char header[] =
        "{" F32("vision_model.encoder.layers.0.self_attn.q_bias", "0,4") "," F32(
            "vision_model.encoder.layers.0.self_attn.v_bias",
            "4,8") "," F32("qformer.embeddings.layernorm.weight",
                           "8,12") "," F32("model.decoder.layers.2.fc1.weight",
                                           "12,16") "," F32("decoder.layers.3.fc1.weight",
                                                            "16,20") "," F32("lm_head.weight",
                                                                             "20,24") "}";
    static const int64_t one[] = {1};
    char folder[256];
    b2_weights *w;
    b2_tensor t;

    make_folder(folder, sizeof folder);
    write_tensors(folder, "model.safetensors", header, 24);
    ck_assert_status_ok(b2_weights_open(&w, folder, NULL));
    ck_assert(b2_weights_has(w, B2_QF_EMB_LN_W, 0));
    ck_assert(b2_weights_has(w, B2_OPT_FC1_W, 2));
    ck_assert(b2_weights_has(w, B2_OPT_FC1_W, 3));
    ck_assert(b2_weights_has(w, B2_OPT_HEAD_W, 0));
    ck_assert(!b2_weights_has(w, B2_OPT_FC1_W, 4));
    ck_assert_status_ok(b2_weights_take(w, B2_VIT_QKV_B, 0, 1, (int64_t[]){3}, &t));
    ck_assert_status_ok(b2_weights_take(w, B2_QF_EMB_LN_W, 0, 1, one, &t));
    ck_assert_ptr_nonnull(t.data);
    b2_weights_skip(w, B2_OPT_FC1_W, 2);
    b2_weights_skip(w, B2_OPT_FC1_W, 3);
    b2_weights_skip(w, B2_OPT_FC1_W, 4);
    b2_weights_skip(w, B2_OPT_HEAD_W, 0);
    for (size_t i = 0; i < b2_weights_count(w); i++)
        ck_assert(b2_weights_used(w, i));
    for (size_t i = 0; i < b2_weights_count(w); i++) /* but only these are part of the model */
        ck_assert_int_eq(b2_weights_taken(w, i),
                         strstr(b2_weights_at(w, i)->name, "_bias") != NULL ||
                             strstr(b2_weights_at(w, i)->name, "layernorm") != NULL);
    ck_assert_status_ok(b2_weights_finish(w));
    b2_weights_close(w);
    remove_folder(folder);
}
END_TEST

typedef struct lines {
    char text[4096];
    size_t errors, warnings;
} lines;

static void keep_line(blip2_log_level level, const char *line, void *payload) {
    lines *to = payload;

    to->errors += level == BLIP2_LOG_ERROR;
    to->warnings += level == BLIP2_LOG_WARNING;
    ck_assert_uint_lt(strlen(to->text) + strlen(line) + 2, sizeof to->text);
    strcat(to->text, line);
    strcat(to->text, "\n");
}

START_TEST(take_and_finish_answer) {
    static const char header[] =
        "{\"query_tokens\":{\"dtype\":\"F32\",\"shape\":[1,2,3],\"data_offsets\":[0,24]},"
        "\"vision_model.embeddings.class_embedding\":"
        "{\"dtype\":\"F16\",\"shape\":[1,1,4],\"data_offsets\":[24,32]},"
        "\"vision_model.embeddings.patch_embedding.bias\":"
        "{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[32,40]},"
        "\"vision_model.embeddings.patch_embedding.weight\":"
        "{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[40,41]},"
        "\"extra\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[41,42]},"
        "\"an.extra.of.a.longer.name\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[42,42]},"
        "\"vision_model.post_layernorm.bias\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[43,"
        "47]},"
        "\"x.position_ids\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[42,43]}}";
    static lines got;
    const b2_log log = {.fn = keep_line, .payload = &got, .level = BLIP2_LOG_WARNING};
    char folder[256];
    b2_weights *w;
    b2_tensor t;

    make_folder(folder, sizeof folder);
    write_tensors(folder, "model.safetensors", header, 47);
    ck_assert_status_ok(b2_weights_open(&w, folder, &log));
    ck_assert_status_ok(b2_weights_take(w, B2_QF_QUERIES, 0, 2, (int64_t[]){2, 3}, &t));
    ck_assert(t.rank == 2 && t.dim[0] == 2 && t.dim[1] == 3 && t.count == 6 && t.data != NULL);
    ck_assert_status_ok(b2_weights_take(w, B2_QF_QUERIES, 0, 3, (int64_t[]){1, -1, 3}, &t));
    ck_assert(t.rank == 3 && t.dim[1] == 2);
    ck_assert_status_ok(b2_weights_take(w, B2_VIT_CLS, 0, 1, (int64_t[]){4}, &t));
    ck_assert(t.rank == 1 && t.dim[0] == 4 && t.type == B2_F16);

    ck_assert_status(b2_weights_take(w, B2_QF_QUERIES, 0, 2, (int64_t[]){2, 4}, &t), BLIP2_EFORMAT);
    ck_assert_str_eq(blip2_error_message(), "model.safetensors: tensor \"query_tokens\": expected "
                                            "shape [2, 4], got [2, 3]");
    ck_assert_ptr_null(t.data);
    ck_assert_status(b2_weights_take(w, B2_QF_QUERIES, 0, 1, (int64_t[]){6}, &t), BLIP2_EFORMAT);
    expect_message("expected shape [6], got [2, 3]");
    ck_assert_status(b2_weights_take(w, B2_QF_QUERIES, 0, 4, (int64_t[]){1, 1, 2, 3}, &t),
                     BLIP2_EFORMAT);
    ck_assert_status(b2_weights_take(w, B2_VIT_PATCH_B, 0, 1, (int64_t[]){1}, &t), BLIP2_EFORMAT);
    expect_message("expected type F32, F16 or BF16, got I64");
    ck_assert_status(b2_weights_take(w, B2_VIT_PATCH_W, 0, 1, (int64_t[]){1}, &t), BLIP2_EFORMAT);
    expect_message("got F8_E4M3");
    ck_assert_status(b2_weights_take(w, B2_VIT_POST_LN_B, 0, 1, (int64_t[]){1}, &t), BLIP2_EFORMAT);
    expect_message("expected shape [1], got []");

    for (uint32_t layer = 0; layer < 5; layer++) {
        ck_assert_status_ok(b2_weights_take(w, B2_VIT_FC1_W, layer, 2, (int64_t[]){1, 1}, &t));
        ck_assert_ptr_null(t.data);
    }
    ck_assert_status(b2_weights_finish(w), BLIP2_EFORMAT);
    expect_message("5 tensors are missing");
    expect_message("\"vision_model.encoder.layers.0.mlp.fc1.weight\" (vision mlp in weight), ");
    expect_message("layers.2.mlp.fc1.weight\" (vision mlp in weight) and 2 more");
    ck_assert_uint_eq(got.errors, 5);
    ck_assert_uint_eq(got.warnings, 2); /* position_ids are no weights */
    ck_assert_ptr_nonnull(strstr(got.text, "model.safetensors: tensor \"extra\" is not used"));
    ck_assert_ptr_nonnull(strstr(got.text, "layers.4.mlp.fc1.weight"));
    ck_assert_ptr_nonnull(strstr(got.text, "\"an.extra.of.a.longer.name\" is not used"));
    ck_assert_ptr_null(b2_weights_at(w, 8));
    ck_assert_ptr_null(b2_weights_find(w, "extr"));
    b2_weights_close(w);
    remove_folder(folder);
}
END_TEST

/* A folder with the shards one.safetensors {a} and two.safetensors {b, c} and this index. */
static blip2_status open_index(const char *index, const char *part) {
    char folder[256];
    b2_weights *w;
    static lines got;
    const b2_log log = {.fn = keep_line, .payload = &got, .level = BLIP2_LOG_WARNING};
    blip2_status status;

    got = (lines){0};
    make_folder(folder, sizeof folder);
    write_tensors(folder, "one.safetensors", "{" F32("a", "0,4") "}", 4);
    write_tensors(folder, "two.safetensors", "{" F32("b", "0,4") "," F32("c", "4,8") "}", 8);
    write_tensors(folder, "three.safetensors", "{" F32("a", "0,4") "}", 4);
    write_file(folder, "model.safetensors.index.json", index, strlen(index));
    status = b2_weights_open(&w, folder, &log);
    if (status == BLIP2_OK) {
        ck_assert_uint_eq(b2_weights_count(w), 3);
        ck_assert_str_eq(b2_weights_at(w, 2)->name, "c");
        ck_assert_str_eq(b2_weights_at(w, 2)->file, "two.safetensors");
        if (part != NULL)
            ck_assert_msg(strstr(got.text, part) != NULL, "%s", got.text);
    } else {
        ck_assert_ptr_null(w);
        ck_assert_ptr_nonnull(part);
        expect_message(part);
    }
    b2_weights_close(w);
    remove_folder(folder);
    return status;
}

START_TEST(checks_shards_against_their_index) {
#define MAP(a, b, c) "{\"weight_map\":{\"a\":" a ",\"b\":" b ",\"c\":" c "}}"
    ck_assert_status_ok(
        open_index(MAP("\"one.safetensors\"", "\"two.safetensors\"", "\"two.safetensors\""), NULL));
    ck_assert_status_ok(
        open_index("{\"metadata\":{\"total_size\":12},\"weight_map\":{\"b\":\"two.safetensors\","
                   "\"a\":\"one.safetensors\"}}",
                   "tensor \"c\" of two.safetensors is not listed"));
    ck_assert_status(
        open_index(MAP("\"one.safetensors\"", "\"two.safetensors\"", "\"one.safetensors\""),
                   "\"c\": expected in one.safetensors, found in two.safetensors"),
        BLIP2_EFORMAT);
    ck_assert_status(open_index("{\"weight_map\":{\"a\":\"one.safetensors\","
                                "\"z\":\"one.safetensors\"}}",
                                "tensor \"z\" is not in one.safetensors"),
                     BLIP2_EFORMAT);
    ck_assert_status(
        open_index(MAP("\"one.safetensors\"", "\"two.safetensors\"", "\"missing.safetensors\""),
                   "missing.safetensors: cannot open"),
        BLIP2_EIO);
    ck_assert_status(open_index("{\"weight_map\":{\"a\":\"one.safetensors\","
                                "\"x\":\"three.safetensors\"}}",
                                "\"x\" is not in three.safetensors"),
                     BLIP2_EFORMAT);
    ck_assert_status(open_index("{\"weight_map\":{\"a\":\"../one.safetensors\"}}", "plain file"),
                     BLIP2_EFORMAT);
    ck_assert_status(open_index("{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "plain file"),
                     BLIP2_EFORMAT);
    ck_assert_status(open_index("{\"weight_map\":{\"a\":\"..\"}}", "plain file"), BLIP2_EFORMAT);
    ck_assert_status(open_index("{\"weight_map\":{\"a\":\"\"}}", "plain file"), BLIP2_EFORMAT);
    ck_assert_status(open_index("{\"weight_map\":{\"a\":3}}", "plain file"), BLIP2_EFORMAT);
    ck_assert_status(open_index("{\"weight_map\":[]}", "weight_map"), BLIP2_EFORMAT);
    ck_assert_status(open_index("{}", "weight_map"), BLIP2_EFORMAT);
    ck_assert_status(open_index("[]", "weight_map"), BLIP2_EFORMAT);
    ck_assert_status(open_index("{\"weight_map\":{\"a\":\"one.safetensors\","
                                "\"a\":\"one.safetensors\"}}",
                                "duplicate"),
                     BLIP2_EFORMAT);
}
END_TEST

START_TEST(shapes_fit_their_texts) {
    char text[12];

    b2_shape_text(text, sizeof text, 3, (int64_t[]){1, -1, 345});
    ck_assert_str_eq(text, "[1, -1, 345");
    b2_shape_text(text, 8, 2, (int64_t[]){10, 20});
    ck_assert_str_eq(text, "[10, 20");
    b2_shape_text(text, 2, 2, (int64_t[]){10, 20});
    ck_assert_str_eq(text, "[");
    b2_shape_text(text, sizeof text, 0, NULL);
    ck_assert_str_eq(text, "[]");
}
END_TEST

START_TEST(tells_what_is_no_model) {
    char folder[256];
    b2_weights *w;

    make_folder(folder, sizeof folder);
    ck_assert_status(b2_weights_open(&w, folder, NULL), BLIP2_EIO);
    expect_message("no weights here: expected model.safetensors or");
    ck_assert_ptr_null(w);
    ck_assert_status(b2_weights_open(&w, "/nowhere/at/all", NULL), BLIP2_EIO);
    expect_message("No such file");
    write_file(folder, "model.safetensors", "", 0);
    ck_assert_status(b2_weights_open(&w, folder, NULL), BLIP2_EFORMAT);
    expect_message("model.safetensors: file has 0 bytes");
    b2_weights_close(NULL);
    remove_folder(folder);
}
END_TEST

/* More tensors than any fixed table would hold. */
static blip2_status fill_zero(void *payload, size_t index, size_t first, size_t count, void *data) {
    (void)payload, (void)index, (void)first;
    memset(data, 0, count);
    return BLIP2_OK;
}

START_TEST(holds_any_number_of_tensors) {
    enum { MANY = 20000 };
    b2_tensor_shape *shapes = calloc(MANY, sizeof *shapes);
    char(*names)[16] = calloc(MANY, sizeof *names);
    char folder[256];
    b2_weights *w;

    make_folder(folder, sizeof folder);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "t.%d", i);
        shapes[i] = (b2_tensor_shape){.name = names[i], .type = B2_U8, .rank = 1, .dim = {1}};
    }
    ck_assert_status_ok(
        b2_safetensors_write_folder(folder, shapes, MANY, UINT64_MAX, fill_zero, NULL));
    ck_assert_status_ok(b2_weights_open(&w, folder, NULL));
    ck_assert_uint_eq(b2_weights_count(w), MANY);
    for (size_t i = 0; i < MANY; i++)
        ck_assert_ptr_eq(b2_weights_find(w, names[i]), b2_weights_at(w, i));
    b2_weights_close(w);
    remove_folder(folder);
    free(names);
    free(shapes);
}
END_TEST

START_TEST(survives_failing_memory) {
    static const char *const index =
        "{\"weight_map\":{\"query_tokens\":\"one.safetensors\",\"b\":\"two.safetensors\"}}";
    char folder[256];
    bool again = true;

    make_folder(folder, sizeof folder);
    write_tensors(folder, "one.safetensors", "{" F32("query_tokens", "0,4") "}", 4);
    write_tensors(folder, "two.safetensors", "{" F32("b", "0,4") "}", 4);
    write_tensors(folder, "three.safetensors",
                  "{" F32("blocks.0.attn.q_bias", "0,4") "," F32("blocks.0.attn.v_bias", "4,8") "}",
                  8);
    write_file(folder, "model.safetensors.index.json", index, strlen(index));
    gate_jansson();
    for (int64_t n = 0; again; n++) {
        char *tower = b2_path_join(folder, "three.safetensors");
        b2_weights *w;
        b2_tensor t;
        blip2_status status;

        ck_assert_int_lt(n, 10000);
        b2_alloc_fail_after(n);
        status = b2_weights_open(&w, folder, NULL);
        if (status == BLIP2_OK)
            status = b2_weights_join(w, tower, "visual_encoder.");
        if (status == BLIP2_OK)
            status = b2_weights_take(w, B2_QF_QUERIES, 0, 1, (int64_t[]){1}, &t);
        if (status == BLIP2_OK)
            status = b2_weights_take(w, B2_VIT_QKV_B, 0, 1, (int64_t[]){3}, &t);
        if (status == BLIP2_OK)
            status = b2_weights_take(w, B2_VIT_CLS, 0, 1, (int64_t[]){3}, &t);
        again = b2_alloc_count() > n;
        if (status == BLIP2_OK) {
            ck_assert_status(b2_weights_finish(w), BLIP2_EFORMAT);
            /* Without memory for the names the count is still told. */
            expect_message("1 tensor is missing");
        }
        b2_alloc_fail_after(-1);
        check_out_of_memory(status, again && status != BLIP2_OK);
        b2_weights_close(w);
        b2_free(tower);
    }
    remove_folder(folder);
}
END_TEST

TCase *folder_tests(void) {
    TCase *tests = tcase_create("folders");

    tcase_add_test(tests, knows_other_names);
    tcase_add_test(tests, take_and_finish_answer);
    tcase_add_test(tests, checks_shards_against_their_index);
    tcase_add_test(tests, shapes_fit_their_texts);
    tcase_add_test(tests, tells_what_is_no_model);
    tcase_add_test(tests, holds_any_number_of_tensors);
    tcase_add_test(tests, survives_failing_memory);
    tcase_set_timeout(tests, 60);
    return tests;
}
