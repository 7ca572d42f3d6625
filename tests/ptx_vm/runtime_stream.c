/* Streams and events: what is queued, and when it is done. */
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

static struct CUstream_st default_stream;
static struct CUstream_st *streams;
static struct CUevent_st *events;

struct CUstream_st *vm_stream_of(cudaStream_t stream) {
    struct CUstream_st *s;

    if (stream == NULL || stream == cudaStreamLegacy || stream == cudaStreamPerThread) {
        return &default_stream;
    }
    for (s = streams; s && s != stream; s = s->next) {
    }
    return s;
}

bool vm_capture_forbids(void) {
    struct CUstream_st *s;
    bool any = false;

    for (s = streams; s; s = s->next) {
        s->invalid = s->invalid || s->capture;
        any = any || s->capture;
    }
    return any;
}

void vm_stream_end_capture(const struct CUgraph_st *graph) {
    struct CUstream_st *s;
    struct CUevent_st *e;

    for (s = streams; s; s = s->next) {
        if (s->capture == graph) {
            s->capture = NULL;
            s->is_origin = s->invalid = false;
        }
    }
    for (e = events; e; e = e->next) {
        e->capture = e->capture == graph ? NULL : e->capture;
    }
}

static struct CUevent_st *event_of(cudaEvent_t event) {
    struct CUevent_st *e;

    for (e = events; e && e != event; e = e->next) {
    }
    return e;
}

/* ---- the queue ------------------------------------------------------------------------------ */

cudaError_t vm_queue(struct CUstream_st *stream, vm_op *op) {
    if (vm_is_stuck()) {
        vm_op_release(op);
        return cudaSuccess; /* leave() tells the sticky error */
    }
    if (stream->capture && (stream->invalid || vm_call_fails(VM_CALL_GRAPH))) {
        cudaError_t error =
            stream->invalid ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnsupported;

        stream->invalid = true;
        vm_op_release(op);
        return error;
    }
    op->faults = vm_call_faults();
    vm_ops_add(stream->capture ? &stream->capture->ops : &stream->queue, op);
    return cudaSuccess;
}

static void run_next(struct CUstream_st *stream) {
    vm_op op = stream->queue.items[stream->done++];

    vm_op_run(stream, &op);
    vm_op_release(&op);
    if (stream->done == stream->queue.count) {
        stream->queue.count = stream->done = 0;
    }
}

void vm_drain(struct CUstream_st *stream) {
    while (stream->done < stream->queue.count) {
        run_next(stream);
    }
}

void vm_drain_all(void) {
    struct CUstream_st *s;

    vm_drain(&default_stream);
    for (s = streams; s; s = s->next) {
        vm_drain(s);
    }
}

void vm_stream_reach(struct CUevent_st *event, uint64_t sequence) {
    while (event->stream && event->reached < sequence &&
           event->stream->done < event->stream->queue.count) {
        run_next(event->stream);
    }
}

void vm_streams_reset(void) {
    while (streams) {
        struct CUstream_st *s = streams;

        streams = s->next;
        vm_ops_release(&s->queue);
        free(s);
    }
    vm_ops_release(&default_stream.queue);
    memset(&default_stream, 0, sizeof(default_stream));
    while (events) {
        struct CUevent_st *e = events;

        events = e->next;
        free(e);
    }
}

/* ---- streams -------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned int flags) {
    struct CUstream_st *s;

    (void)flags;
    vm_enter();
    if (vm_call_fails(VM_CALL_OTHER)) {
        return vm_leave(cudaErrorMemoryAllocation);
    }
    s = vm_calloc(1, sizeof(*s));
    s->next = streams;
    streams = s;
    *out = s;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaStreamCreate(cudaStream_t *out) {
    return cudaStreamCreateWithFlags(out, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    struct CUstream_st **link, *s = stream;
    struct CUevent_st *e;

    vm_enter();
    for (link = &streams; *link && *link != s; link = &(*link)->next) {
    }
    if (!*link) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    vm_drain(s);
    for (e = events; e; e = e->next) {
        e->stream = e->stream == s ? NULL : e->stream;
    }
    *link = s->next;
    vm_ops_release(&s->queue);
    free(s);
    return vm_leave(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    struct CUstream_st *s;

    vm_enter();
    s = vm_stream_of(stream);
    if (!s) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (s->capture) {
        s->invalid = true;
        return vm_leave(cudaErrorStreamCaptureUnsupported);
    }
    if (vm_call_fails(VM_CALL_WAIT)) {
        return vm_leave(cudaErrorUnknown);
    }
    vm_host_mutable()->synchronisations++;
    vm_drain(s);
    return vm_leave(cudaSuccess);
}

/* Says once that it is not ready, then is: a loop around it must work. */
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    struct CUstream_st *s;
    bool busy;

    vm_enter();
    s = vm_stream_of(stream);
    if (!s) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (vm_capture_forbids()) {
        return vm_leave(cudaErrorStreamCaptureUnsupported);
    }
    busy = s->done < s->queue.count;
    vm_drain(s);
    return vm_leave(busy ? cudaErrorNotReady : cudaSuccess);
}

