/* Videos: InstructBLIP reads each frame with the prompt; soft prompts stand one behind the other.
 * That the texts are the original's is for golden cases to say (lavis_*_video). */
#include <string.h>

#include "base/size.h"
#include "engine/engine.h"
#include "faults.h"
#include "fixture.h"
#include "run.h"

static const char *const folders[] = {GOLDEN "/models/lavis_vicuna_instruct",
                                      GOLDEN "/models/lavis_t5_instruct"};
enum { FOLDERS = 2, CLIPS = 4, NEW_TOKENS = 10 };

static const struct {
    size_t frames[4], count;
} clips[CLIPS] = {{{0, 1, 2}, 3}, {{1, 1}, 2}, {{2}, 1}, {{2, 0, 2, 1}, 4}};

static blip2_status clip_open(blip2_image **out, const fixture *f, size_t clip) {
    const blip2_image *frames[4];

    for (size_t i = 0; i < clips[clip].count; i++)
        frames[i] = f->images[clips[clip].frames[i]];
    return blip2_image_from_frames(out, frames, clips[clip].count);
}

static blip2_engine *engine_of(blip2_model *model, uint32_t requests, uint32_t tokens) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_tokens = tokens;
    options.image_cache_bytes = 1; /* as many pictures as requests */
    ck_assert_status_ok(blip2_engine_open(&engine, model, &options));
    return engine;
}

static blip2_generate_options options_of(uint32_t beams) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = NEW_TOKENS;
    options.num_beams = beams;
    return options;
}

/* Videos and pictures together, and each alone; a video of one frame is that picture. */
START_TEST(packing_changes_nothing) {
    static const uint32_t beams[] = {1, 3};
    blip2_generate_options options = options_of(beams[_i / FOLDERS]);
    blip2_image *videos[CLIPS];
    blip2_input inputs[CLIPS + 1];
    blip2_result *together, *alone;
    blip2_engine *engine;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i % FOLDERS]));
    for (size_t i = 0; i < CLIPS; i++) {
        ck_assert_status_ok(clip_open(&videos[i], &f, i));
        inputs[i] = (blip2_input){videos[i], "what is this?"};
    }
    inputs[CLIPS] = (blip2_input){f.images[2], "what is this?"};
    engine = engine_of(f.model, 2, 100);
    ck_assert_status_ok(blip2_generate(engine, inputs, CLIPS + 1, &options, &together));
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    blip2_engine_close(engine);
    fixture_assert_same(together, 2, together, CLIPS);
    engine = engine_of(f.model, 1, 200); /* the beams of one alone */
    for (size_t i = CLIPS + 1; i-- > 0;) {
        ck_assert_status_ok(blip2_generate(engine, &inputs[i], 1, &options, &alone));
        fixture_assert_same(together, i, alone, 0);
        blip2_result_free(alone);
    }
    blip2_engine_close(engine);
    blip2_result_free(together);
    for (size_t i = 0; i < CLIPS; i++)
        blip2_image_free(videos[i]);
    fixture_close(&f);
}
END_TEST

/* Soft prompts in the order of the frames; equal frames are encoded once. */
START_TEST(frames_stand_in_order) {
    blip2_generate_options options = options_of(1);
    blip2_engine_counts counts;
    blip2_engine *engine;
    blip2_image *video;
    blip2_result *result;
    const float *soft;
    size_t each;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i]));
    ck_assert_status_ok(clip_open(&video, &f, 3)); /* 2, 0, 2, 1 */
    engine = engine_of(f.model, 4, 100);
    ck_assert_status_ok(
        blip2_generate(engine, &(blip2_input){video, "what"}, 1, &options, &result));
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    ck_assert_uint_eq(counts.images_encoded, 3);
    ck_assert_uint_eq(counts.image_hits, 1);
    soft = engine->instruct.soft.data; /* of the CPU device */
    each = f.model->config.qformer.queries * (size_t)engine->instruct.soft.cols;
    ck_assert_mem_eq(soft, soft + 2 * each, each * sizeof *soft);
    ck_assert_int_ne(memcmp(soft, soft + each, each * sizeof *soft), 0);
    ck_assert_int_ne(memcmp(soft + each, soft + 3 * each, each * sizeof *soft), 0);
    blip2_result_free(result);
    blip2_image_free(video);
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

static void expect(const char *part) {
    ck_assert_msg(strstr(blip2_error_message(), part) != NULL, "message: %s",
                  blip2_error_message());
}

START_TEST(others_refuse_videos) {
    blip2_generate_options options = options_of(1);
    blip2_engine *engine;
    blip2_image *video;
    blip2_result *result;
    blip2_features *features;
    blip2_input input;
    fixture f;

    ck_assert_status_ok(fixture_open(&f));
    ck_assert_status_ok(clip_open(&video, &f, 0));
    input = (blip2_input){video, "what"};
    engine = engine_of(f.model, 1, 60);
    ck_assert_status(blip2_generate(engine, &input, 1, &options, &result), BLIP2_ENOTSUP);
    expect("reads no video");
    ck_assert(!blip2_model_can(f.model, "video"));
    blip2_engine_close(engine);
    blip2_model_close(f.model);
    ck_assert_status_ok(blip2_model_open(&f.model, GOLDEN "/models/lavis_stage1", NULL));
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, NULL));
    ck_assert_status(blip2_features_extract(engine, &input, 1, NULL, &features), BLIP2_ENOTSUP);
    expect("a video of 3 frames");
    blip2_engine_close(engine);
    blip2_image_free(video);
    fixture_close(&f);
}
END_TEST

