/* Shared by the files of cuBLASLt's stand-in: cublaslt.c (its functions), cublaslt_check.c (what
 * the real library promises or refuses), cublaslt_run.c (the product). */
#ifndef VM_CUBLASLT_PARTS_H
#define VM_CUBLASLT_PARTS_H
#pragma GCC visibility push(default)
#include <cublasLt.h>
#pragma GCC visibility pop

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct layout {
    cudaDataType type;
    uint64_t rows, cols;
    int64_t stride; /* from column to column */
} layout;

typedef struct operation {
    cublasComputeType_t compute;
    cudaDataType scale;
    cublasOperation_t transposed_a;
    cublasLtEpilogue_t epilogue;
    const void *bias;
} operation;

typedef struct preference {
    uint64_t workspace;
    uint32_t reduction;
    uint32_t align[4]; /* A, B, C, D */
} preference;

typedef struct algorithm { /* what was promised when it was asked for */
    uint32_t align[4];
    uint32_t bias_align;
    uint64_t workspace;
    uint64_t shape; /* hash of the problem, without its columns where any may come */
    uint32_t any_columns;
    uint32_t chunk; /* elements along k that are summed before they are added to the sum */
} algorithm;

typedef struct product {
    operation op;
    layout a, b, c, d; /* A [k, m], B [k, n], C and D [m, n] */
    const void *a_data, *b_data, *c_data;
    void *d_data;
    float alpha, beta;
    void *workspace;
    size_t workspace_bytes;
    uint32_t chunk;
} product;

size_t vm_cublaslt_element(cudaDataType type);
bool vm_cublaslt_has_bias(const operation *op);
bool vm_cublaslt_has_relu(const operation *op);

bool vm_cublaslt_is_supported(const product *p);
uint64_t vm_cublaslt_hash(const product *p, bool any_columns);
/* Did the caller keep what it promised when it asked for this algorithm? */
bool vm_cublaslt_keeps_promise(const product *p, const algorithm *algo, const void *workspace,
                               size_t workspace_bytes);

#define VM_CUBLASLT_WHO "cublasLtMatmul"
/* argument: a product. */
bool vm_cublaslt_run(const void *argument);

#endif
