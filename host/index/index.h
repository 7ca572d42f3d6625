/* An index: pictures' vectors in a file, searched where the file is mapped.
 *
 * The exact search is a product of all vectors with the queries' and the best of each picture: two
 * operations of the seam, over blocks of pictures that stay in cache. It runs on the CPU whichever
 * device the model is on: the file is in the host's memory, each of its bytes takes part in one
 * product a query vector, and a bus to a GPU is slower than the memory behind the CPU. Bound: bytes
 * of the vectors / bandwidth of memory; 3.3 GB for 100,000 pictures of 32 x 256 F32. */
#ifndef B2_INDEX_H
#define B2_INDEX_H
#include "blip2.h"
#include "engine/contrast.h"
#include "index/best.h"
#include "index/file.h"
#include "index/nearest.h"

struct blip2_index {
    b2_index_file file;
    b2_device *device;   /* a CPU of its own: its memory is plain memory */
    uint32_t threads;    /* as it was opened */
    b2_weight *vectors;  /* [N*Q, W], rows to look up; where the file map has them */
    b2_nearest *nearest; /* NULL until the first approximate search */
};

/* What is searched for: columns [first[q] .. first[q + 1]) of query q, each a vector. */
typedef struct b2_queries {
    float *vectors; /* [columns, W] */
    size_t *first;  /* [count + 1] */
    size_t count;
} b2_queries;

/* The vectors of texts and pictures. */
blip2_status b2_queries_open(b2_queries *out, blip2_engine *engine, const blip2_input *inputs,
                             size_t count, uint32_t max_text_tokens);
void b2_queries_free(b2_queries *queries);

/* Called while a search goes on; non-zero stops. */
typedef struct b2_search_progress {
    int (*call)(uint64_t done, uint64_t total, void *payload); /* may be NULL */
    void *payload;
    uint64_t done, total;
} b2_search_progress;
blip2_status b2_search_tell(b2_search_progress *progress, uint64_t more);

/* Every picture with every query: the best of each into lists [count]. */
blip2_status b2_search_exact(blip2_index *index, const b2_queries *queries, b2_best *lists,
                             b2_search_progress *progress);
/* The same, of candidates only: `nearest` of each of a query's vectors. */
blip2_status b2_search_near(blip2_index *index, const b2_queries *queries, uint32_t nearest,
                            b2_best *lists, b2_search_progress *progress);

/* Match the first k hits of each query that is a text; those that could be matched change places
 * among each other. hits [count, top]. */
typedef struct b2_rerank {
    blip2_index *index;
    blip2_engine *engine;
    const blip2_input *queries; /* [count] */
    size_t count, top, k;
    const blip2_search_options *options;
    b2_search_progress *progress;
} b2_rerank;
blip2_status b2_rerank_run(const b2_rerank *job, blip2_hit *hits);

#endif
