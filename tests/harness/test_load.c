/* blip2-bench load: counts and equality; how fast it was is anybody's guess. */
#include <string.h>

#include "altered_case.h"

#define DEMO BLIP2_SOURCE_DIR "/models/demo"

static long long count_of(const json_t *object, const char *name) {
    ck_assert_msg(json_is_integer(json_object_get(object, name)), "%s", name);
    return json_integer_value(json_object_get(object, name));
}

static long long tasks_of(const json_t *report, const char *name) {
    const json_t *tasks = json_object_get(report, "tasks");
    const char *task;
    json_t *about;
    long long sum = 0;

    json_object_foreach((json_t *)tasks, task, about) sum += count_of(about, name);
    return sum;
}

/* The report of a run that ended well. */
static json_t *report_of(const outcome *o) {
    json_t *report = json_loads(o->out, 0, NULL);

    expect_success(o);
    ck_assert_ptr_nonnull(report);
    return report;
}

START_TEST(a_load_is_answered_as_alone) {
    static const struct {
        const char *model, *loop, *value;
    } loads[] = {{DEMO "/caption", "--concurrency", "5"},
                 {DEMO "/lavis", "--concurrency", "20"},
                 {DEMO "/match", "--rate", "500"}};
    outcome o;
    json_t *report;
    const json_t *speed, *alone;

    RUN(&o, "load", "--model", loads[_i].model, loads[_i].loop, loads[_i].value, "--requests", "30",
        "--seed", "7", "--threads", "1", "--new-tokens", "2:5", "--baseline", "--json", PICTURE,
        OTHER_PICTURE);
    report = report_of(&o);
    speed = json_object_get(report, "speed");
    alone = json_object_get(report, "one_at_a_time");
    ck_assert_int_eq(count_of(report, "requests"), 30);
    ck_assert_int_eq(count_of(report, "wrong"), 0);
    ck_assert_int_eq(count_of(report, "failed") + count_of(report, "refused"), 0);
    ck_assert_int_eq(count_of(speed, "completed"), 30);
    ck_assert_int_eq(count_of(alone, "completed"), 30);
    ck_assert_int_eq(count_of(speed, "tokens"), count_of(alone, "tokens"));
    ck_assert_int_eq(count_of(speed, "tokens") > 0, _i < 2);
    ck_assert_int_eq(count_of(speed, "images_encoded"), 2);
    ck_assert_int_eq(tasks_of(report, "requests"), 30);
    json_decref(report);
}
END_TEST

START_TEST(a_seed_and_a_mix_say_what_is_asked) {
    outcome o;
    json_t *first, *again;

    for (int i = 0; i < 2; i++) {
        json_t **report = i == 0 ? &first : &again;

        RUN(&o, "load", "--model", DEMO "/caption", "--mix", "sample=1,rank=2", "--requests", "12",
            "--seed", "3", "--threads", "1", "--no-check", "--json");
        *report = report_of(&o);
        ck_assert_ptr_null(json_object_get(*report, "wrong"));
        ck_assert_ptr_null(json_object_get(*report, "one_at_a_time"));
    }
    ck_assert_uint_eq(json_object_size(json_object_get(first, "tasks")), 2);
    ck_assert_int_eq(tasks_of(first, "requests"), 12);
    ck_assert_int_eq(count_of(json_object_get(first, "speed"), "tokens"),
                     count_of(json_object_get(again, "speed"), "tokens"));
    json_decref(first);
    json_decref(again);
}
END_TEST

/* 500 requests that come nearly at once, of which two may wait: those that are refused are no
 * failures, and all others are answered. */
START_TEST(what_is_refused_is_counted) {
    outcome o;
    json_t *report;

    RUN(&o, "load", "--model", DEMO "/caption", "--mix", "caption=1", "--requests", "500", "--rate",
        "1e9", "--max-waiting", "2", "--threads", "1", "--json");
    report = report_of(&o);
    ck_assert_int_gt(count_of(report, "refused"), 0);
    ck_assert_int_eq(count_of(report, "refused"), tasks_of(report, "refused"));
    ck_assert_int_eq(
        count_of(report, "refused") + count_of(json_object_get(report, "speed"), "completed"), 500);
    json_decref(report);
}
END_TEST

START_TEST(a_table_says_the_same) {
    outcome o;

    RUN(&o, "load", "--model", DEMO "/caption", "--requests", "8", "--threads", "1", "--baseline");
    expect_success(&o);
    ck_assert_ptr_nonnull(strstr(o.out, "8 requests, 16 at a time"));
    ck_assert_ptr_nonnull(strstr(o.out, "one at a time"));
    ck_assert_ptr_nonnull(strstr(o.out, "0 of 8 answers differ"));
}
END_TEST

static void expect_refusal(const outcome *o, const char *about) {
    ck_assert_int_eq(o->code, 2);
    ck_assert_str_eq(o->out, "");
    ck_assert_uint_eq(count_lines(o->err), 1);
    ck_assert_msg(strstr(o->err, about) != NULL, "%s", o->err);
}

START_TEST(what_makes_no_load_is_refused) {
    static const char *const wrong[][2] = {{"--mix", "itm=1"},      {"--mix", "caption"},
                                           {"--mix", "caption=0"},  {"--mix", "caption=1,"},
                                           {"--mix", "captions=1"}, {"--new-tokens", "5:2"},
                                           {"--new-tokens", "0:2"}, {"--rate", "-1"},
                                           {"--rate", "x"},         {"--requests", "0"},
                                           {"--seed", "-1"},        {"--concurrency", "none"},
                                           {"--compute", "f12"},    {"--new-tokens", "1:99999"},
                                           {"--tolerance", "-1"},   {"--max-waiting", "many"},
                                           {"--device", "abacus"}};
    outcome o;

    RUN(&o, "load", "--model", DEMO "/caption", wrong[_i][0], wrong[_i][1]);
    expect_refusal(&o, "blip2-bench: ");
    RUN(&o, "load");
    expect_refusal(&o, "expected --model DIR");
}
END_TEST

TCase *load_tests(void) {
    TCase *tests = tcase_create("load");

    tcase_add_loop_test(tests, a_load_is_answered_as_alone, 0, 3);
    tcase_add_test(tests, a_seed_and_a_mix_say_what_is_asked);
    tcase_add_test(tests, what_is_refused_is_counted);
    tcase_add_test(tests, a_table_says_the_same);
    tcase_add_loop_test(tests, what_makes_no_load_is_refused, 0, 17);
    return tests;
}
