/* The one loop: whatever is packed together, in whatever pieces, every request gets the text that
 * it gets alone; and whatever goes wrong, the engine can be used again. What
 * it refuses: test_refusals.c. */
#include <stdio.h>
#include <string.h>

#include "engine_fixture.h"
#include "fixture.h"
#include "run.h"

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open(&f));
}

static void teardown(void) {
    fixture_close(&f);
}

blip2_engine *engine_of(blip2_model *model, uint32_t requests, uint32_t images, uint64_t kv_bytes) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_images = images;
    options.max_kv_bytes = kv_bytes;
    options.max_tokens = 100;
    ck_assert_status_ok(blip2_engine_open(&engine, model, &options));
    return engine;
}

blip2_generate_options generate_options(void) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = 12;
    return options;
}

/* What each input gives alone: the reference of the packing tests. */
static void run_alone(blip2_result *alone[INPUTS], const blip2_generate_options *options) {
    blip2_engine *engine = engine_of(f.model, 1, 1, 0);

    for (int i = 0; i < INPUTS; i++)
        ck_assert_status_ok(blip2_generate(engine, &f.inputs[i], 1, options, &alone[i]));
    blip2_engine_close(engine);
}

static void assert_as_alone(blip2_engine *engine, const blip2_generate_options *options) {
    blip2_result *alone[INPUTS], *together;

    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, options, &together));
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    blip2_engine_close(engine);
    run_alone(alone, options);
    for (int i = 0; i < INPUTS; i++) {
        fixture_assert_same(together, (size_t)i, alone[i], 0);
        blip2_result_free(alone[i]);
    }
    blip2_result_free(together);
}

START_TEST(packing_changes_nothing) {
    blip2_generate_options options = generate_options();

    options.repetition_penalty = _i == 1 ? 1.5f : 0.0f;
    assert_as_alone(engine_of(f.model, 8, 4, 0), &options);
}
END_TEST

START_TEST(few_places_change_nothing) {
    blip2_generate_options options = generate_options();

    assert_as_alone(engine_of(f.model, 2, 1, 0), &options);
}
END_TEST

/* Pages for one request only: the others wait their turn. */
START_TEST(few_pages_change_nothing) {
    blip2_generate_options options = generate_options();
    blip2_engine *probe = engine_of(f.model, 1, 1, 0);
    uint64_t bytes = probe->plan.kv_bytes;

    blip2_engine_close(probe);
    assert_as_alone(engine_of(f.model, 4, 4, bytes), &options);
}
END_TEST

/* A prompt that does not fit into one batch is fed over several steps. */
START_TEST(pieces_of_a_prompt_change_nothing) {
    blip2_generate_options options = generate_options();
    blip2_engine *engine = engine_of(f.model, 3, 3, 0);

    engine->batch.max_rows = 3 + (uint32_t)_i;
    assert_as_alone(engine, &options);
}
END_TEST

typedef struct stream {
    char text[INPUTS][512];
    int done[INPUTS], pieces;
    char final[INPUTS][512]; /* what on_done says */
    int32_t tokens[INPUTS][12];
    size_t count[INPUTS];
    int stop_after;
} stream;

static int collect(size_t index, const char *text, size_t length, void *payload) {
    stream *s = payload;

    strncat(s->text[index], text, length);
    s->pieces++;
    return s->stop_after != 0 && s->pieces >= s->stop_after;
}

static void count_done(size_t index, const char *text, const int32_t *tokens, size_t count,
                       void *payload) {
    stream *s = payload;

    s->done[index]++;
    s->count[index] = count;
    ck_assert_uint_le(count, 12);
    memcpy(s->tokens[index], tokens, count * sizeof *tokens);
    (void)snprintf(s->final[index], sizeof s->final[index], "%s", text);
}

START_TEST(stream_gives_the_text) {
    blip2_generate_options options = generate_options();
    blip2_engine *engine = engine_of(f.model, 3, 2, 0);
    blip2_result *result;
    stream s = {0};

    options.on_text = collect;
    options.on_done = count_done;
    options.payload = &s;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &result));
    for (size_t i = 0; i < INPUTS; i++) {
        size_t count;
        const int32_t *tokens = blip2_result_tokens(result, i, &count);

        ck_assert_ptr_nonnull(strstr(s.text[i], blip2_result_text(result, i)));
        ck_assert_int_eq(s.done[i], 1);
        ck_assert_str_eq(s.final[i], blip2_result_text(result, i));
        ck_assert_uint_eq(s.count[i], count);
        ck_assert_mem_eq(s.tokens[i], tokens, count * sizeof *tokens);
    }
    ck_assert_int_gt(s.pieces, INPUTS);
    blip2_result_free(result);
    blip2_engine_close(engine);
}
END_TEST

