/* Folders of weights: golden models against sums computed with torch, the table of names, shards
 * that lie, joined files, and what take and finish answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "files.h"
#include "load/names.h"
#include "load/safetensors_write.h"
#include "load/tensors.h"
#include "load/weights.h"
#include "run.h"

#define MODELS BLIP2_SOURCE_DIR "/tests/golden/models/"

/* ---- golden models --------------------------------------------------------------------------- */

/* Sum over words of 8 bytes, zero-padded: h = (h ^ word) * FNV prime; h ^= h >> 29. */
static uint64_t add_sum(uint64_t h, const void *data, size_t size) {
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;

        memcpy(&word, (const char *)data + at, size - at < 8 ? size - at : 8);
        h = (h ^ word) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    return h;
}

static int by_name(const void *left, const void *right) {
    const b2_tensor *const *a = left, *const *b = right;

    return strcmp((*a)->name, (*b)->name);
}

START_TEST(golden_models_are_what_torch_reads) {
    /* Count of tensors and of elements, and the sum over name, shape and data of each tensor in
     * the order of names, computed from safetensors.safe_open and torch.load. */
    static const struct {
        const char *path;
        size_t tensors, elements;
        uint64_t sum;
    } models[] = {
        {"lavis_vit_eva_a/eva_vit_g.pth", 60, 280055, UINT64_C(0x33f41296dcb6e58d)},
        {"lavis_vit_eva_b/eva_vit_g.pth", 43, 577544, UINT64_C(0xb23a07cd6adec831)},
        {"lavis_stage1/blip2_pretrained.pth", 130, 245169, UINT64_C(0x2c08c477a872f8fe)},
        {"hf_blip2_opt", 183, 354392, UINT64_C(0x9dc139c0dad40b55)},
        {"hf_blip2_itm", 161, 313804, UINT64_C(0x69f6fa277a96626e)},
    };

    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char path[512];
        const b2_tensor **sorted;
        uint64_t sum = UINT64_C(0xcbf29ce484222325);
        size_t elements = 0;
        b2_weights *w;

        (void)snprintf(path, sizeof path, "%s%s", MODELS, models[m].path);
        ck_assert_status_ok(b2_weights_open(&w, path, NULL));
        ck_assert_uint_eq(b2_weights_count(w), models[m].tensors);
        sorted = calloc(models[m].tensors, sizeof *sorted);
        for (size_t i = 0; i < models[m].tensors; i++)
            sorted[i] = b2_weights_at(w, i);
        qsort(sorted, models[m].tensors, sizeof *sorted, by_name);
        for (size_t i = 0; i < models[m].tensors; i++) {
            const b2_tensor *t = sorted[i];

            sum = add_sum(sum, t->name, strlen(t->name));
            sum = add_sum(sum, t->dim, t->rank * sizeof *t->dim);
            sum = add_sum(sum, t->data, t->bytes);
            elements += t->count;
            ck_assert_ptr_eq(b2_weights_find(w, t->name), t);
        }
        ck_assert_uint_eq(elements, models[m].elements);
        ck_assert_msg(sum == models[m].sum, "%s: other contents", models[m].path);
        free(sorted);
        b2_weights_close(w);
    }
}
END_TEST

/* ---- names ----------------------------------------------------------------------------------- */

/* Its name in each kind of file; NULL where that has no such tensor. */
static void names_of(int id, const char *names[4]) {
    const b2_weight_name *name = b2_weight_name_of((b2_weight_id)id);

    names[0] = name->hf;
    names[1] = name->hf_too;
    names[2] = name->lavis;
    names[3] = name->clip;
}

START_TEST(every_weight_has_names) {
    for (int a = 0; a < B2_WEIGHT_ID_COUNT; a++) {
        const char *mine[4], *others[4];
        char text[B2_NAME_BYTES];

        names_of(a, mine);
        ck_assert_msg(b2_weight_name_of((b2_weight_id)a)->meaning != NULL &&
                          (mine[0] != NULL || mine[2] != NULL),
                      "weight %d has no name", a);
        for (int k = 0; k < 4; k++) {
            if (mine[k] == NULL)
                continue;
            ck_assert(b2_weight_name_fill(text, sizeof text, mine[k], UINT32_MAX));
            for (int b = 0; b < a; b++) {
                names_of(b, others);
                ck_assert_msg(others[k] == NULL || strcmp(mine[k], others[k]) != 0, "%s", mine[k]);
            }
        }
    }
}
END_TEST

static bool is_per_layer(int id) {
    const char *names[4];

    names_of(id, names);
    return strstr(names[0] != NULL ? names[0] : names[2], "{}") != NULL;
}

/* Take every weight of a model whatever its shape; layers: of the tower, the Q-Former and OPT. */
static void take_everything(b2_weights *w, b2_weight_id first, b2_weight_id last, uint32_t layers,
                            size_t *taken) {
    static const int64_t any[] = {-1, -1, -1, -1};

    for (int id = (int)first; id <= (int)last; id++) {
        for (uint32_t layer = 0; layer < (is_per_layer(id) ? layers : 1); layer++) {
            for (uint32_t rank = 1; rank <= 4; rank++) {
                b2_tensor t;

                if (!b2_weights_has(w, (b2_weight_id)id, layer))
                    continue;
                if (b2_weights_take(w, (b2_weight_id)id, layer, rank, any, &t) == BLIP2_OK) {
                    (*taken)++;
                    break;
                }
                ck_assert_int_lt(rank, 4);
            }
        }
    }
}

