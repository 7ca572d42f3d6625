/* The pages that a request holds while it runs.
 *
 * A plain sequence, without branches and candidates, holds those of the rows it has, and gets one
 * more when its next row needs it. When none is to be had, running plain sequences are put back
 * into the queue, the last one first: lowest priority, then youngest. All other requests hold
 * everything they may ever need, and end by themselves. Pages of a prefix that stands already are
 * shared (prefix.h). */
#ifndef B2_HOLDING_H
#define B2_HOLDING_H
#include "engine/engine.h"

static inline bool b2_request_is_plain(const b2_request *request) {
    return request->kind == B2_REQUEST_GENERATE && request->branches == NULL &&
           request->candidates == NULL;
}

/* The keys of what others may share with it; before it is queued, on any thread. */
blip2_status b2_holding_plan(const blip2_engine *engine, b2_request *request);
/* Before it runs. False: there are too few pages now. One is left for each plain sequence that
 * runs, so that what comes in does not throw it out. */
bool b2_holding_take(blip2_engine *engine, b2_request *request);
/* Give back all of them. What it has fed of a prefix stays for others. */
void b2_holding_release(blip2_engine *engine, b2_request *request);

/* Stands everything already that its picture is for? */
bool b2_holding_covers_picture(const blip2_engine *engine, const b2_request *request);

/* After each step: what it has fed is there for others. */
void b2_holding_settle(blip2_engine *engine, b2_request *request);
/* Before each step: room for the next row of every plain sequence, or some are put back. */
void b2_holding_grow(blip2_engine *engine);
/* Go over rows that stand already. How many of those that follow may be fed now: 0 while another
 * request feeds them. */
uint32_t b2_holding_open(blip2_engine *engine, b2_request *request);

/* What an encoder is to read for the request. */
typedef enum b2_reading_state {
    B2_READING_STANDS, /* read for another one */
    B2_READING_WAITS,  /* another one will have it read */
    B2_READING_OPEN    /* to be read for this one */
} b2_reading_state;
b2_reading_state b2_holding_reading(blip2_engine *engine, b2_request *request);
void b2_holding_settle_reading(blip2_engine *engine, const b2_request *request);

#endif
