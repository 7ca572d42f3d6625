#include "pool_fixture.h"

#include <sched.h>

#include "model/model.h"
#include "run.h"

static const b2_device_ops *real;
static b2_device *devices[ENGINES];
static atomic_bool broken[ENGINES];

static blip2_status linear(b2_device *device, const b2_linear *op) {
    for (int i = 0; i < ENGINES; i++)
        if (devices[i] == device && atomic_load(&broken[i]))
            return b2_fail(BLIP2_EDEVICE, "device %d is broken", i);
    return real->linear(device, op);
}

void pool_fixture_open_models(pool_fixture *p, const char *folder, size_t count) {
    static b2_device_ops breaking;

    *p = (pool_fixture){.count = count};
    for (size_t i = 0; i < count; i++) {
        ck_assert_status_ok(fixture_open_model(&p->members[i], folder));
        devices[i] = p->members[i].model->device;
        atomic_store(&broken[i], false);
        real = devices[i]->ops;
        breaking = *real;
    }
    breaking.linear = linear;
    for (size_t i = 0; i < count; i++)
        devices[i]->ops = &breaking;
}

blip2_status pool_fixture_open_pool(pool_fixture *p, uint32_t max_waiting, int32_t margin) {
    blip2_engine_options options;
    blip2_pool_options pool_options;
    blip2_status status = BLIP2_OK;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = 4;
    options.max_tokens = 100;
    options.max_waiting = max_waiting;
    for (size_t i = 0; i < p->count && status == BLIP2_OK; i++)
        status = blip2_engine_open(&p->engines[i], p->members[i].model, &options);
    blip2_pool_options_init(&pool_options, sizeof pool_options);
    pool_options.margin = margin;
    if (status == BLIP2_OK)
        status = blip2_pool_open(&p->pool, p->engines, p->count, &pool_options);
    return status;
}

void pool_fixture_close_pool(pool_fixture *p) {
    blip2_pool_close(p->pool);
    p->pool = NULL;
    for (size_t i = 0; i < p->count; i++) {
        blip2_engine_close(p->engines[i]);
        p->engines[i] = NULL;
    }
}

void pool_fixture_close_models(pool_fixture *p) {
    for (size_t i = 0; i < p->count; i++) {
        devices[i]->ops = real;
        fixture_close(&p->members[i]);
    }
}

void pool_fixture_break(const pool_fixture *p, size_t engine) {
    ck_assert_uint_lt(engine, p->count);
    atomic_store(&broken[engine], true);
}

blip2_pool_counts pool_fixture_counts(const pool_fixture *p, size_t engine) {
    blip2_pool_counts counts;

    ck_assert_status_ok(blip2_pool_stats(p->pool, engine, &counts, sizeof counts));
    return counts;
}

blip2_engine_counts pool_fixture_engine_counts(const pool_fixture *p, size_t engine) {
    blip2_engine_counts counts;

    ck_assert_status_ok(blip2_engine_stats(p->engines[engine], &counts, sizeof counts));
    return counts;
}

blip2_generate_options some_tokens(uint32_t tokens) {
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = options.min_new_tokens = tokens;
    return options;
}

int hold(size_t index, const char *text, size_t length, void *payload) {
    (void)index;
    (void)text;
    (void)length;
    while (atomic_load((atomic_int *)payload) == 0)
        (void)sched_yield();
    return 0;
}

blip2_result *end_texts(blip2_job *job) {
    blip2_result *result;

    ck_assert_status_ok(blip2_job_wait(job));
    ck_assert_status_ok(blip2_job_take_texts(job, &result));
    blip2_job_free(job);
    return result;
}
