/* The options of blip2_generate as requests have them. */
#ifndef B2_GENERATE_OPTIONS_H
#define B2_GENERATE_OPTIONS_H
#include "engine/request.h"

typedef struct b2_generate_plan {
    b2_request_options request; /* of each; prompt and seed are still the input's */
    uint32_t answers;           /* texts of an input */
    uint32_t requests; /* of an input: one a text where they are drawn one by one, else 1 */
} b2_generate_plan;

/* EINVAL: out of range, or they contradict each other. */
blip2_status b2_generate_plan_make(b2_generate_plan *out, const blip2_generate_options *options,
                                   const blip2_model *model);
/* The rules that are meant; EINVAL for none of them. */
blip2_status b2_generate_rule(b2_beam_rule *out, blip2_compat compat, const blip2_model *model);
/* Text k of an input is drawn with a seed of its own, the first one with the caller's. */
static inline uint64_t b2_generate_seed(uint64_t seed, uint32_t k) {
    return seed + k * UINT64_C(0x9e3779b97f4a7c15);
}

#endif