START_TEST(a_stop_leaves_a_usable_engine) {
    blip2_generate_options options = generate_options();
    blip2_engine *engine = engine_of(f.model, 2, 2, 0);
    blip2_result *result = (blip2_result *)1;
    stream s = {.stop_after = 2};

    options.on_text = collect;
    options.payload = &s;
    ck_assert_status(blip2_generate(engine, f.inputs, INPUTS, &options, &result), BLIP2_ESTOP);
    ck_assert_ptr_null(result);
    ck_assert_uint_eq(engine->pages.free_count + engine->prefix.idle, engine->pages.count);
    ck_assert_ptr_null(engine->queue);
    options = generate_options();
    assert_as_alone(engine, &options);
}
END_TEST

START_TEST(min_new_tokens_bans_the_end) {
    blip2_generate_options options = generate_options();
    blip2_engine *engine = engine_of(f.model, 8, 4, 0);
    blip2_result *result;
    size_t shortest = 99, n;

    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &result));
    for (size_t i = 0; i < INPUTS; i++) {
        (void)blip2_result_tokens(result, i, &n);
        shortest = n < shortest ? n : shortest;
    }
    ck_assert_uint_lt(shortest, 12); /* else the test below would prove nothing */
    blip2_result_free(result);
    options.min_new_tokens = 11;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &result));
    for (size_t i = 0; i < INPUTS; i++) {
        const int32_t *tokens = blip2_result_tokens(result, i, &n);

        ck_assert_uint_ge(n, 11);
        for (size_t k = 0; k < 11 && k + 1 < n; k++)
            ck_assert_int_ne(tokens[k], f.model->config.stop_ids[0]);
    }
    blip2_result_free(result);
    blip2_engine_close(engine);
}
END_TEST

/* The last token is not fed: with 8 queries and </s> 92 new tokens take 100 rows, 120 take 128. A
 * longer answer begins as a shorter one, also where the longer one fills the pages, the history and
 * the positions to the end. */
START_TEST(as_long_as_rows_last) {
    blip2_generate_options options = generate_options();
    blip2_engine_options limits;
    blip2_engine *engine = engine_of(f.model, 2, 2, 0);
    blip2_result *some, *all;
    size_t n, m;

    options.repetition_penalty = 1.2f;
    options.max_new_tokens = options.min_new_tokens = 92;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, 1, &options, &some));
    blip2_engine_close(engine);
    blip2_engine_options_init(&limits, sizeof limits);
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &limits));
    options.max_new_tokens = options.min_new_tokens = 121;
    ck_assert_status(blip2_generate(engine, f.inputs, 1, &options, &all), BLIP2_EINVAL);
    options.max_new_tokens = options.min_new_tokens = 120;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, 1, &options, &all));
    const int32_t *x = blip2_result_tokens(some, 0, &n), *y = blip2_result_tokens(all, 0, &m);
    ck_assert_uint_eq(n, 92);
    ck_assert_uint_eq(m, 120);
    ck_assert_mem_eq(x, y, 92 * sizeof *x);
    blip2_result_free(some);
    blip2_result_free(all);
    blip2_engine_close(engine);
}
END_TEST

typedef struct nested {
    blip2_engine *engine;
    blip2_status status;
    int calls;
    bool close;
} nested;

static int call_again(size_t index, const char *text, size_t length, void *payload) {
    nested *n = payload;
    blip2_result *result = (blip2_result *)1;

    (void)index, (void)text, (void)length;
    n->calls++;
    if (n->calls > 2)
        return 0;
    n->status = blip2_generate(n->engine, f.inputs, INPUTS, NULL, &result);
    blip2_result_free(result);
    if (n->close)
        blip2_engine_close(n->engine);
    return 0;
}

START_TEST(callbacks_may_use_the_engine) {
    blip2_generate_options options = generate_options();
    nested n = {.engine = engine_of(f.model, 2, 2, 0), .close = _i == 1};
    blip2_engine *second;
    blip2_result *result;

    options.on_text = call_again;
    options.payload = &n;
    ck_assert_status_ok(blip2_generate(n.engine, f.inputs, INPUTS, &options, &result));
    ck_assert_int_gt(n.calls, 0);
    ck_assert_status_ok(n.status);
    ck_assert_ptr_nonnull(blip2_result_text(result, INPUTS - 1));
    blip2_result_free(result);
    if (n.close) { /* it is closed now, and the model is free for another one */
        ck_assert_status_ok(blip2_engine_open(&second, f.model, NULL));
        blip2_engine_close(second);
        return;
    }
    options = generate_options();
    assert_as_alone(n.engine, &options);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("engine");
    TCase *tests = tcase_create("engine");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, packing_changes_nothing, 0, 2);
    tcase_add_test(tests, few_places_change_nothing);
    tcase_add_test(tests, few_pages_change_nothing);
    tcase_add_loop_test(tests, pieces_of_a_prompt_change_nothing, 0, 4);
    tcase_add_test(tests, stream_gives_the_text);
    tcase_add_test(tests, a_stop_leaves_a_usable_engine);
    tcase_add_test(tests, min_new_tokens_bans_the_end);
    tcase_add_test(tests, as_long_as_rows_last);
    tcase_add_loop_test(tests, callbacks_may_use_the_engine, 0, 2);
    suite_add_tcase(suite, tests);
    suite_refusals(suite);
    return run_suite(suite);
}
