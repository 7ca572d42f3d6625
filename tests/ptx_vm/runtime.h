/* Shared by the files of the CUDA runtime's stand-in.
 *
 * Work is queued per stream and done as late as the host permits: at a synchronisation. That is
 * legal behaviour of a GPU and the one that shows most mistakes of the host: a pinned buffer reused
 * too early, a result looked at without waiting, an event missing between two streams. */
#ifndef VM_RUNTIME_H
#define VM_RUNTIME_H
#include <cuda_runtime_api.h>

#include "memory.h"
#include "ptx_vm.h"

typedef enum vm_op_kind {
    VM_OP_LAUNCH,
    VM_OP_COPY,
    VM_OP_SET,
    VM_OP_RECORD, /* event */
    VM_OP_WAIT,   /* event, up to record number `sequence` of it */
    VM_OP_GRAPH,
    VM_OP_CALL /* of a stand-in library or of the host */
} vm_op_kind;

typedef struct vm_op {
    vm_op_kind kind;
    vm_launch launch; /* owns params */
    void *to;
    const void *from;
    uint8_t *staged; /* copy of pageable memory, made when the copy was queued; NULL: none */
    size_t bytes;
    int value;
    struct CUevent_st *event;
    uint64_t sequence;
    struct CUgraphExec_st *graph;
    const char *who;
    bool (*call)(const void *arguments);
    void (*host_call)(void *argument);
    void *arguments; /* owned with call, the host's with host_call */
    bool faults;     /* once it runs, the context is lost (vm_fail_call) */
} vm_op;

typedef struct vm_ops {
    vm_op *items;
    size_t count, capacity;
} vm_ops;

struct CUstream_st {
    struct CUstream_st *next;
    vm_ops queue;
    size_t done;                /* of the queue */
    struct CUgraph_st *capture; /* NULL: not capturing */
    bool is_origin;             /* where the capture began */
    bool invalid;               /* the capture broke a rule */
};

struct CUevent_st {
    struct CUevent_st *next;
    struct CUstream_st *stream; /* of the last record; NULL: never recorded */
    uint64_t recorded, reached; /* number of the last record queued, and executed */
    double time;
    bool has_timing;
    struct CUgraph_st *capture; /* recorded into a graph */
};

struct CUkern_st {
    vm_kernel kernel; /* what it points to belongs to the library's image */
};

struct CUlib_st {
    struct CUlib_st *next;
    struct vm_image *image;
    struct CUkern_st *kernels; /* one for each of the module */
};

struct CUgraph_st {
    vm_ops ops;
};

struct CUgraphExec_st {
    vm_ops ops;
};

/* Every function of the runtime starts with enter and returns leave(its result). */
void vm_enter(void);
cudaError_t vm_leave(cudaError_t error);
bool vm_is_stuck(void); /* a sticky error: nothing is executed any more */
void vm_set_stuck(cudaError_t error);
double vm_now(void);

/* runtime_stream.c */
struct CUstream_st *vm_stream_of(cudaStream_t stream);       /* NULL: no stream of ours */
cudaError_t vm_queue(struct CUstream_st *stream, vm_op *op); /* takes what op owns */
void vm_drain(struct CUstream_st *stream);
void vm_drain_all(void);
/* Do as much of the event's stream as its record number `sequence` needs. */
void vm_stream_reach(struct CUevent_st *event, uint64_t sequence);
/* Starts a call that capturing forbids: true while a stream captures, whose capture is then broken.
 */
bool vm_capture_forbids(void);
void vm_stream_end_capture(const struct CUgraph_st *graph); /* in all streams that joined */
void vm_streams_reset(void);

/* runtime_fault.c */
bool vm_call_fails(vm_call kind); /* counts for vm_fail_call; the call then does nothing */
bool vm_call_faults(void);        /* what is queued now fails when it runs */

/* runtime_op.c */
void vm_op_run(struct CUstream_st *stream, const vm_op *op);
void vm_op_release(vm_op *op);
vm_op vm_op_copy(const vm_op *op);
void vm_ops_release(vm_ops *ops);
vm_op *vm_ops_add(vm_ops *ops, const vm_op *op);

/* runtime_library.c */
vm_kernel *vm_kernel_of(const void *handle); /* NULL: no kernel of a loaded library */
void vm_libraries_reset(void);

extern int vm_capability[2];
size_t vm_shared_optin(void); /* most shared memory of a block */

#endif
