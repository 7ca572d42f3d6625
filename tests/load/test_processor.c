/* The image processor's file. */
#include <string.h>

#include "files.h"
#include "load/config.h"
#include "run.h"
#include "test_processor.h"

static const char model[] = "{\"model_type\":\"blip-2\"}";

static blip2_status processor(b2_config *c, const char *json, bool *found) {
    return b2_config_parse_processor(c, json, strlen(json), "p.json", found);
}

START_TEST(reads_the_image_processor) {
    b2_config c;
    bool found;

    ck_assert_status_ok(b2_config_parse(&c, model, strlen(model), "config.json"));
    ck_assert_status_ok(
        processor(&c, "{\"num_query_tokens\":32,\"processor_class\":\"Blip2Processor\"}", &found));
    ck_assert(!found);
    ck_assert_uint_eq(c.image.width, 224);
    ck_assert_status_ok(processor(&c,
                                  "{\"size\":{\"height\":364,\"width\":224},\"image_mean\":"
                                  "[0,0.5,1],\"image_std\":[0.5,1,2],\"resample\":3,"
                                  "\"rescale_factor\":0.00392156862745098,\"do_resize\":true}",
                                  &found));
    ck_assert(found);
    ck_assert_uint_eq(c.image.width, 224);
    ck_assert_uint_eq(c.image.height, 364);
    ck_assert(c.image.mean[1] == 0.5f && c.image.std[2] == 2);
    ck_assert_status_ok(processor(&c, "{\"image_processor\":{\"size\":28}}", &found));
    ck_assert(found);
    ck_assert_uint_eq(c.image.width, 28);
    ck_assert_uint_eq(c.image.height, 28);
}
END_TEST

START_TEST(refuses_bad_image_processors) {
    static const struct {
        const char *json, *part;
        blip2_status status;
    } bad[] = {
        {"{\"size\":{\"height\":224}}", "\"width\"", BLIP2_EFORMAT},
        {"{\"size\":{\"shortest_edge\":224}}", "\"height\"", BLIP2_EFORMAT},
        {"{\"size\":{\"height\":0,\"width\":224}}", "size.height", BLIP2_EFORMAT},
        {"{\"size\":{\"height\":100000,\"width\":224}}", "size.height", BLIP2_EFORMAT},
        {"{\"size\":{\"height\":225,\"width\":224}}", "patch size 14", BLIP2_EFORMAT},
        {"{\"size\":\"224\"}", "size", BLIP2_EFORMAT},
        {"{\"image_processor\":{\"size\":{\"height\":-1,\"width\":224}}}",
         "p.json: image_processor.size.height", BLIP2_EFORMAT},
        {"{\"image_mean\":[1,2]}", "3 numbers", BLIP2_EFORMAT},
        {"{\"image_mean\":[1,2,\"3\"]}", "got \"3\"", BLIP2_EFORMAT},
        {"{\"image_mean\":0.5}", "3 numbers", BLIP2_EFORMAT},
        {"{\"size\":224,\"image_std\":[1,1,0]}", "image_std", BLIP2_EFORMAT},
        {"{\"size\":224,\"image_std\":[1,1,1e300]}", "image_std", BLIP2_EFORMAT},
        {"{\"size\":224,\"resample\":2}", "bicubic", BLIP2_ENOTSUP},
        {"{\"size\":224,\"rescale_factor\":0.5}", "1/255", BLIP2_ENOTSUP},
        {"{\"size\":224,\"do_resize\":false}", "do_resize", BLIP2_ENOTSUP},
        {"{\"size\":224,\"do_center_crop\":true}", "do_center_crop", BLIP2_ENOTSUP},
        {"{\"size\":224,\"do_normalize\":\"yes\"}", "do_normalize", BLIP2_EFORMAT},
        {"[]", "expected an object", BLIP2_EFORMAT},
    };
    b2_config c, before;
    bool found;

    ck_assert_status_ok(b2_config_parse(&c, model, strlen(model), "config.json"));
    before = c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_status(processor(&c, bad[i].json, &found), bad[i].status);
        expect_message(bad[i].part);
        ck_assert(!found);
        ck_assert_mem_eq(&c, &before, sizeof c);
    }
}
END_TEST

TCase *processor_tests(void) {
    TCase *tests = tcase_create("processor");

    tcase_add_test(tests, reads_the_image_processor);
    tcase_add_test(tests, refuses_bad_image_processors);
    return tests;
}
