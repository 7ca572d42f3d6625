/* Pictures to what the rest of a model wants of them:
 *
 *   pictures -> pixels -> vit -> features [B*n, Cv]
 *     -> cross_kv [B*n, X]           keys and values for the Q-Former's cross-attention, all layers
 *     -> queries [B*Q, C]            the Q-Former's image mode, which reads them
 *     -> query_kv                    its own keys and values, all layers: what captions see
 *     -> soft [B*Q, E]               projected: soft prompts of a language model
 *     -> contrast [B*Q, W]           projected: what texts are compared with
 *
 * Each of them can be kept for later use, at a place of the picture's own (engine/images.h). Where
 * the Q-Former reads prompts as well, a picture alone gives cross_kv and no more.
 */
#ifndef B2_ENCODE_H
#define B2_ENCODE_H
#include "model/model.h"

/* Workspace for up to `images` pictures. */
typedef struct b2_encode_space {
    float *pixels; /* [B, 3, S, S] */
    b2_vit_space vit;
    b2_mat cross_kv; /* [B*n, X] what the Q-Former reads of the pictures; absent where it is kept */
    b2_qformer_space qformer;
    b2_qformer_pack pack;
    b2_mat soft;     /* [B*Q, E]; absent without a language model */
    b2_mat contrast; /* [B*Q, W]; absent without contrast */
    uint32_t images;
    int32_t *query_slots; /* host [Q] where one picture's queries keep their keys and values */
    uint64_t cross_runs, query_runs; /* pictures so far: cross_kv computed, image mode run */
} b2_encode_space;

/* Where what comes out of pictures is kept: picture i has place slots[i] of each matrix that is
 * present, all of device memory. */
typedef struct b2_encode_places {
    b2_mat cross_kv; /* [places * n, X] */
    b2_mat queries;  /* [places * Q, C] the Q-Former's image mode */
    b2_mat contrast; /* [places * Q, W] the contrast head of those, of unit length */
    b2_mat soft;     /* [places * Q, E] soft prompts */
    uint32_t *slots; /* host [images] */
    /* Keys and values of the queries' self-attention in image mode, of all layers, for text to go
     * on from: in pages of a pool, query_pages a place, from page query_page on. */
    b2_kv_view query_kv; /* page_table unused; pages NULL: not kept */
    int32_t query_page;
    uint32_t query_pages;
} b2_encode_places;

/* The first of a place's pages. */
static inline int32_t b2_encode_query_page(const b2_encode_places *places, uint32_t place) {
    return places->query_page + (int32_t)(place * places->query_pages);
}

/* keeps_cross: places have cross_kv. */
void b2_encode_carve(b2_encode_space *out, b2_carver *carver, const blip2_model *model,
                     uint32_t images, bool keeps_cross);
/* Host memory and constant arrays, after carving. */
blip2_status b2_encode_prepare(const blip2_model *model, b2_encode_space *space);
void b2_encode_free(b2_encode_space *space);

/* Preprocess image number `index` of the batch into space->pixels. */
blip2_status b2_encode_pixels(const blip2_model *model, const b2_encode_space *space,
                              uint32_t index, const blip2_image *image);
/* Encode the pictures whose pixels are there. */
blip2_status b2_encode_run(const blip2_model *model, const b2_run *run, b2_encode_space *space,
                           uint32_t images, const b2_encode_places *places);

/* What the vision tower made of picture number `index` of the batch [n, Cv]: that of the last
 * b2_encode_run, which the host can keep, and back. */
blip2_status b2_encode_get_features(const blip2_model *model, const b2_encode_space *space,
                                    uint32_t index, float *features);
blip2_status b2_encode_put_features(const blip2_model *model, const b2_encode_space *space,
                                    uint32_t index, const float *features);
/* Encode the pictures whose features are there. */
blip2_status b2_encode_run_features(const blip2_model *model, const b2_run *run,
                                    b2_encode_space *space, uint32_t images,
                                    const b2_encode_places *places);

#endif
