/* InstructBLIP in the engine: the Q-Former reads each request's prompt, whatever else it reads in
 * the same pass, and each picture is encoded once for all prompts. */
#include <string.h>

#include "engine/engine.h"
#include "faults.h"
#include "fixture.h"
#include "run.h"

static const char *const folders[] = {GOLDEN "/models/hf_instructblip_llama",
                                      GOLDEN "/models/hf_instructblip_t5"};
enum { FOLDERS = 2, NEW_TOKENS = 12 };

static blip2_engine *engine_of(blip2_model *model, uint32_t requests) {
    return fixture_engine(model, requests, 250);
}

static blip2_generate_options generate_options(uint32_t beams) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = NEW_TOKENS;
    options.num_beams = beams;
    return options;
}

/* All inputs at once in an engine for so many requests, and each in one of its own. */
static void assert_as_alone(blip2_model *model, uint32_t requests, const blip2_input *inputs,
                            uint32_t beams) {
    blip2_generate_options options = generate_options(beams);
    blip2_engine *engine = engine_of(model, requests);
    blip2_result *together, *alone;

    ck_assert_status_ok(blip2_generate(engine, inputs, INPUTS, &options, &together));
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    blip2_engine_close(engine);
    engine = engine_of(model, 1);
    for (size_t i = INPUTS; i-- > 0;) { /* so that pictures get other places */
        ck_assert_status_ok(blip2_generate(engine, &inputs[i], 1, &options, &alone));
        fixture_assert_same(together, i, alone, 0);
        blip2_result_free(alone);
    }
    blip2_engine_close(engine);
    blip2_result_free(together);
}

START_TEST(packing_changes_nothing) {
    static const struct { uint32_t requests, beams; } ways[] = {{8, 0}, {2, 0}, {4, 3}};
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i % FOLDERS]));
    assert_as_alone(f.model, ways[_i / FOLDERS].requests, f.inputs, ways[_i / FOLDERS].beams);
    fixture_close(&f);
}
END_TEST

/* Prompts of more rows than one pass of the Q-Former has room for. */
START_TEST(long_prompts_take_turns) {
    char text[2 * 80 + 1];
    blip2_engine *engine;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[0]));
    engine = engine_of(f.model, INPUTS);
    ck_assert_uint_lt(engine->plan.limits.score_rows, INPUTS * (8 + 82));
    blip2_engine_close(engine);
    for (size_t i = 0; i < 80; i++)
        memcpy(text + 2 * i, " b", 3);
    for (size_t i = 0; i < INPUTS; i++)
        f.inputs[i].prompt = text + 2 * i; /* 80 to 76 words */
    assert_as_alone(f.model, INPUTS, f.inputs, 0);
    fixture_close(&f);
}
END_TEST

/* Two questions about one picture: encoded once, and read twice. */
START_TEST(each_prompt_is_read) {
    blip2_generate_options options = generate_options(0);
    blip2_engine_counts counts;
    blip2_engine *engine;
    blip2_result *result;
    blip2_input inputs[3];
    const float *soft;
    size_t each, used;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i]));
    engine = engine_of(f.model, 3);
    for (size_t i = 0; i < 3; i++)
        inputs[i] = (blip2_input){f.images[0], i == 1 ? "what is this?" : "a photo of"};
    ck_assert_status_ok(blip2_generate(engine, inputs, 3, &options, &result));
    ck_assert_status_ok(blip2_engine_stats(engine, &counts, sizeof counts));
    ck_assert_uint_eq(counts.images_encoded, 1);
    ck_assert_uint_eq(counts.image_hits, 2);
    ck_assert_uint_eq(counts.query_runs, 0);
    /* On the CPU the soft prompts can be looked at where they are. */
    soft = engine->instruct.soft.data;
    each = b2_instruct_row(&engine->instruct, 1) * (size_t)engine->instruct.soft.cols;
    used = f.model->config.qformer.queries * (size_t)engine->instruct.soft.cols;
    ck_assert_mem_eq(soft, soft + 2 * each, used * sizeof *soft);
    ck_assert_int_ne(memcmp(soft, soft + each, used * sizeof *soft), 0);
    fixture_assert_same(result, 0, result, 2);
    blip2_result_free(result);
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

static b2_request *request_of(const fixture *f, const char *prompt, b2_beam_rule rule) {
    const b2_request_options options = {
        .prompt = prompt, .max_new_tokens = NEW_TOKENS, .repetition_penalty = 1.0f, .rule = rule};
    b2_request *request;

    ck_assert_status_ok(b2_request_open(&request, f->model, f->images[0], &options));
    return request;
}

