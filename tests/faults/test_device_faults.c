/* Any one call to the device fails, for each task and each call: running requests end once with
 * that error, nothing leaks, and answers are as before: of the same engine where the failure
 * passed, of one that is opened anew where the device was lost. */
#include <stdio.h>
#include <string.h>

#include "failing_device.h"
#include "run.h"
#include "work.h"

enum { STRIDE = 7 }; /* where each call takes a model that is opened anew */

static const work *w;
static place p;
static answer expected, got;

static void open_place(void) {
    ck_assert_status_ok(place_open(&p, w, "cpu"));
}

/* The answer of an engine that is new, and how many calls it took. */
static uint64_t run_clean(void) {
    uint64_t calls;

    expected.count = 0;
    open_place();
    device_fail(0, false);
    ck_assert_status_ok(w->run(&p, &expected));
    calls = device_calls();
    ck_assert_uint_gt(expected.count, 0);
    assert_whole(p.engine);
    place_close(&p);
    ck_assert_int_eq(device_live(), 0);
    return calls;
}

/* The call that fails is told, by its status and message. */
static void assert_told(blip2_status status, uint64_t n) {
    ck_assert_msg(status == device_status(), "%s, call %llu (%s): got %s (%s)", w->name,
                  (unsigned long long)n, device_message(), blip2_status_name(status),
                  blip2_error_message());
    ck_assert_str_eq(blip2_error_message(), device_message());
}

static void run_again(const char *when) {
    device_fail(0, false);
    got.count = 0;
    ck_assert_status_ok(w->run(&p, &got));
    assert_same_answer(&got, &expected, 0.0, when);
    assert_whole(p.engine);
}

/* A failure that passes: the engine goes on. The next one is opened anew over the same model. */
START_TEST(one_call_fails) {
    uint64_t calls;

    w = &works[_i];
    calls = run_clean();
    open_place();
    for (uint64_t n = 1; n <= calls; n++) {
        char when[128];

        device_fail(n, false);
        got.count = 0;
        assert_told(w->run(&p, &got), n);
        assert_whole(p.engine);
        (void)snprintf(when, sizeof when, "%s, after call %llu failed (%s)", w->name,
                       (unsigned long long)n, device_message());
        run_again(when);
        blip2_engine_close(p.engine);
        ck_assert_status_ok(place_open_engine(&p));
    }
    run_again("opened anew");
    place_close(&p);
    ck_assert_int_eq(device_live(), 0);
}
END_TEST

/* A device that is lost: every call tells it, and closing works. A new one (in truth of a new
 * process) answers as before. */
START_TEST(the_device_is_lost) {
    uint64_t calls;

    w = &works[_i];
    calls = run_clean();
    for (uint64_t n = 1 + (uint64_t)_i % STRIDE; n <= calls; n += STRIDE) {
        blip2_engine *other;

        open_place();
        device_fail(n, true);
        got.count = 0;
        assert_told(w->run(&p, &got), n);
        assert_whole(p.engine);
        ck_assert_status(w->run(&p, &got), BLIP2_EDEVICE);
        ck_assert_str_eq(blip2_error_message(), device_message());
        assert_whole(p.engine);
        blip2_engine_close(p.engine);
        p.engine = NULL;
        ck_assert_status(blip2_engine_open(&other, p.model, NULL), BLIP2_EDEVICE);
        ck_assert_ptr_null(other);
        place_close(&p);
        ck_assert_int_eq(device_live(), 0);
        device_fail(0, false);
    }
    open_place();
    run_again("opened anew");
    place_close(&p);
}
END_TEST

/* Each call of opening model and engine fails. */
START_TEST(opening_fails) {
    uint64_t calls;

    w = &works[_i];
    device_fail(0, false);
    open_place();
    calls = device_calls();
    place_close(&p);
    for (uint64_t n = 1; n <= calls; n++) {
        device_fail(n, n % 2 == 0);
        assert_told(place_open(&p, w, "cpu"), n);
        ck_assert_int_eq(device_live(), 0);
    }
    device_fail(0, false);
    (void)run_clean();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("device_faults");
    TCase *passing = tcase_create("passing"), *lost = tcase_create("lost");
    TCase *opening = tcase_create("opening");

    tcase_set_timeout(passing, 120);
    tcase_add_loop_test(passing, one_call_fails, 0, (int)work_count);
    suite_add_tcase(suite, passing);
    tcase_set_timeout(lost, 120);
    tcase_add_loop_test(lost, the_device_is_lost, 0, (int)work_count);
    suite_add_tcase(suite, lost);
    tcase_set_timeout(opening, 120);
    tcase_add_loop_test(opening, opening_fails, 0, FOLDERS);
    suite_add_tcase(suite, opening);
    return run_suite(suite);
}
