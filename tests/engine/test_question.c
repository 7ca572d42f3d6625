/* How questions are asked of each family, and the room of prompts: what it says is what
 * blip2_generate does. */
#include <string.h>

#include "base/text_buffer.h"
#include "engine/engine.h"
#include "engine/generate_options.h"
#include "faults.h"
#include "fixture.h"
#include "run.h"

static const struct {
    const char *folder, *prompt;
    uint32_t tokens;
    float penalty, repetition;
} families[] = {{GOLDEN "/models/hf_blip2_opt", "Question: {} Answer:", 10, 0.0f, 1.0f},
                {GOLDEN "/models/hf_blip2_t5", "Question: {} Answer:", 10, -1.0f, 1.0f},
                {GOLDEN "/models/hf_instructblip_t5", "{}", 10, -1.0f, 1.5f},
                {GOLDEN "/models/hf_instructblip_llama", "{}", 9, 0.0f, 1.5f}};
enum { FAMILIES = 4, SMALL = 40 /* tokens of a small engine */ };

START_TEST(defaults_are_those_of_predict_answers) {
    blip2_generate_options options;
    const char *prompt;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, families[_i].folder));
    blip2_generate_options_init(&options, sizeof options);
    options.seed = 7;
    ck_assert_status_ok(blip2_question_defaults(f.model, &options, &prompt));
    ck_assert_str_eq(prompt, families[_i].prompt);
    ck_assert_uint_eq(options.num_beams, 5);
    ck_assert_uint_eq(options.max_new_tokens, families[_i].tokens);
    ck_assert(*options.length_penalty == families[_i].penalty);
    ck_assert(options.repetition_penalty == families[_i].repetition);
    ck_assert_int_eq(options.compat, BLIP2_COMPAT_LAVIS);
    ck_assert_uint_eq(options.max_prompt_tokens, UINT32_MAX);
    ck_assert_uint_eq(options.seed, 7); /* the others stay */
    ck_assert_uint_eq(options.size, sizeof options);
    fixture_close(&f);
}
END_TEST

/* A struct of a version that ended before compat keeps what is behind it. */
START_TEST(a_shorter_struct_is_not_overrun) {
    blip2_generate_options options, before;
    const char *prompt;
    fixture f;

    ck_assert_status_ok(fixture_open(&f));
    memset(&options, 0x5a, sizeof options);
    blip2_generate_options_init(&options, offsetof(blip2_generate_options, length_penalty));
    before = options;
    ck_assert_status_ok(blip2_question_defaults(f.model, &options, &prompt));
    ck_assert_uint_eq(options.num_beams, 5);
    ck_assert_uint_eq(options.size, before.size);
    ck_assert_mem_eq((const char *)&options + before.size, (const char *)&before + before.size,
                     sizeof options - before.size);
    fixture_close(&f);
}
END_TEST

static blip2_engine *engine_of(blip2_model *model, uint32_t tokens) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = 1;
    options.max_tokens = tokens;
    ck_assert_status_ok(blip2_engine_open(&engine, model, &options));
    return engine;
}

/* Longer and longer prompts until two are refused, so many tokens too long as they have more than
 * the last one that was not. */
static void compare(blip2_engine *engine, const fixture *f, blip2_compat compat, uint32_t tokens) {
    blip2_generate_options options;
    b2_text_buffer prompt = {0};
    int64_t room = 0, before = INT64_MAX;
    int refused = 0;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = tokens;
    options.compat = compat;
    options.max_prompt_tokens = UINT32_MAX;
    while (refused < 2) {
        const blip2_input input = {f->images[0], b2_text_data(&prompt)};
        blip2_result *result = NULL;
        blip2_status status = blip2_generate(engine, &input, 1, &options, &result);

        ck_assert_status_ok(blip2_generate_room(engine, input.prompt, 0, &options, &room));
        ck_assert_msg((status == BLIP2_OK) == (room >= 0), "room %lld, %s", (long long)room,
                      blip2_error_message());
        ck_assert_int_eq(status, room >= 0 ? BLIP2_OK : BLIP2_EINVAL);
        ck_assert(room <= before);
        before = room;
        refused += room < 0;
        blip2_result_free(result);
        b2_text_append(&prompt, " a", 2);
    }
    b2_text_free(&prompt);
}

