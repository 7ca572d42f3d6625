/* Any one call of the CUDA runtime fails while several requests are in flight. Where the context is
 * sound, the engine goes on and answers as before, and so does a new one over the same model. Where
 * it is lost, every call says so, closing works, and a new process answers as before.
 *
 * A clean run makes some thousand calls. Of each kind SPREAD of them fail, the first and the last
 * one among them, spread evenly; of opening a model and an engine, every one. */
#include <string.h>

#include "faults/work.h"
#include "ptx_vm.h"
#include "run.h"

enum { SPREAD = 3, REQUESTS = 4, FEW_TOKENS = 2 };

/* Mixed requests by their kinds of models, and pairs of stage 1. */
static const char *const names[] = {"opt", "match", "t5", "instructblip llama"};
enum { NAMES = sizeof names / sizeof *names, LOST_NAMES = 2 };

/* The company of a row of logits, which a picture that is kept changes, decides which kernel of
 * attention it goes through: fp32 sums in another order. Tokens are whole numbers. */
static const double TOLERANCE = 1e-5;
static const work *w;
static place p;
static answer expected, got;
static uint64_t calls[VM_CALL_COUNT]; /* of a clean run */

static const work *work_of(const char *name) {
    size_t i = 0;

    while (strcmp(works[i].name, name) != 0)
        ck_assert_uint_lt(++i, work_count);
    return &works[i];
}

static void open_place(void) {
    ck_assert_status_ok(place_open(&p, w, "cuda"));
    p.requests = REQUESTS;
    p.new_tokens = FEW_TOKENS;
}

static void assert_nothing_left(void) {
    ck_assert_uint_eq(vm_host()->live_bytes, 0);
    ck_assert_uint_eq(vm_host()->live_graphs, 0);
    ck_assert_uint_eq(vm_report_count(), 0);
}

static void count_calls(void) {
    for (int kind = 0; kind < VM_CALL_COUNT; kind++)
        calls[kind] = vm_calls((vm_call)kind);
    vm_fail_call(VM_CALL_OTHER, 0, false);
}

/* Leaves the place open. */
static void run_clean(const char *name) {
    w = work_of(name);
    open_place();
    vm_fail_call(VM_CALL_OTHER, 0, false);
    expected.count = 0;
    ck_assert_status_ok(w->run(&p, &expected));
    ck_assert_uint_gt(expected.count, 0);
    count_calls();
}

static void run_again(const char *when) {
    vm_fail_call(VM_CALL_OTHER, 0, false);
    got.count = 0;
    ck_assert_status_ok(w->run(&p, &got));
    assert_same_answer(&got, &expected, TOLERANCE, when);
    assert_whole(p.engine);
}

/* Call i of SPREAD of n; 0: there are not that many. */
static uint64_t pick(uint64_t n, uint64_t i) {
    if (n <= SPREAD)
        return i < n ? i + 1 : 0;
    return 1 + i * (n - 1) / (SPREAD - 1);
}

/* What a call that failed may come to: a step without graphs, whose answer is the same, or the
 * error, for every request. */
static bool run_failing(vm_call kind, uint64_t nth, bool lost) {
    blip2_status status;

    vm_fail_call(kind, nth, lost);
    got.count = 0;
    status = w->run(&p, &got);
    assert_whole(p.engine);
    if (status == BLIP2_OK) {
        assert_same_answer(&got, &expected, TOLERANCE, "without graphs");
        return false;
    }
    ck_assert_msg(status == BLIP2_EDEVICE && strstr(blip2_error_message(), "cuda:0 failed at"),
                  "%s, call %llu of kind %d: %s (%s)", w->name, (unsigned long long)nth, (int)kind,
                  blip2_status_name(status), blip2_error_message());
    return true;
}

