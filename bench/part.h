/* One part of a LAVIS model between given and expected tensors: what its cases have in common. The
 * part is loaded, given workspace and run as the library does. */
#ifndef BENCH_PART_H
#define BENCH_PART_H
#include "golden.h"
#include "load/lavis.h"
#include "model/run.h"

typedef struct part {
    b2_device *device;
    b2_weights *weights;
    b2_loader loader;
    void *memory; /* device workspace */
    float *given; /* host: the input tensor */
} part;

/* The checkpoint of the model on the device, in fp32. */
blip2_status part_open(part *p, const char *device, const b2_lavis *model);
void part_close(part *p);

/* The workspace that was planned; the carver then carves from it. */
blip2_status part_allocate(part *p, b2_carver *carver);

/* A LAVIS model folder, relative to the case's. */
blip2_status part_model(b2_lavis *out, const golden_case *golden, const char *relative);

/* The model folder that case.json names: golden->model itself, or its key. */
blip2_status part_model_name(const golden_case *golden, const char *key, const char **out);

#endif