START_TEST(room_is_what_generate_has) {
    fixture f;
    blip2_engine *engine;

    ck_assert_status_ok(fixture_open_model(&f, families[_i].folder));
    engine = engine_of(f.model, SMALL);
    compare(engine, &f, BLIP2_COMPAT_HF, 3);
    compare(engine, &f, BLIP2_COMPAT_LAVIS, 9);
    blip2_engine_close(engine);
    engine = engine_of(f.model, _i == 0 ? 128 : 250); /* more than the Q-Former can read */
    compare(engine, &f, BLIP2_COMPAT_HF, 1);
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

static blip2_engine *of_path;

static blip2_status path(void) {
    int64_t room;

    return blip2_generate_room(of_path, "Question: is there a ring? Answer:", 0, NULL, &room);
}

START_TEST(room_survives_every_failure) {
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, families[_i].folder));
    of_path = engine_of(f.model, SMALL);
    fail_each_allocation(path, 2);
    blip2_engine_close(of_path);
    fixture_close(&f);
}
END_TEST

START_TEST(what_cannot_be_asked) {
    blip2_generate_options options;
    blip2_model *model;
    blip2_engine *engine;
    const char *prompt;
    int64_t room;
    fixture f;

    blip2_generate_options_init(&options, sizeof options);
    ck_assert_status(blip2_question_defaults(NULL, &options, &prompt), BLIP2_EINVAL);
    ck_assert_status(blip2_generate_room(NULL, "", 0, NULL, &room), BLIP2_EINVAL);
    ck_assert_status_ok(fixture_open(&f));
    ck_assert_status(blip2_question_defaults(f.model, NULL, &prompt), BLIP2_EINVAL);
    ck_assert_status(blip2_question_defaults(f.model, &options, NULL), BLIP2_EINVAL);
    engine = engine_of(f.model, SMALL);
    ck_assert_status(blip2_generate_room(engine, "", 0, NULL, NULL), BLIP2_EINVAL);
    options.top_k = 5; /* without do_sample */
    ck_assert_status(blip2_generate_room(engine, "", 0, &options, &room), BLIP2_EINVAL);
    ck_assert_status_ok(blip2_generate_room(engine, NULL, 0, NULL, &room));
    options.size = 0;
    ck_assert_status(blip2_question_defaults(f.model, &options, &prompt), BLIP2_EINVAL);
    blip2_engine_close(engine);
    fixture_close(&f);
    blip2_generate_options_init(&options, sizeof options);
    ck_assert_status_ok(
        blip2_model_open(&model, BLIP2_SOURCE_DIR "/models/demo/lavis", NULL)); /* stage 1 */
    engine = engine_of(model, SMALL);
    ck_assert_status(blip2_question_defaults(model, &options, &prompt), BLIP2_ENOTSUP);
    ck_assert_status(blip2_generate_room(engine, "", 0, NULL, &room), BLIP2_ENOTSUP);
    blip2_engine_close(engine);
    blip2_model_close(model);
}
END_TEST

static const struct {
    const char *folder;
    blip2_compat compat;
    uint32_t most, expected; /* of 100 tokens, the special one included */
} cuts[] = {
    {GOLDEN "/models/hf_blip2_opt", BLIP2_COMPAT_AUTO, 0, 100},
    {GOLDEN "/models/hf_blip2_opt", BLIP2_COMPAT_HF, 0, 100},
    {GOLDEN "/models/hf_blip2_opt", BLIP2_COMPAT_LAVIS, 0, 32},
    {GOLDEN "/models/hf_blip2_opt", BLIP2_COMPAT_LAVIS, 7, 7},
    {GOLDEN "/models/hf_blip2_opt", BLIP2_COMPAT_LAVIS, UINT32_MAX, 100},
    {GOLDEN "/models/hf_blip2_opt", BLIP2_COMPAT_HF, 1, 1},
    {GOLDEN "/models/hf_blip2_opt", BLIP2_COMPAT_HF, 100, 100},
    {GOLDEN "/models/lavis_opt", BLIP2_COMPAT_AUTO, 0, 32},
    {GOLDEN "/models/hf_blip2_t5", BLIP2_COMPAT_LAVIS, 0, 100},
    {GOLDEN "/models/hf_blip2_t5", BLIP2_COMPAT_HF, 9, 9},
    {GOLDEN "/models/hf_blip2_t5", BLIP2_COMPAT_HF, 1, 1},
};