START_TEST(one_call_fails) {
    run_clean(names[_i]);
    for (int kind = 0; kind < VM_CALL_COUNT; kind++) {
        int failed = 0;

        for (uint64_t i = 0; i < SPREAD && pick(calls[kind], i) > 0; i++) {
            blip2_engine_close(p.engine);
            ck_assert_status_ok(place_open_engine(&p));
            failed += run_failing((vm_call)kind, pick(calls[kind], i), false);
        }
        ck_assert(failed > 0 || kind == VM_CALL_GRAPH || kind == VM_CALL_ALLOCATION);
        run_again("after a failure that passed");
    }
    place_close(&p);
    assert_nothing_left();
}
END_TEST

static void lose(vm_call kind, uint64_t nth) {
    char message[512];
    blip2_engine *other;

    open_place();
    if (run_failing(kind, nth, true)) {
        (void)strncpy(message, blip2_error_message(), sizeof message - 1);
        message[sizeof message - 1] = '\0';
        got.count = 0;
        ck_assert_status(w->run(&p, &got), BLIP2_EDEVICE);
        ck_assert_str_eq(blip2_error_message(), message);
        assert_whole(p.engine);
        blip2_engine_close(p.engine);
        p.engine = NULL;
        ck_assert_status(blip2_engine_open(&other, p.model, NULL), BLIP2_EDEVICE);
        ck_assert_ptr_null(other);
    }
    place_close(&p);
    assert_nothing_left();
    vm_reset(); /* a new process */
}

START_TEST(the_context_is_lost) {
    run_clean(names[_i]);
    place_close(&p);
    for (int kind = 0; kind < VM_CALL_COUNT; kind++)
        for (uint64_t i = 0; i < SPREAD && pick(calls[kind], i) > 0; i++)
            lose((vm_call)kind, pick(calls[kind], i));
    open_place();
    run_again("in a new process");
    place_close(&p);
    assert_nothing_left();
}
END_TEST

/* In the process that has lost it a GPU can't be opened again, and "auto" says so. */
START_TEST(a_lost_gpu_stays_lost) {
    b2_device *device;

    w = work_of("opt");
    open_place();
    ck_assert(run_failing(VM_CALL_LAUNCH, 1, true));
    place_close(&p);
    ck_assert_status(place_open(&p, w, "cuda"), BLIP2_ENOTSUP);
    ck_assert_msg(strstr(blip2_error_message(), "start the process anew") != NULL, "message: %s",
                  blip2_error_message());
    ck_assert_status_ok(b2_device_open(&device, NULL, NULL));
    ck_assert_str_eq(device->ops->name, "cpu");
    ck_assert(device->gpu_unused);
    b2_device_close(device);
    assert_nothing_left();
}
END_TEST

START_TEST(opening_fails) {
    w = work_of("opt");
    vm_fail_call(VM_CALL_OTHER, 0, false);
    open_place();
    count_calls();
    place_close(&p);
    for (int kind = 0; kind < VM_CALL_COUNT; kind++)
        for (uint64_t n = 1; n <= calls[kind]; n++) {
            vm_fail_call((vm_call)kind, n, _i != 0);
            ck_assert_msg(place_open(&p, w, "cuda") < 0, "call %llu of kind %d failed unseen",
                          (unsigned long long)n, kind);
            ck_assert_ptr_null(p.model);
            assert_nothing_left();
            if (_i != 0)
                vm_reset();
        }
    run_clean("opt");
    place_close(&p);
    assert_nothing_left();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("cuda_faults");
    TCase *passing = tcase_create("passing"), *lost = tcase_create("lost");
    TCase *opening = tcase_create("opening");

    tcase_set_timeout(passing, 300);
    tcase_add_loop_test(passing, one_call_fails, 0, NAMES);
    suite_add_tcase(suite, passing);
    tcase_set_timeout(lost, 300);
    tcase_add_loop_test(lost, the_context_is_lost, 0, LOST_NAMES);
    tcase_add_test(lost, a_lost_gpu_stays_lost);
    suite_add_tcase(suite, lost);
    tcase_set_timeout(opening, 300);
    tcase_add_loop_test(opening, opening_fails, 0, 2);
    suite_add_tcase(suite, opening);
    return run_suite(suite);
}