START_TEST(long_videos_are_refused) {
    blip2_generate_options options = options_of(1);
    const blip2_image *frames[100];
    blip2_image *video;
    blip2_engine *engine;
    blip2_result *result;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i]));
    for (size_t i = 0; i < 100; i++)
        frames[i] = f.images[0];
    engine = engine_of(f.model, 1, 40);
    ck_assert_status_ok(blip2_image_from_frames(&video, frames, 5)); /* 40 rows */
    ck_assert_status(blip2_generate(engine, &(blip2_input){video, "what"}, 1, &options, &result),
                     BLIP2_EINVAL);
    expect("40 image");
    expect("max_tokens is 40");
    blip2_image_free(video);
    ck_assert_status_ok(blip2_image_from_frames(&video, frames, 100));
    ck_assert_status(blip2_generate(engine, &(blip2_input){video, "what"}, 1, &options, &result),
                     BLIP2_EINVAL);
    expect("800 image");
    blip2_image_free(video);
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

/* The default of max_tokens grows by the frames, as far as the model goes. */
START_TEST(an_engine_has_room_for_a_video) {
    blip2_generate_options options = options_of(1);
    blip2_engine_options limits;
    const blip2_image *frames[40];
    blip2_image *video;
    blip2_engine *engine;
    blip2_result *result;
    int64_t room;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i]));
    ck_assert_uint_eq(blip2_model_image_tokens(f.model), f.model->config.qformer.queries);
    ck_assert_uint_eq(blip2_model_image_tokens(NULL), 0);
    for (size_t i = 0; i < 40; i++)
        frames[i] = f.images[0];
    blip2_engine_options_init(&limits, sizeof limits);
    limits.max_requests = 1;
    limits.max_frames = UINT32_MAX; /* of T5: memory for keys and values that there is not */
    if (_i == 0) {
        ck_assert_status_ok(blip2_engine_open(&engine, f.model, &limits));
        ck_assert_uint_eq(engine->plan.limits.max_tokens, f.model->writer.positions);
        blip2_engine_close(engine);
    }
    limits.max_frames = 10;
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &limits));
    ck_assert_uint_eq(engine->plan.limits.max_tokens,
                      b2_size_min(256 + 9 * 8, f.model->writer.positions));
    for (size_t n = 1; n <= 40; n++) {
        ck_assert_status_ok(blip2_image_from_frames(&video, frames, n));
        ck_assert_status_ok(blip2_generate_room(engine, "what", n, &options, &room));
        ck_assert_int_eq(
            blip2_generate(engine, &(blip2_input){video, "what"}, 1, &options, &result),
            room >= 0 ? BLIP2_OK : BLIP2_EINVAL);
        blip2_result_free(result);
        blip2_image_free(video);
    }
    ck_assert_int_lt(room, 0); /* 320 */
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

/* A stopped request leaves nothing behind, whichever frame it has come to. */
START_TEST(cancelled_requests_leave_nothing) {
    b2_request_options options = {.prompt = "what", .max_new_tokens = 4, .repetition_penalty = 1};
    blip2_engine *engine;
    blip2_image *video;
    b2_request *request;
    bool busy;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i % FOLDERS]));
    ck_assert_status_ok(clip_open(&video, &f, 0));
    engine = engine_of(f.model, 1, 100);
    ck_assert_status_ok(b2_request_open(&request, f.model, video, &options));
    ck_assert_status_ok(b2_engine_submit(engine, request));
    for (int i = 0; i < _i / FOLDERS; i++)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    b2_engine_cancel(engine, request);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    for (uint32_t i = 0; i < engine->images.count; i++)
        ck_assert_uint_eq(engine->images.places[i].pins, 0);
    b2_request_close(request);
    blip2_image_free(video);
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

static blip2_status watch_video(void) {
    const blip2_generate_options options = options_of(1);
    blip2_engine_options limits;
    blip2_engine *engine = NULL;
    blip2_image *video = NULL;
    blip2_result *result = NULL;
    fixture f;
    blip2_status status;

    blip2_engine_options_init(&limits, sizeof limits);
    limits.max_requests = 1;
    limits.max_tokens = 64;
    if ((status = fixture_open_model(&f, folders[0])) == BLIP2_OK &&
        (status = clip_open(&video, &f, 0)) == BLIP2_OK &&
        (status = blip2_engine_open(&engine, f.model, &limits)) == BLIP2_OK)
        status = blip2_generate(engine, &(blip2_input){video, "what"}, 1, &options, &result);
    ck_assert(status == BLIP2_OK || result == NULL);
    blip2_result_free(result);
    blip2_engine_close(engine);
    blip2_image_free(video);
    fixture_close(&f);
    return status;
}

START_TEST(videos_survive_every_failure) {
    fail_each_allocation(watch_video, 100);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("video");
    TCase *tests = tcase_create("video"), *faults = tcase_create("faults");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 2 * FOLDERS);
    tcase_add_loop_test(tests, frames_stand_in_order, 0, FOLDERS);
    tcase_add_test(tests, others_refuse_videos);
    tcase_add_loop_test(tests, long_videos_are_refused, 0, FOLDERS);
    tcase_add_loop_test(tests, an_engine_has_room_for_a_video, 0, FOLDERS);
    tcase_add_loop_test(tests, cancelled_requests_leave_nothing, 0, 5 * FOLDERS);
    tcase_set_timeout(faults, 240);
    tcase_add_test(faults, videos_survive_every_failure);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, faults);
    return run_suite(suite);
}
