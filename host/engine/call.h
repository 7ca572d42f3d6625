/* A synchronous call: requests in, step until all are done. */
#ifndef B2_CALL_H
#define B2_CALL_H
#include "engine/engine.h"

/* May the public function `name` use the engine now? EINVAL: NULL, or from a callback of a call
 * that runs. */
blip2_status b2_call_check(const blip2_engine *engine, const char *name);

/* Submit all requests and step until they are done, or one step or *failed (which their on_done may
 * set) is below 0, which is the result. Whatever happens, none of them is left in the engine. A
 * close that a callback asked for is done at the end: the engine is gone then; but a larger call
 * that has set engine->in_call itself (similarity.c) ends itself. */
blip2_status b2_call_run(blip2_engine *engine, b2_request **requests, size_t count,
                         const blip2_status *failed);

#endif
