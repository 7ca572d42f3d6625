/* inputs.generate_args: the arguments of transformers' generate as a request's options. */
#ifndef BENCH_GENERATE_ARGS_H
#define BENCH_GENERATE_ARGS_H
#include "engine/request.h"
#include "golden.h"

typedef struct generate_args {
    b2_request_options request;      /* what is below is borrowed by it */
    uint32_t min_length, max_length; /* these count the prompt; max_length in place of
                                        max_new_tokens, else 0 */
    uint32_t beams, answers;
    int32_t *bad_ids;
    uint32_t *bad_ends;
    b2_id_lists bad_words;
    const char **stop_strings;
} generate_args;

/* ENOTSUP for an argument that is not known, and for do_sample without a `seed`, which is ours:
 * what torch draws is not drawn here. *out is freed with generate_args_free in any case. */
blip2_status generate_args_read(generate_args *out, const golden_case *golden);
void generate_args_free(generate_args *args);

#endif
