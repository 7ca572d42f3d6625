/* Decode steps as graphs of the device (device.h, capture): a step that does the same as an earlier
 * one, to new contents of the same memory, is one call for the host in place of hundreds.
 *
 * What a decode step does is given by the number of its sequences, the bounds on their keys, which
 * are powers of two so that they stay for long, and whether tokens are drawn. The first step of a
 * key runs directly, and is captured as soon as it is queued, while the device works on it: then it
 * has met every shape and weight, and capturing costs no time. Later ones run the graph.
 *
 * Capturing is a gain of speed and never needed: when it fails, or the device offers none, steps
 * run directly. Both ways do the same operations with the same numbers. */
#ifndef B2_GRAPHS_H
#define B2_GRAPHS_H
#include "base/log.h"
#include "device.h"

enum {
    B2_GRAPHS = 32,           /* kept at once */
    B2_GRAPH_LEAST_KEYS = 128 /* shorter sequences run alike on every device */
};

typedef struct b2_step_key {
    uint32_t sequences, max_keys;
    uint32_t max_cross; /* keys of what an encoder has read; 0: none */
    bool sampled;       /* tokens are drawn */
} b2_step_key;

typedef struct b2_step_graph {
    b2_step_key key;
    b2_graph *graph; /* NULL: a free entry */
    uint64_t used;   /* when, by the clock of uses */
} b2_step_graph;

typedef struct b2_graphs { /* all zero but device and log: nothing captured yet */
    b2_device *device;
    const b2_log *log;
    bool off; /* steps run directly: a capture failed, or a test wants it */
    uint64_t clock;
    b2_step_graph steps[B2_GRAPHS];
} b2_graphs;

/* The bound on keys with which a step of sequences up to `keys` long runs. */
uint32_t b2_graph_keys(uint32_t keys, uint32_t max_tokens);

/* Run a step, whose operations queue(context) queues on the device, by its graph where there is
 * one. queue is called up to twice and must do the same each time, and nothing but queue. */
blip2_status b2_graphs_run(b2_graphs *graphs, const b2_step_key *key,
                           blip2_status (*queue)(void *context), void *context);
void b2_graphs_free(b2_graphs *graphs); /* the graphs; steps may run, and be captured, afterwards */

#endif
