/* InstructBLIP: the Q-Former reads a request's prompt beside its picture, so that soft prompts
 * belong to requests and not to pictures. Requests are packed into common batches, queries and
 * prompt seeing each other (joint mode); a picture's keys and values are where it was encoded
 * (images.h). What language model reads the soft prompts does not matter here. */
#ifndef B2_INSTRUCT_H
#define B2_INSTRUCT_H
#include "engine/images.h"

typedef struct b2_instruct {  /* all zero: the model reads no instructions */
    b2_qformer_space qformer; /* device, up to pack.max_rows */
    b2_qformer_pack pack;
    b2_mat projected; /* [max_requests * Q, E] of a batch */
    b2_mat soft;      /* [max_requests * max_frames * Q, E] soft prompts, by running place; those
                         of a video's frames one behind the other */
    uint32_t max_frames;
    uint32_t image_rows; /* n, of one picture's keys and values */
    uint32_t *rows;      /* host [max_requests] first row in soft of each request of a batch */
} b2_instruct;

/* Device memory for requests with running places below max_requests, of up to max_frames frames,
 * and batches of up to max_rows rows, at least the longest prompt beside its queries; with
 * carver->base NULL only planned. Nothing where the model reads no instructions. */
void b2_instruct_carve(b2_instruct *instruct, b2_carver *carver, const blip2_model *model,
                       uint32_t max_requests, uint32_t max_frames, uint32_t max_rows);
blip2_status b2_instruct_init(b2_instruct *instruct); /* host memory, after carving */
void b2_instruct_free(b2_instruct *instruct);

void b2_instruct_begin(b2_instruct *instruct);
/* The first row in soft of the request at a running place. */
static inline uint32_t b2_instruct_row(const b2_instruct *instruct, uint32_t place) {
    return place * instruct->max_frames * instruct->pack.queries;
}
/* The prompt ids [count] (host) of a request, about the picture at image_place; its soft prompt
 * goes to `row` of soft. False: no room left in this batch. */
bool b2_instruct_add(b2_instruct *instruct, uint32_t row, uint32_t image_place, const int32_t *ids,
                     uint32_t count);
/* Run the batch: soft has the rows of each of its requests. */
blip2_status b2_instruct_run(b2_instruct *instruct, const blip2_model *model, const b2_run *run,
                             const b2_images *images);

#endif
