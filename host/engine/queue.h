/* How requests come into the engine's running places and out of them. */
#ifndef B2_QUEUE_H
#define B2_QUEUE_H
#include "engine/engine.h"

/* Give running places, pages and pictures' places to queued requests. In order of submission; a
 * large request is not overtaken, so that it cannot starve. */
void b2_queue_admit(blip2_engine *engine);
/* What a request with a picture waits for once that is encoded, and one without from the start. */
b2_phase b2_after_encoding(const b2_request *request);
b2_phase b2_after_instruction(const b2_request *request); /* with InstructBLIP */
/* Give back what a running request holds; it is done, one way or another. */
void b2_queue_retire(blip2_engine *engine, b2_request *request);
/* Every request in the engine ends with this status. */
void b2_queue_end_all(blip2_engine *engine, blip2_status status);

#endif
