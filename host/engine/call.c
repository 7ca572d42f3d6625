#include "engine/call.h"

blip2_status b2_call_check(const blip2_engine *engine, const char *name) {
    if (engine == NULL)
        return b2_fail(BLIP2_EINVAL, "%s: engine is NULL", name);
    if (engine->in_call)
        return b2_fail(BLIP2_EINVAL,
                       "%s: the engine is in a call: its on_text and on_done must not use it",
                       name);
    return BLIP2_OK;
}

blip2_status b2_call_run(blip2_engine *engine, b2_request **requests, size_t count,
                         const blip2_status *failed) {
    blip2_status status = BLIP2_OK;
    bool busy = true, within = engine->in_call;
    size_t submitted = 0;

    engine->in_call = true;
    while (submitted < count && status == BLIP2_OK) {
        status = b2_engine_submit(engine, requests[submitted]);
        submitted += status == BLIP2_OK ? 1 : 0;
    }
    while (status == BLIP2_OK && busy) {
        status = b2_engine_step(engine, &busy);
        if (status == BLIP2_OK)
            status = *failed;
    }
    for (size_t i = 0; i < submitted; i++)
        b2_engine_cancel(engine, requests[i]);
    if (within)
        return status;
    engine->in_call = false;
    if (engine->close_wanted)
        blip2_engine_close(engine);
    return status;
}
