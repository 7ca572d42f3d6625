#include "engine/graphs.h"

#include "base/size.h"

uint32_t b2_graph_keys(uint32_t keys, uint32_t max_tokens) {
    uint64_t bound = B2_GRAPH_LEAST_KEYS;

    while (bound < keys)
        bound *= 2;
    return (uint32_t)b2_size_min(bound, max_tokens);
}

void b2_graphs_free(b2_graphs *graphs) {
    for (uint32_t i = 0; i < B2_GRAPHS; i++) {
        if (graphs->steps[i].graph != NULL)
            graphs->device->ops->graph_free(graphs->device, graphs->steps[i].graph);
        graphs->steps[i] = (b2_step_graph){0};
    }
}

static bool is_of(const b2_step_graph *step, const b2_step_key *key) {
    return step->graph != NULL && step->key.sequences == key->sequences &&
           step->key.max_keys == key->max_keys && step->key.max_cross == key->max_cross &&
           step->key.sampled == key->sampled;
}

/* The entry of a key; for an unknown one a free entry, or the one not used for longest. */
static b2_step_graph *find(b2_graphs *graphs, const b2_step_key *key) {
    b2_step_graph *oldest = &graphs->steps[0];

    for (uint32_t i = 0; i < B2_GRAPHS; i++) {
        b2_step_graph *step = &graphs->steps[i];

        if (is_of(step, key))
            return step;
        if (step->used < oldest->used) /* free ones: 0 */
            oldest = step;
    }
    return oldest;
}

/* No graphs any more, for the reason in the error message; nobody's request fails of it. */
static void give_up(b2_graphs *graphs, const char *what) {
    b2_log_write(graphs->log, BLIP2_LOG_WARNING, "%s, from now on without graphs: %s", what,
                 blip2_error_message());
    b2_graphs_free(graphs);
    graphs->off = true;
}

/* On failure *out may be part of a step, for give_up to free. */
static blip2_status capture(b2_device *device, blip2_status (*queue)(void *context), void *context,
                            b2_graph **out) {
    blip2_status status = device->ops->capture_begin(device), queued;

    if (status < 0)
        return status;
    queued = queue(context);
    status = device->ops->capture_end(device, out);
    return queued < 0 ? queued : status;
}

blip2_status b2_graphs_run(b2_graphs *graphs, const b2_step_key *key,
                           blip2_status (*queue)(void *context), void *context) {
    b2_device *device = graphs->device;
    b2_step_graph *step;
    blip2_status status;

    if (graphs->off || device->ops->capture_begin == NULL)
        return queue(context);
    step = find(graphs, key);
    if (is_of(step, key)) {
        step->used = ++graphs->clock;
        if (device->ops->graph_run(device, step->graph) == BLIP2_OK)
            return BLIP2_OK;
        give_up(graphs, "a captured step did not start");
        return queue(context);
    }
    if ((status = queue(context)) < 0)
        return status;
    if (step->graph != NULL)
        device->ops->graph_free(device, step->graph);
    *step = (b2_step_graph){.key = *key};
    if (capture(device, queue, context, &step->graph) == BLIP2_OK)
        step->used = ++graphs->clock;
    else
        give_up(graphs, "a step could not be captured");
    return BLIP2_OK;
}
