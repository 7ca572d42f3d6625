/* One packed batch for the Q-Former: which segments it has, as index arrays, filled on the host and
 * sent to the device in one copy. What the arrays are for: qformer.h. */
#ifndef B2_QFORMER_BATCH_H
#define B2_QFORMER_BATCH_H
#include "model/run.h"

/* All arrays are device memory. N rows: `queries` of every segment that has any, then text. */
typedef struct b2_qformer_batch {
    uint32_t segments;       /* S */
    uint32_t query_segments; /* G <= S, those with queries */
    uint32_t query_rows;     /* G * Q */
    uint32_t text_rows;
    uint32_t max_q, max_k;  /* of self-attention */
    uint32_t max_cross_k;   /* rows of the longest image */
    b2_mask_rule rule;      /* of self-attention, for all segments */
    const int32_t *learned; /* [query_rows] which learned query a row is */
    const int32_t *ids;     /* [text_rows] words */
    const int32_t *places;  /* [text_rows] positions */
    const int32_t *order;   /* [N] where each row stands when segments are kept together; NULL: they
                               are already */
    const int32_t *q_start; /* [S+1] */
    const int32_t *k_first; /* [S] */
    const int32_t *k_count; /* [S] */
    const int32_t *queries; /* [S] learned queries of a segment */
    const int32_t *cross_q_start; /* [G+1] */
    const int32_t *cross_k_first; /* [G] first row of the segment's image in cross_kv */
    const int32_t *cross_k_count; /* [G] rows of its image */
    /* Keys and values in pages, each row's going to its slot: of queries, for text to come
     * (page_table NULL: nothing is read from there), or of text that continues. Then segments have
     * rows of one kind only. */
    b2_kv_view kv;        /* pages NULL: none; layer is set by b2_qformer_run */
    const int32_t *slots; /* [N] */
} b2_qformer_batch;

typedef struct b2_qformer_arrays { /* the same layout on host and device; as in the batch */
    int32_t *learned, *ids, *places, *order, *slots; /* [N] */
    int32_t *q_start, *cross_q_start;                /* [S+1] */
    int32_t *k_first, *k_count, *queries;            /* [S] */
    int32_t *cross_k_first, *cross_k_count;          /* [S] */
} b2_qformer_arrays;

/* A segment to be packed. */
typedef struct b2_qformer_segment {
    bool has_queries;
    uint32_t image_first, image_rows; /* of cross_kv, where it has queries */
    const int32_t *ids;               /* host [text_count] */
    uint32_t text_count;
    uint32_t past;        /* keys in front of its rows: what stands in pages already */
    uint32_t position;    /* of the first text row */
    const int32_t *slots; /* host [queries + text_count] or NULL, as for all segments of a batch */
} b2_qformer_segment;

typedef struct b2_qformer_pack {
    uint32_t queries;      /* Q */
    uint32_t max_segments; /* S */
    uint32_t max_rows;     /* N */
    b2_qformer_arrays host, device;
    void *host_block, *device_block;
    size_t bytes;
    uint32_t *text_first;   /* [S] first text row of a segment, counted among the text rows */
    uint32_t *text_count;   /* [S] */
    int32_t *text_slots;    /* [N] of the text rows, which go behind the queries' */
    b2_qformer_batch batch; /* whole after send */
} b2_qformer_pack;

/* Device memory; with carver->base NULL only planned. */
void b2_qformer_pack_carve(b2_qformer_pack *pack, b2_carver *carver, uint32_t queries,
                           uint32_t max_segments, uint32_t max_rows);
blip2_status b2_qformer_pack_init(b2_qformer_pack *pack); /* host memory, after carving */
void b2_qformer_pack_free(b2_qformer_pack *pack);

void b2_qformer_pack_begin(b2_qformer_pack *pack, b2_mask_rule rule);
/* Append a segment; false, and nothing happened, if the batch has no room for it. */
bool b2_qformer_pack_add(b2_qformer_pack *pack, const b2_qformer_segment *segment);
/* Send the arrays to the device and make pack->batch whole, but for kv. */
blip2_status b2_qformer_pack_send(b2_qformer_pack *pack, b2_device *device);

/* Rows of the result, after all segments are added. g: index among the segments with queries. */
static inline uint32_t b2_qformer_query_row(const b2_qformer_pack *pack, uint32_t g) {
    return g * pack->queries;
}
static inline uint32_t b2_qformer_text_row(const b2_qformer_pack *pack, uint32_t s) {
    return pack->batch.query_rows + pack->text_first[s];
}

#endif
