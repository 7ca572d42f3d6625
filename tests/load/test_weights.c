/* Weights of models: golden ones against sums computed with torch, the table of names, joined
 * files. Folders made by hand are test_folders.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "load/names.h"
#include "load/tensors.h"
#include "load/weights.h"
#include "run.h"
#include "test_folders.h"

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

enum { NAMES = 5 };

/* Its name in each kind of file; NULL where that has no such tensor. */
static void names_of(int id, const char *names[NAMES]) {
    const b2_weight_name *name = b2_weight_name_of((b2_weight_id)id);

    names[0] = name->hf;
    names[1] = name->hf_too;
    names[2] = name->lavis;
    names[3] = name->lavis_2;
    names[4] = name->lavis_3;
}

/* Language models may call their heads alike: a checkpoint has one of them. */
static bool is_head(int id) {
    return id == B2_OPT_HEAD_W || id == B2_T5_HEAD || id == B2_LLAMA_HEAD;
}

START_TEST(every_weight_has_names) {
    for (int a = 0; a < B2_WEIGHT_ID_COUNT; a++) {
        const char *mine[NAMES], *others[NAMES];
        char text[B2_NAME_BYTES];

        names_of(a, mine);
        ck_assert_msg(b2_weight_name_of((b2_weight_id)a)->meaning != NULL &&
                          (mine[0] != NULL || mine[2] != NULL),
                      "weight %d has no name", a);
        for (int k = 0; k < NAMES; k++) {
            if (mine[k] == NULL)
                continue;
            ck_assert(b2_weight_name_fill(text, sizeof text, mine[k], UINT32_MAX));
            for (int b = 0; b < a; b++) {
                names_of(b, others);
                ck_assert_msg(others[k] == NULL || strcmp(mine[k], others[k]) != 0 ||
                                  (is_head(a) && is_head(b)),
                              "%s", mine[k]);
            }
        }
    }
}
END_TEST

static bool is_per_layer(int id) {
    const char *names[NAMES];

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

int main(void) {
    Suite *suite = suite_create("weights");
    TCase *tests = tcase_create("all");

    tcase_add_test(tests, golden_models_are_what_torch_reads);
    tcase_add_test(tests, every_weight_has_names);
    tcase_add_test(tests, names_cover_the_models);
    tcase_add_test(tests, joins_split_biases);
    tcase_set_timeout(tests, 60);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, folder_tests());
    return run_suite(suite);
}
