/* From device memory to comparisons: intermediate results of a run (b2_trace) go to a verdict as
 * they come by. */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H
#include "model/run.h"
#include "verdict.h"

/* What a case calls an intermediate result. */
typedef struct watch_name {
    const char *trace;  /* b2_trace's name for it */
    const char *tensor; /* the case's; with the index appended where numbered */
    bool numbered;
} watch_name;

typedef struct watch {
    b2_trace trace; /* for b2_run */
    b2_device *device;
    verdict *v;
    const watch_name *names; /* [count] */
    size_t count;
    const int64_t *row_of; /* verdict_tensor's; NULL after watch_init */
    blip2_status status;   /* first failure to compare */
} watch;

/* *out must stay where it is while the run lasts. Tensors that the case does not expect are left
 * alone. */
void watch_init(watch *out, b2_device *device, verdict *v, const watch_name *names, size_t count);

/* Host copy of a matrix as fp32 [rows, cols], without gaps; yours to b2_free. */
blip2_status bench_download(b2_device *device, const b2_mat *mat, float **out);

#endif
