/* Pictures of another size than the checkpoint's, asked for when a model is opened: positions,
 * digests, batches, heat maps of patches that are no square, and what is refused. The numbers are
 * those of the golden case hf_opt_interp. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "engine/engine.h"
#include "faults.h"
#include "model/positions.h"
#include "run.h"
#include "stage1_fixture.h"

#define OPT GOLDEN "/models/hf_blip2_opt"

enum { PATCH = 14, SIDE = 56 /* of the pictures of OPT */, PICTURES = 3 };

static blip2_status open_sized(blip2_model **out, const char *folder, uint32_t height,
                               uint32_t width) {
    blip2_model_options options;

    blip2_model_options_init(&options, sizeof options);
    options.device = "cpu";
    options.threads = 1;
    options.image_height = height;
    options.image_width = width;
    return blip2_model_open(out, folder, &options);
}

static void digest_of(char hex[65], uint32_t height, uint32_t width) {
    blip2_model *model;

    ck_assert_status_ok(open_sized(&model, OPT, height, width));
    ck_assert_status_ok(blip2_model_digest(model, hex));
    blip2_model_close(model);
}

START_TEST(a_size_is_part_of_the_digest) {
    char plain[65], same[65], tall[65], wide[65];

    digest_of(plain, 0, 0);
    digest_of(same, SIDE, SIDE);
    digest_of(tall, 84, SIDE);
    digest_of(wide, SIDE, 84);
    ck_assert_str_eq(plain, same);
    ck_assert_str_ne(plain, tall);
    ck_assert_str_ne(plain, wide);
    ck_assert_str_ne(tall, wide);
}
END_TEST

static const uint32_t sizes[][2] = {{84, 70}, {70, 84}, {14, 224}, {112, 28}, {14, 14}, {140, 140}};

/* 14 x 224 has as many patches as the checkpoint's own size, in another shape. */
START_TEST(positions_are_interpolated) {
    uint32_t height = sizes[_i][0], width = sizes[_i][1];
    size_t c, count;
    blip2_model *plain, *model;
    float *expected;

    ck_assert_status_ok(open_sized(&plain, OPT, 0, 0));
    ck_assert_uint_eq(plain->config.vit.image, SIDE);
    ck_assert_status_ok(open_sized(&model, OPT, height, width));
    c = model->config.vit.width;
    count = 1 + (size_t)(height / PATCH) * (width / PATCH);
    ck_assert_uint_eq(model->vit.tokens, count);
    expected = b2_alloc_array(count * c, sizeof *expected);
    ck_assert_status_ok(b2_positions_resize(expected, height / PATCH, width / PATCH,
                                            plain->vit.position, plain->vit.tokens, c, false));
    ck_assert_mem_eq(model->vit.position, expected, count * c * sizeof *expected);
    b2_free(expected);
    blip2_model_close(model);
    blip2_model_close(plain);
}
END_TEST

/* Together and one by one. */
START_TEST(packing_changes_nothing) {
    blip2_image *images[PICTURES];
    blip2_input inputs[PICTURES];
    blip2_result *together, *alone;
    blip2_engine *engine;
    blip2_model *model;
    const int32_t *a, *b;
    size_t n, m;

    ck_assert_status_ok(open_sized(&model, OPT, sizes[_i][0], sizes[_i][1]));
    open_pictures(images, NULL, PICTURES);
    engine = open_engine(model, PICTURES, 2, 1);
    for (size_t i = 0; i < PICTURES; i++)
        inputs[i] = (blip2_input){images[i], "a photo of"};
    ck_assert_status_ok(blip2_generate(engine, inputs, PICTURES, NULL, &together));
    for (size_t i = PICTURES; i-- > 0;) {
        ck_assert_status_ok(blip2_generate(engine, &inputs[i], 1, NULL, &alone));
        a = blip2_result_tokens(together, i, &n);
        b = blip2_result_tokens(alone, 0, &m);
        ck_assert_uint_eq(n, m);
        ck_assert_mem_eq(a, b, n * sizeof *a);
        blip2_result_free(alone);
    }
    blip2_result_free(together);
    blip2_engine_close(engine);
    close_pictures(images, PICTURES);
    blip2_model_close(model);
}
END_TEST

/* A map has the shape of the patches; both kinds of map, of LAVIS's tower. */
START_TEST(heat_maps_have_the_shape) {
    static const blip2_map maps[] = {BLIP2_MAP_MEAN, BLIP2_MAP_CONTRAST};
    blip2_explain_options options;
    blip2_explanation *e;
    blip2_image *image;
    blip2_engine *engine;
    blip2_model *model;
    const float *map;
    double sum = 0.0;
    size_t rows, cols;

    ck_assert_status_ok(open_sized(&model, STAGE1, 42, 70));
    open_pictures(&image, NULL, 1);
    engine = open_engine(model, 3, 1, 1);
    blip2_explain_options_init(&options, sizeof options);
    options.map = maps[_i];
    ck_assert_status_ok(blip2_explain(engine, &(blip2_input){image, "a red star"}, &options, &e));
    map = blip2_explanation_map(e, &rows, &cols);
    ck_assert_uint_eq(rows, 3);
    ck_assert_uint_eq(cols, 5);
    for (size_t i = 0; i < rows * cols; i++)
        sum += (double)map[i];
    ck_assert(sum > 0.0 && sum <= 1.0 + 1e-4);
    blip2_explanation_free(e);
    blip2_engine_close(engine);
    close_pictures(&image, 1);
    blip2_model_close(model);
}
END_TEST

static const uint32_t refused[][2] = {{70, 0},  {0, 70},    {71, 70},     {70, 69},
                                      {13, 14}, {8204, 14}, {8190, 8190}, {UINT32_MAX, 14}};

START_TEST(what_is_no_size_is_refused) {
    char about[64];
    blip2_model *model;

    (void)snprintf(about, sizeof about, "got %u and %u, expected multiples of the patch size 14",
                   refused[_i][0], refused[_i][1]);
    ck_assert_status(open_sized(&model, OPT, refused[_i][0], refused[_i][1]), BLIP2_EINVAL);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(blip2_error_message(), about) != NULL, "%s", blip2_error_message());
}
END_TEST

static blip2_status open_interpolated(void) {
    blip2_model *model;
    blip2_status status = open_sized(&model, OPT, 84, 70);

    ck_assert((status == BLIP2_OK) == (model != NULL));
    blip2_model_close(model);
    return status;
}

START_TEST(interpolation_survives_every_failure) {
    fail_each_allocation(open_interpolated, 100);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("image_size");
    TCase *tests = tcase_create("image_size");

    tcase_set_timeout(tests, 240);
    tcase_add_test(tests, a_size_is_part_of_the_digest);
    tcase_add_loop_test(tests, positions_are_interpolated, 0, sizeof sizes / sizeof *sizes);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, sizeof sizes / sizeof *sizes);
    tcase_add_loop_test(tests, heat_maps_have_the_shape, 0, 2);
    tcase_add_loop_test(tests, what_is_no_size_is_refused, 0, sizeof refused / sizeof *refused);
    tcase_add_test(tests, interpolation_survives_every_failure);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
