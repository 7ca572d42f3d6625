/* What stage 1 asks of the Q-Former, without generating anything: features of pictures and texts,
 * and how well pairs match. Requests of all modes are packed into common batches; a picture's keys
 * and values are where it was encoded (images.h), so a pair costs its own rows and no more.
 *
 *   IMAGE   the picture's queries, as they came out of encoding
 *   TEXT    the text's rows
 *   PAIR    queries and text together: the queries' rows, and the match
 *   CAPTION queries, and text that sees them and earlier text: how unlikely the text is as a
 * caption
 *   READ    the queries once more, which read only some rows of the picture's features
 */
#ifndef B2_SCORE_H
#define B2_SCORE_H
#include "engine/images.h"

typedef enum b2_score_mode {
    B2_SCORE_IMAGE,
    B2_SCORE_TEXT,
    B2_SCORE_PAIR,
    B2_SCORE_CAPTION,
    B2_SCORE_READ
} b2_score_mode;

/* What a request wants and, once it is done, got. W: width of the contrast heads. */
typedef struct b2_score {
    b2_score_mode mode;
    bool wants_rows;     /* the Q-Former's last hidden states */
    bool wants_contrast; /* IMAGE, TEXT, READ: unit vectors to compare pictures and texts with */
    bool wants_match;    /* PAIR */
    bool wants_features; /* IMAGE: what the vision tower makes of it, for keeping */
    uint32_t read_first, read_count; /* READ: rows of the n of the picture's features */
    uint32_t row_count;              /* IMAGE, PAIR, READ: Q; TEXT: its tokens */
    float *rows;                     /* [row_count, C] */
    float *contrast; /* [row_count, W]; a text that wants no rows: [1, W], of its first row */
    float *features; /* [n, Cv] */
    float match[2];  /* logits: no, yes; mean over the queries */
    /* CAPTION, sums over all tokens but the first: -log p of the token, and the mean of -log p over
     * the vocabulary, which label smoothing wants. */
    double surprise, smoothing;
} b2_score;
void b2_score_free(b2_score *score);
/* Rows of score->contrast. */
static inline uint32_t b2_score_contrast_rows(const b2_score *score) {
    return score->mode == B2_SCORE_TEXT && !score->wants_rows ? 1 : score->row_count;
}
/* Does the model have stage 1's Q-Former, which reads text for its own sake? */
static inline bool b2_score_possible(const blip2_model *model) {
    return model->qformer.reads_text && !model->config.instructed;
}
/* ENOTSUP if the model has no such head, or reads no text. */
blip2_status b2_score_check(const b2_score *score, const blip2_model *model);

typedef struct b2_score_item {
    b2_score *score;
    void *owner;        /* the caller's */
    const int32_t *ids; /* host [id_count]; the text */
    uint32_t id_count;
    uint32_t image_place;
    uint32_t segment, group; /* set by b2_score_add: where it is in the batch */
    uint32_t picked;         /* its first row of the contrast head */
} b2_score_item;

typedef struct b2_score_space {
    b2_qformer_space qformer; /* device, up to max_rows */
    b2_qformer_pack pack;
    uint32_t max_rows, max_items;
    uint32_t image_rows;               /* n, of one picture's keys and values */
    int32_t *picked;                   /* device [max_rows] rows that the contrast head reads */
    b2_mat picked_rows, contrast;      /* [max_rows, C], [max_rows, W] */
    b2_mat match;                      /* [max_items * Q, 2] */
    uint32_t logit_rows;               /* R, of a caption that are turned into logits together */
    float *host_logits;                /* [R, V] */
    int32_t *host_picked;              /* [max_rows] */
    float *host_contrast, *host_match; /* [max_rows, W], [max_items * Q, 2] */
    b2_score_item *items;              /* [max_items] those packed */
    uint32_t item_count, picked_count;
    uint32_t picked_texts;         /* of the picked rows, which come first */
    uint64_t texts_run, pairs_run; /* of all batches so far */
} b2_score_space;

/* Device memory for batches of up to max_rows rows, at least the longest text beside its queries;
 * with carver->base NULL only planned. Nothing where the model reads no text. */
void b2_score_carve(b2_score_space *space, b2_carver *carver, const blip2_model *model,
                    uint32_t max_rows, uint32_t max_items);
blip2_status b2_score_init(b2_score_space *space, const blip2_model *model); /* host memory */
void b2_score_space_free(b2_score_space *space);

void b2_score_begin(b2_score_space *space);
/* False: no room left in this batch. IMAGE items need none. */
bool b2_score_add(b2_score_space *space, const b2_score_item *item);
/* Run the batch and fill in what its items want. */
blip2_status b2_score_run(b2_score_space *space, const blip2_model *model, const b2_run *run,
                          const b2_images *images);

#endif
