/* How requests come into the engine's running places and out of them. */
#ifndef B2_QUEUE_H
#define B2_QUEUE_H
#include "engine/engine.h"

/* Give running places, pages and pictures' places to queued requests, in turn: by priority, then in
 * order of submission. A large request is not overtaken, so that it cannot starve. */
void b2_queue_admit(blip2_engine *engine);
/* What a request with a picture waits for once that is encoded, and one without from the start. */
b2_phase b2_after_encoding(const b2_request *request);
/* With InstructBLIP, once the Q-Former has read a request's prompt with its picture: what comes
 * next, or the next frame of a video. */
blip2_status b2_queue_instructed(blip2_engine *engine, b2_request *request);
/* Give back what a running request holds; it is done, one way or another. */
void b2_queue_retire(blip2_engine *engine, b2_request *request);
/* Likewise, but it waits for its turn again, with the text it has so far. */
void b2_queue_put_back(blip2_engine *engine, b2_request *request);
/* Retires a request that is DONE, or that met a failure of its own: of its options, picture or
 * memory. Returns a failure that is not its own but the device's, and every request's. */
blip2_status b2_queue_settle(blip2_engine *engine, b2_request *request, blip2_status status);
/* Every request in the engine ends with this status. */
void b2_queue_end_all(blip2_engine *engine, blip2_status status);

#endif
