/* Stage 1's heads, linear layers on rows of the Q-Former:
 *
 *   contrast   image: each query row of image mode -> W numbers; text: the first row -> W numbers;
 *              both to unit length; the score is the best query's dot product with the text
 *   matching   each query row of joint mode -> 2 numbers (no, yes); the mean over queries
 */
#ifndef B2_STAGE1_H
#define B2_STAGE1_H
#include "model/run.h"

typedef struct b2_stage1 {
    bool contrasts, matches; /* which heads the checkpoint has */
    b2_dense vision, text;   /* [W, C] */
    b2_dense match;          /* [2, C] */
    float temperature;       /* of the contrast in training; 0: the checkpoint has none */
} b2_stage1;

/* Both passes (loader.h). width: C; itc_width (W) 0: as the checkpoint has. A checkpoint that has
 * a piece of a head must have the whole of it. */
blip2_status b2_stage1_load(b2_stage1 *stage1, b2_loader *loader, uint32_t width,
                            uint32_t itc_width);

/* y [N, W] = the rows x [N, C] through a contrast head (vision or text), of unit length. */
blip2_status b2_stage1_project(const b2_run *run, const b2_dense *head, b2_mat y, b2_mat x);

#endif
