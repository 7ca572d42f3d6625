/* The golden cases of preprocessing: picture -> RGB -> resize -> normalised pixels, against Pillow
 * and torchvision. PNG must be exact. Another JPEG decoder may differ by one level; from the pixels
 * that Pillow saw (decoded.png) the rest must be exact again. */
#include <glob.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/sha256.h"
#include "image/image.h"
#include "load/safetensors.h"
#include "run.h"

static const float mean[] = {0.48145466f, 0.4578275f, 0.40821073f};
static const float std[] = {0.26862954f, 0.26130258f, 0.27577711f};
static const uint32_t sides[] = {56, 224, 364};

typedef struct golden {
    const char *folder;
    json_t *root, *expect;
    b2_file_map map;
    b2_tensor_list tensors;
} golden;

static golden golden_open(const char *folder) {
    golden g = {.folder = folder};
    char path[512];

    (void)snprintf(path, sizeof path, "%s/case.json", folder);
    g.root = json_load_file(path, 0, NULL);
    ck_assert_msg(g.root != NULL, "%s: cannot be read", path);
    g.expect = json_object_get(g.root, "expect");
    (void)snprintf(path, sizeof path, "%s/expect.safetensors", folder);
    ck_assert_status_ok(b2_file_map_open(&g.map, path));
    ck_assert_status_ok(b2_safetensors_parse(&g.tensors, &g.map, "expect.safetensors"));
    return g;
}

static void golden_close(golden *g) {
    b2_tensor_list_free(&g->tensors);
    b2_file_map_close(&g->map);
    json_decref(g->root);
}

static blip2_image *open_picture(const golden *g, const char *name) {
    blip2_image *image = NULL;
    char path[512];

    (void)snprintf(path, sizeof path, "%s/%s", g->folder, name);
    ck_assert_status_ok(blip2_image_open(&image, path, NULL));
    return image;
}

static void check_sha(const golden *g, const char *key, const void *data, size_t size) {
    const char *expected = json_string_value(json_object_get(g->expect, key));
    char hex[65];

    b2_sha256_hex(hex, data, size);
    ck_assert_msg(expected != NULL && strcmp(hex, expected) == 0, "%s: %s: %s, expected %s",
                  g->folder, key, hex, expected);
}

/* At most one level apart, 0.1 on average. */
static void check_levels(const golden *g, const char *what, const uint8_t *got,
                         const uint8_t *expected, size_t count) {
    size_t sum = 0;

    for (size_t i = 0; i < count; i++) {
        int difference = abs(got[i] - expected[i]);

        if (difference > 1) /* a passed assertion costs a system call */
            ck_abort_msg("%s: %s: byte %zu is %d, expected %d", g->folder, what, i, got[i],
                         expected[i]);
        sum += (size_t)difference;
    }
    ck_assert_msg((double)sum <= 0.1 * (double)count, "%s: %s: mean difference", g->folder, what);
}

/* Row number `index` of the rows that tensor "rows_<side>" holds. */
static size_t row_of(const golden *g, uint32_t side, size_t index) {
    static const size_t rows_56[] = {0, 27, 55};
    char key[16];
    const json_t *rows;

    (void)snprintf(key, sizeof key, "%u", side);
    rows = json_object_get(json_object_get(g->expect, "rows"), key);
    return side == 56 ? rows_56[index] : (size_t)json_integer_value(json_array_get(rows, index));
}

