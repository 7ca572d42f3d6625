/* Libraries of NVIDIA's that are found when a GPU is opened, not linked: a binary with CUDA starts
 * on any machine. Each is a table of functions under the names and types of its header. */
#ifndef B2_LIBRARIES_H
#define B2_LIBRARIES_H
#include <cublasLt.h>
#ifdef BLIP2_HAS_CUDNN
#include <cudnn.h>
#endif

#include "base/status.h"

#define B2_CUBLASLT_MAP(X)                                                                         \
    X(Create)                                                                                      \
    X(Destroy)                                                                                     \
    X(GetStatusString)                                                                             \
    X(Matmul)                                                                                      \
    X(MatmulAlgoCheck)                                                                             \
    X(MatmulAlgoGetHeuristic)                                                                      \
    X(MatmulDescCreate)                                                                            \
    X(MatmulDescDestroy)                                                                           \
    X(MatmulDescSetAttribute)                                                                      \
    X(MatmulPreferenceCreate)                                                                      \
    X(MatmulPreferenceDestroy)                                                                     \
    X(MatmulPreferenceSetAttribute)                                                                \
    X(MatrixLayoutCreate)                                                                          \
    X(MatrixLayoutDestroy)

typedef struct b2_cublaslt {
    void *library; /* NULL: not open */
#define B2_CUBLASLT_FIELD(name) __typeof__(cublasLt##name) *name;
    B2_CUBLASLT_MAP(B2_CUBLASLT_FIELD)
#undef B2_CUBLASLT_FIELD
} b2_cublaslt;

#ifdef BLIP2_HAS_CUDNN
#define B2_CUDNN_MAP(X)                                                                            \
    X(Create)                                                                                      \
    X(Destroy)                                                                                     \
    X(SetStream)                                                                                   \
    X(GetErrorString)                                                                              \
    X(BackendCreateDescriptor)                                                                     \
    X(BackendDestroyDescriptor)                                                                    \
    X(BackendSetAttribute)                                                                         \
    X(BackendGetAttribute)                                                                         \
    X(BackendFinalize)                                                                             \
    X(BackendExecute)

typedef struct b2_cudnn {
    void *library; /* NULL: not open */
#define B2_CUDNN_FIELD(name) __typeof__(cudnn##name) *name;
    B2_CUDNN_MAP(B2_CUDNN_FIELD)
#undef B2_CUDNN_FIELD
} b2_cudnn;

/* Like b2_cublaslt_open, but to be without it is no error: library is NULL then. */
void b2_cudnn_open(b2_cudnn *out);
void b2_cudnn_close(b2_cudnn *cudnn);
#endif

/* The functions that the program itself brings (tests have stand-ins), else those of the installed
 * library. ENOTSUP: which file is missing and what to do. */
blip2_status b2_cublaslt_open(b2_cublaslt *out);
void b2_cublaslt_close(b2_cublaslt *cublaslt);

#endif