/* What the language model reads of a prompt: its first tokens, and T5's end token. */
START_TEST(long_prompts_are_cut) {
    blip2_generate_options options;
    b2_generate_plan plan;
    b2_request *request;
    b2_tokens whole = {0};
    b2_text_buffer prompt = {0};
    const int32_t *ids;
    uint32_t count;
    fixture f;

    ck_assert_status_ok(fixture_open_model(&f, cuts[_i].folder));
    while (whole.count < 100) {
        b2_text_append(&prompt, whole.count % 3 == 0 ? " a" : " b", 2);
        whole.count = 0;
        ck_assert_status_ok(b2_tokenizer_encode(f.model->tokenizer, b2_text_data(&prompt),
                                                prompt.length, true, &whole));
    }
    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = 3;
    options.compat = cuts[_i].compat;
    options.max_prompt_tokens = cuts[_i].most;
    ck_assert_status_ok(b2_generate_plan_make(&plan, &options, f.model));
    plan.request.prompt = b2_text_data(&prompt);
    ck_assert_status_ok(b2_request_open(&request, f.model, f.images[0], &plan.request));
    count = f.model->writer.reads ? request->reading.id_count : request->prompt_count;
    ids = f.model->writer.reads ? request->reading.ids : request->ids;
    ck_assert_uint_eq(count, cuts[_i].expected == 100 ? whole.count : cuts[_i].expected);
    ck_assert_mem_eq(ids, whole.ids, (count - 1) * sizeof *ids);
    ck_assert_int_eq(ids[count - 1],
                     whole.ids[f.model->writer.reads ? whole.count - 1 : count - 1]);
    b2_request_close(request);
    b2_tokens_free(&whole);
    b2_text_free(&prompt);
    fixture_close(&f);
}
END_TEST

/* A prompt that is cut fits however long it is. */
START_TEST(room_knows_of_cuts) {
    static char text[20001];
    blip2_generate_options options;
    blip2_engine *engine;
    int64_t room;
    fixture f;

    memset(text, 'a', sizeof text - 1);
    ck_assert_status_ok(fixture_open(&f));
    engine = engine_of(f.model, 60);
    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = 3;
    ck_assert_status_ok(blip2_generate_room(engine, text, 0, &options, &room));
    ck_assert_int_lt(room, 0);
    options.max_prompt_tokens = 20;
    ck_assert_status_ok(blip2_generate_room(engine, text, 0, &options, &room));
    ck_assert_int_eq(room, 60 + 1 - 8 - 20 - 3);
    blip2_engine_close(engine);
    fixture_close(&f);
}
END_TEST

static const struct {
    blip2_question question;
    const char *prompt;
} prompts[] = {
    {{0}, ""},
    {{.question = "why?"}, "why?"},
    {{.question = "why?", .prompt = ""}, "why?"},
    {{.question = "why?", .prompt = "Question: {} Answer:"}, "Question: why? Answer:"},
    {{.question = "{}", .prompt = "{} or {}"}, "{} or {}"},
    {{.question = "why?", .prompt = "a ring"}, "a ring"},
    {{.prompt = "a {} ring"}, "a {} ring"},
    {{.context = "a cat"}, "context: a cat. "},
    {{.question = "why?", .context = "c", .history = "h {}", .caption = "t"},
     "This image has the caption \"t\". dialog history: h {}\ncontext: c. why?"},
};

START_TEST(what_is_known_stands_in_front) {
    char *prompt;

    ck_assert_status_ok(blip2_question_prompt(&prompt, &prompts[_i].question));
    ck_assert_str_eq(prompt, prompts[_i].prompt);
    blip2_string_free(prompt);
    ck_assert_status(blip2_question_prompt(&prompt, NULL), BLIP2_EINVAL);
    ck_assert_ptr_null(prompt);
    ck_assert_status(blip2_question_prompt(NULL, &prompts[_i].question), BLIP2_EINVAL);
}
END_TEST

static blip2_status make_prompt(void) {
    const blip2_question *question = &prompts[sizeof prompts / sizeof *prompts - 1].question;
    char *prompt;
    blip2_status status = blip2_question_prompt(&prompt, question);

    ck_assert((status == BLIP2_OK) == (prompt != NULL));
    blip2_string_free(prompt);
    return status;
}

START_TEST(prompts_survive_every_failure) {
    fail_each_allocation(make_prompt, 1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("question");
    TCase *tests = tcase_create("question");

    tcase_set_timeout(tests, 100);
    tcase_add_loop_test(tests, defaults_are_those_of_predict_answers, 0, FAMILIES);
    tcase_add_test(tests, a_shorter_struct_is_not_overrun);
    tcase_add_loop_test(tests, room_is_what_generate_has, 0, FAMILIES);
    tcase_add_loop_test(tests, room_survives_every_failure, 0, FAMILIES);
    tcase_add_loop_test(tests, long_prompts_are_cut, 0, sizeof cuts / sizeof *cuts);
    tcase_add_test(tests, room_knows_of_cuts);
    tcase_add_loop_test(tests, what_is_known_stands_in_front, 0, sizeof prompts / sizeof *prompts);
    tcase_add_test(tests, prompts_survive_every_failure);
    tcase_add_test(tests, what_cannot_be_asked);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