/* pixels [3, side, side] against the tensor of that side, whole or some of its rows. */
static int check_tensors(const golden *g, uint32_t side, const float *pixels, bool exact) {
    const json_t *tolerances = json_object_get(json_object_get(g->root, "tolerance"), "tensors");
    char whole[32], some[32];
    int checked = 0;

    (void)snprintf(whole, sizeof whole, "pixel_values_%u", side);
    (void)snprintf(some, sizeof some, "rows_%u", side);
    for (size_t i = 0; i < g->tensors.count; i++) {
        const b2_tensor *t = &g->tensors.item[i];
        bool is_whole = strcmp(t->name, whole) == 0;
        json_t *tolerance = json_object_get(tolerances, t->name);
        double atol = exact ? 0 : json_number_value(json_object_get(tolerance, "atol")), sum = 0;
        size_t rows = (size_t)t->dim[1];

        if (!is_whole && strcmp(t->name, some) != 0)
            continue;
        ck_assert(t->type == B2_F32 && t->rank == 3 && t->dim[0] == 3 && t->dim[2] == side);
        for (size_t k = 0; k < t->count; k++) {
            size_t c = k / side / rows, r = k / side % rows, x = k % side;
            size_t y = is_whole ? r : row_of(g, side, r);
            double got = pixels[(c * side + y) * side + x], difference;
            float expected;

            memcpy(&expected, (const uint8_t *)t->data + k * sizeof expected, sizeof expected);
            difference = fabs(got - expected);
            if (!(difference <= atol))
                ck_abort_msg("%s: %s: value %zu is %.9g, expected %.9g", g->folder, t->name, k, got,
                             expected);
            sum += difference;
        }
        ck_assert_msg(exact || sum <= (double)t->count *
                                          json_number_value(json_object_get(tolerance, "mean_abs")),
                      "%s: %s: mean difference %g", g->folder, t->name, sum / (double)t->count);
        checked++;
    }
    return checked;
}

static void check_resized(const golden *g, const uint8_t *resized, bool exact) {
    blip2_image *expected;

    if (json_object_get(json_object_get(g->expect, "files"), "resized_224.png") == NULL)
        return;
    expected = open_picture(g, "resized_224.png");
    ck_assert(expected->width == 224 && expected->height == 224);
    if (exact)
        ck_assert_mem_eq(resized, expected->rgb, 224 * 224 * 3);
    else
        check_levels(g, "resized_224.png", resized, expected->rgb, 224 * 224 * 3);
    blip2_image_free(expected);
}

/* From the decoded picture on. */
static void check_chain(const golden *g, const blip2_image *image, bool exact) {
    static uint8_t resized[364 * 364 * 3];
    static float pixels[3 * 364 * 364];
    int checked = 0;
    char key[32];

    if (exact)
        check_sha(g, "sha256_decoded_rgb8", image->rgb, (size_t)image->width * image->height * 3);
    for (int i = 0; i < 3; i++) {
        uint32_t side = sides[i];
        size_t size = (size_t)side * side * 3;

        ck_assert_status_ok(
            b2_image_resize(resized, side, side, image->rgb, image->width, image->height));
        b2_image_normalise(pixels, resized, side, side, mean, std);
        (void)snprintf(key, sizeof key, "sha256_rgb8_%u", side);
        if (exact)
            check_sha(g, key, resized, size);
        if (exact && side == 56)
            check_sha(g, "sha256_float32_56", pixels, size * sizeof *pixels);
        if (side == 224)
            check_resized(g, resized, exact);
        checked += check_tensors(g, side, pixels, exact);
    }
    ck_assert_int_eq(checked, (int)g->tensors.count);
}

static void check_case(const char *folder) {
    golden g = golden_open(folder);
    const json_t *inputs = json_object_get(g.root, "inputs");
    const char *name = json_string_value(json_object_get(inputs, "image"));
    bool jpeg = strstr(name, ".jpg") != NULL;
    blip2_image *image = open_picture(&g, name), *decoded = NULL;

    ck_assert_int_eq(image->width, json_integer_value(json_object_get(inputs, "width")));
    ck_assert_int_eq(image->height, json_integer_value(json_object_get(inputs, "height")));
    check_chain(&g, image, !jpeg);
    if (json_object_get(json_object_get(g.expect, "files"), "decoded.png") != NULL) {
        decoded = open_picture(&g, "decoded.png");
        ck_assert(decoded->width == image->width && decoded->height == image->height);
        check_levels(&g, "decoded.png", image->rgb, decoded->rgb,
                     (size_t)image->width * image->height * 3);
        check_chain(&g, decoded, true);
    }
    ck_assert(decoded != NULL || !jpeg);
    blip2_image_free(decoded);
    blip2_image_free(image);
    golden_close(&g);
}

START_TEST(golden_cases) {
    glob_t cases;

    ck_assert_int_eq(glob(BLIP2_SOURCE_DIR "/tests/golden/pre_*_*", 0, NULL, &cases), 0);
    ck_assert_uint_eq(cases.gl_pathc, 23);
    for (size_t i = 0; i < cases.gl_pathc; i++)
        check_case(cases.gl_pathv[i]);
    globfree(&cases);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("image_golden");
    TCase *tests = tcase_create("golden");

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, golden_cases);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