static size_t count_unused(const b2_weights *w) {
    size_t unused = 0;

    for (size_t i = 0; i < b2_weights_count(w); i++)
        unused += !b2_weights_used(w, i);
    return unused;
}

START_TEST(names_cover_the_models) {
    size_t taken = 0;
    b2_weights *w;

    ck_assert_status_ok(b2_weights_open(&w, MODELS "hf_blip2_opt", NULL));
    take_everything(w, 0, B2_OPT_MLP_LN_B, 9, &taken);
    ck_assert_uint_eq(taken, 183);
    ck_assert_uint_eq(count_unused(w), 0);
    ck_assert_status_ok(b2_weights_finish(w));
    b2_weights_close(w);

    taken = 0;
    ck_assert_status_ok(b2_weights_open(&w, MODELS "lavis_stage1/blip2_pretrained.pth", NULL));
    ck_assert_status_ok(
        b2_weights_join(w, MODELS "lavis_vit_eva_a/eva_vit_g.pth", "visual_encoder."));
    ck_assert_uint_eq(b2_weights_count(w), 190);
    take_everything(w, B2_VIT_CLS, B2_VIT_POST_LN_B, 9, &taken);
    /* 4 + 4 layers of 12 + the last norm; unused of the tower: norm and head */
    ck_assert_uint_eq(taken, 4 + 4 * 12 + 2);
    for (size_t i = 130; i < 190; i++)
        ck_assert_int_eq(!b2_weights_used(w, i),
                         strstr(b2_weights_at(w, i)->name, "visual_encoder.norm.") != NULL ||
                             strstr(b2_weights_at(w, i)->name, "visual_encoder.head.") != NULL);
    b2_weights_close(w);
}
END_TEST

START_TEST(joins_split_biases) {
    b2_weights *w;
    const b2_tensor *q, *v;
    b2_tensor t;

    ck_assert_status_ok(b2_weights_open(&w, MODELS "lavis_stage1/blip2_pretrained.pth", NULL));
    ck_assert(!b2_weights_has(w, B2_VIT_QKV_B, 1));
    ck_assert_status_ok(
        b2_weights_join(w, MODELS "lavis_vit_eva_b/eva_vit_g.pth", "visual_encoder."));
    ck_assert(b2_weights_has(w, B2_VIT_QKV_B, 1));
    ck_assert(!b2_weights_has(w, B2_VIT_QKV_B, 7));
    ck_assert_status_ok(b2_weights_take(w, B2_VIT_QKV_B, 1, 1, (int64_t[]){3 * 176}, &t));
    q = b2_weights_find(w, "visual_encoder.blocks.1.attn.q_bias");
    v = b2_weights_find(w, "visual_encoder.blocks.1.attn.v_bias");
    ck_assert_int_eq(t.type, B2_F16);
    ck_assert_mem_eq(t.data, q->data, 352);
    for (size_t i = 0; i < 352; i++)
        ck_assert_uint_eq(((const uint8_t *)t.data)[352 + i], 0);
    ck_assert_mem_eq((const char *)t.data + 704, v->data, 352);
    for (size_t i = 0; i < b2_weights_count(w); i++) {
        const b2_tensor *at = b2_weights_at(w, i);

        ck_assert_int_eq(b2_weights_used(w, i), at == q || at == v);
    }
    /* A tower that is there already. */
    ck_assert_status(b2_weights_join(w, MODELS "lavis_vit_eva_a/eva_vit_g.pth", "visual_encoder."),
                     BLIP2_EFORMAT);
    expect_message("is in both");
    ck_assert_uint_eq(b2_weights_count(w), 130 + 43);
    ck_assert_ptr_nonnull(b2_weights_find(w, "visual_encoder.cls_token"));
    ck_assert_status(b2_weights_join(w, MODELS "nothing.pth", ""), BLIP2_EIO);
    ck_assert_uint_eq(b2_weights_count(w), 130 + 43);
    b2_weights_close(w);
}
END_TEST

/* ---- small folders by hand ------------------------------------------------------------------- */

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
    ck_assert_uint_eq(count_unused(w), 0);
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

int main(void) {
    Suite *suite = suite_create("weights");
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, golden_models_are_what_torch_reads);
    tcase_add_test(tests, every_weight_has_names);
    tcase_add_test(tests, names_cover_the_models);
    tcase_add_test(tests, joins_split_biases);
    tcase_add_test(tests, knows_other_names);
    tcase_add_test(tests, take_and_finish_answer);
    tcase_add_test(tests, checks_shards_against_their_index);
    tcase_add_test(tests, shapes_fit_their_texts);
    tcase_add_test(tests, tells_what_is_no_model);
    tcase_add_test(tests, holds_any_number_of_tensors);
    tcase_add_test(tests, survives_failing_memory);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