/* ---- events --------------------------------------------------------------------------------- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned int flags) {
    struct CUevent_st *e;

    vm_enter();
    if (vm_call_fails(VM_CALL_OTHER)) {
        return vm_leave(cudaErrorMemoryAllocation);
    }
    e = vm_calloc(1, sizeof(*e));
    e->has_timing = !(flags & cudaEventDisableTiming);
    e->next = events;
    events = e;
    *out = e;
    return vm_leave(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *out) {
    return cudaEventCreateWithFlags(out, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    struct CUevent_st **link;

    vm_enter();
    for (link = &events; *link && *link != event; link = &(*link)->next) {
    }
    if (!*link) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    vm_drain_all(); /* nothing in a queue may point to it */
    *link = event->next;
    free(event);
    return vm_leave(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    struct CUstream_st *s;
    struct CUevent_st *e;
    vm_op op = {.kind = VM_OP_RECORD};

    vm_enter();
    s = vm_stream_of(stream);
    e = event_of(event);
    if (!s || !e) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (vm_call_fails(VM_CALL_OTHER)) {
        return vm_leave(cudaErrorUnknown);
    }
    e->capture = s->capture;
    if (s->capture) { /* only an edge between captured streams, which are in order anyway */
        return vm_leave(cudaSuccess);
    }
    e->stream = s;
    op.event = e;
    op.sequence = ++e->recorded;
    return vm_leave(vm_queue(s, &op));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
    struct CUstream_st *s;
    struct CUevent_st *e;
    vm_op op = {.kind = VM_OP_WAIT};

    (void)flags;
    vm_enter();
    s = vm_stream_of(stream);
    e = event_of(event);
    if (!s || !e) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (e->capture && !s->capture) { /* joins the capture */
        s->capture = e->capture;
        return vm_leave(cudaSuccess);
    }
    if (s->capture) {
        return vm_leave(e->capture ? cudaSuccess : cudaErrorStreamCaptureUnsupported);
    }
    op.event = e;
    op.sequence = e->recorded;
    return vm_leave(vm_queue(s, &op));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    struct CUevent_st *e;

    vm_enter();
    e = event_of(event);
    if (!e) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (vm_capture_forbids()) {
        return vm_leave(cudaErrorStreamCaptureUnsupported);
    }
    if (vm_call_fails(VM_CALL_WAIT)) {
        return vm_leave(cudaErrorUnknown);
    }
    vm_host_mutable()->synchronisations++;
    vm_stream_reach(e, e->recorded);
    return vm_leave(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    struct CUevent_st *e;
    bool busy;

    vm_enter();
    e = event_of(event);
    if (!e) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    busy = e->reached < e->recorded;
    vm_stream_reach(e, e->recorded);
    return vm_leave(busy ? cudaErrorNotReady : cudaSuccess);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
    struct CUevent_st *a, *b;

    vm_enter();
    a = event_of(start);
    b = event_of(end);
    if (!a || !b || !a->has_timing || !b->has_timing || !a->recorded || !b->recorded) {
        return vm_leave(cudaErrorInvalidResourceHandle);
    }
    if (a->reached < a->recorded || b->reached < b->recorded) {
        return vm_leave(cudaErrorNotReady);
    }
    *ms = (float)((b->time - a->time) * 1e3);
    return vm_leave(cudaSuccess);
}
