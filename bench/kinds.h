/* The kinds of golden cases, told by what case.json asks for, never by its name. */
#ifndef BENCH_KINDS_H
#define BENCH_KINDS_H
#include "device.h"
#include "verdict.h"

typedef struct kind {
    const char *name;
    bool (*is)(const golden_case *golden);
    /* Do what the case says and compare. ENOTSUP: an option that is not supported, named by the
     * message. EINVAL, EIO: the case's files are bad. NULL: the kind is not supported. */
    blip2_status (*run)(const golden_case *golden, const char *device, verdict *v);
} kind;

/* The tolerances of cases are those of fp32: every device is asked for it. */
extern const b2_device_options bench_exact;

/* The first kind that the case is; the last of them is any case. */
const kind *kind_of(const golden_case *golden);

blip2_status run_preprocess(const golden_case *golden, const char *device, verdict *v);
blip2_status run_text_cleaning(const golden_case *golden, const char *device, verdict *v);
blip2_status run_tokenizer(const golden_case *golden, const char *device, verdict *v);
blip2_status run_vit(const golden_case *golden, const char *device, verdict *v);
blip2_status run_qformer(const golden_case *golden, const char *device, verdict *v);
blip2_status run_features(const golden_case *golden, const char *device, verdict *v);
blip2_status run_match(const golden_case *golden, const char *device, verdict *v);
blip2_status run_explain(const golden_case *golden, const char *device, verdict *v);
blip2_status run_similarity(const golden_case *golden, const char *device, verdict *v);
blip2_status run_losses(const golden_case *golden, const char *device, verdict *v);
blip2_status run_forward(const golden_case *golden, const char *device, verdict *v);
blip2_status run_caption(const golden_case *golden, const char *device, verdict *v);
blip2_status run_class(const golden_case *golden, const char *device, verdict *v);
blip2_status run_lavis(const golden_case *golden, const char *device, verdict *v);
blip2_status run_generate(const golden_case *golden, const char *device, verdict *v);

#endif
