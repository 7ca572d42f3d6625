/* One case of attention: inputs in packed matrices or shuffled pages, a kernel, and its result
 * against the twins. */
#ifndef B2_ATTENTION_CASE_H
#define B2_ATTENTION_CASE_H
#include "attention_twin.h"
#include "kernel_test.h"

enum { CASE_SEGMENTS = 5 };

typedef struct attention_case {
    enum { CASE_PLAIN, CASE_PREFILL, CASE_DECODE } kernel;
    b2_type type, kv_type;
    int heads, head_size, segments;
    int n[CASE_SEGMENTS], m[CASE_SEGMENTS]; /* query rows and keys of each segment */
    int queries;                            /* learned queries of each segment */
    b2_mask_rule rule;
    int page_tokens; /* 0: packed */
    int gap;         /* elements between rows of matrices, filled with sentinels */
    double spread;   /* of the scores: larger makes the softmax sharper */
    bool bias;
    int splits;   /* decode */
    bool append;  /* decode: the last n keys of a segment are in matrices, not in pages */
    int kv_heads; /* heads of keys and values, each of several of queries; 0: as many */
} attention_case;

typedef struct attention_files {
    cudaLibrary_t file[3]; /* by the case's kernel */
} attention_files;

/* The kernel's name for a case. */
const char *attention_kernel(const attention_case *c);

/* Runs the case with inputs of a seed and fails where the kernel errs more than twice as much as
 * the obvious loops at its precision, plus two units in the last place of the largest result. */
void attention_check(const attention_files *files, const attention_case *c, uint64_t seed);

/* The same for a kernel with a planted bug: how far it errs, in units of what is allowed, or -1
 * when the software GPU has found something (and the memory of the case is lost). */
double attention_try(const attention_files *files, const attention_case *c, uint64_t seed);

#endif