/* LAVIS keeps the end of a long prompt, of which the language model reads everything. */
START_TEST(lavis_cuts_on_the_left) {
    enum { LIMIT = 7 };
    const char *prompt = "which city is this? is the tower standing?";
    b2_request *whole, *cut;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[0]));
    ck_assert_uint_eq(f.model->config.instruction, 128);
    f.model->config.instruction = LIMIT;
    whole = request_of(&f, prompt, B2_BEAM_HF);
    cut = request_of(&f, prompt, B2_BEAM_LAVIS);
    ck_assert_uint_gt(whole->instruction.count, LIMIT);
    ck_assert_uint_eq(cut->instruction.count, LIMIT);
    ck_assert_int_eq(cut->instruction.ids[0], whole->instruction.ids[0]);
    ck_assert_mem_eq(cut->instruction.ids + 1,
                     whole->instruction.ids + whole->instruction.count - (LIMIT - 1),
                     (LIMIT - 1) * sizeof(int32_t));
    ck_assert_uint_eq(cut->prompt_count, whole->prompt_count);
    b2_request_close(whole);
    b2_request_close(cut);
    whole = request_of(&f, "what", B2_BEAM_LAVIS); /* short ones stay as they are */
    ck_assert_uint_lt(whole->instruction.count, LIMIT);
    b2_request_close(whole);
    fixture_close(&f);
}
END_TEST

static void refuse_prompt(blip2_engine *engine, const fixture *f, const char *prompt,
                          const char *message) {
    blip2_generate_options options = generate_options(0);
    blip2_input input = {f->images[0], prompt};
    blip2_result *result;

    ck_assert_status(blip2_generate(engine, &input, 1, &options, &result), BLIP2_EINVAL);
    ck_assert_ptr_null(result);
    ck_assert_msg(strstr(blip2_error_message(), message) != NULL, "message: %s",
                  blip2_error_message());
}

START_TEST(bad_prompts) {
    char text[2 * 89 + 1];
    blip2_engine *engine;
    blip2_features *features;
    blip2_match_score score;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[0]));
    engine = engine_of(f.model, 1);
    refuse_prompt(engine, &f, "<image> what is this?",
                  "prompt: holds the image token (id 390), expected text alone");
    for (size_t i = 0; i < 89; i++)
        memcpy(text + 2 * i, " b", 3);
    refuse_prompt(engine, &f, text,
                  "prompt: 91 tokens as the Q-Former reads it, expected at most 90");
    /* Its Q-Former is no stage 1. */
    ck_assert_status(blip2_features_extract(engine, f.inputs, 1, NULL, &features), BLIP2_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(blip2_error_message(), "its Q-Former reads instructions"));
    ck_assert_status(blip2_match(engine, &f.inputs[1], 1, NULL, &score), BLIP2_ENOTSUP);
    ck_assert(blip2_model_can(f.model, "caption") && blip2_model_can(f.model, "vqa"));
    ck_assert(blip2_model_can(f.model, "video"));
    ck_assert(!blip2_model_can(f.model, "features") && !blip2_model_can(f.model, "match"));
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

/* A stopped request leaves nothing behind, wherever it stands. */
START_TEST(cancelled_requests_leave_nothing) {
    blip2_engine *engine;
    b2_request *request;
    bool busy;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, folders[_i % FOLDERS]));
    engine = engine_of(f.model, 1);
    request = request_of(&f, "a photo of", B2_BEAM_HF);
    ck_assert_status_ok(b2_engine_submit(engine, request));
    for (int i = 0; i < _i / FOLDERS; i++)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    b2_engine_cancel(engine, request);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    ck_assert_ptr_null(engine->running[0]);
    b2_request_close(request);
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

static blip2_status caption(void) {
    blip2_engine_options limits;
    const blip2_generate_options options = generate_options(2);
    blip2_engine *engine = NULL;
    blip2_result *result = NULL;
    fixture f;
    blip2_status status;

    blip2_engine_options_init(&limits, sizeof limits);
    limits.max_requests = 2;
    limits.max_tokens = 64;
    if ((status = fixture_open_model(&f, folders[0])) == BLIP2_OK &&
        (status = blip2_engine_open(&engine, f.model, &limits)) == BLIP2_OK)
        status = blip2_generate(engine, f.inputs, 1, &options, &result);
    ck_assert(status == BLIP2_OK || result == NULL);
    blip2_result_free(result);
    blip2_engine_close(engine);
    fixture_close(&f);
    return status;
}

START_TEST(captioning_survives_every_failure) {
    fail_each_allocation(caption, 100);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("instruct");
    TCase *tests = tcase_create("instruct"), *faults = tcase_create("faults");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 3 * FOLDERS);
    tcase_add_test(tests, long_prompts_take_turns);
    tcase_add_loop_test(tests, each_prompt_is_read, 0, FOLDERS);
    tcase_add_test(tests, lavis_cuts_on_the_left);
    tcase_add_test(tests, bad_prompts);
    tcase_add_loop_test(tests, cancelled_requests_leave_nothing, 0, 3 * FOLDERS);
    tcase_set_timeout(faults, 240);
    tcase_add_test(faults, captioning_survives_every_failure);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, faults);
    return run_suite(suite);
}
