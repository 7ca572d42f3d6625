/* The candidates of a request: texts that may follow its prompt, whose tokens are fed and not
 * chosen (teacher forcing). Each row of logits says how likely the next token is; the prompt's last
 * row says it of the first token of all of them, so that a text of n tokens has n - 1 rows.
 *
 *   prompt   [ 0 | 1 | 2.. ]   lane 0: its last page is filled up by one text after the other
 *   lane 1   [ 0 | 1 | 3.. ]   3: a copy of 2, made once; likewise
 *
 * As many texts as there are lanes are in a step. A lane's next text overwrites the rows behind the
 * prompt, which attention sees no further than they are written.                              */
#ifndef B2_CANDIDATES_H
#define B2_CANDIDATES_H
#include "blip2.h"
#include "device.h"
#include "text/tokenizer.h"

typedef struct b2_candidate {
    b2_tokens tokens;       /* at least one */
    blip2_logprob *logprob; /* [tokens, 1 + top] the token, then the best of its place */
} b2_candidate;

/* Row `row` of a text is its token of that number. */
typedef struct b2_candidate_row {
    uint32_t text, row;
} b2_candidate_row;

typedef struct b2_candidates {
    b2_candidate *list;                  /* [count] */
    uint32_t count, longest, top, vocab; /* longest: tokens */
    float *row;                          /* [V] scratch */
    bool begun;                          /* the prompt's logits are taken */
    b2_candidate_row fed, taken;         /* the next row that is fed; whose logits are taken */

    uint32_t prefix;           /* rows in front of each text */
    uint32_t shared;           /* full pages of them */
    uint32_t first, lane_size; /* lane l > 0 has pages first + (l - 1) * lane_size ... of the
                                  request's behind the shared ones */
    uint32_t lanes, lane;      /* lane: of the text that is being fed */
    uint32_t ready;            /* lanes that hold the prompt's last rows */
} b2_candidates;

/* For `count` texts, whose tokens are then appended to list[i].tokens. top: at most 64, and V. */
blip2_status b2_candidates_open(b2_candidates **out, size_t count, uint32_t top, uint32_t vocab);
/* Their memory, once all tokens are there. */
blip2_status b2_candidates_prepare(b2_candidates *candidates);
void b2_candidates_close(b2_candidates *candidates); /* NULL is allowed */

/* Share out pages: of `rows` rows at most, `prefix` of them in front, on at most `most` pages and
 * in `sequences` lanes. Their number; at least those of one sequence. */
uint32_t b2_candidates_plan(b2_candidates *candidates, uint32_t prefix, uint32_t rows,
                            uint32_t page_tokens, uint32_t most, uint32_t sequences);
/* The next row [1, V] of logits on the device. EFORMAT: it holds no numbers. */
blip2_status b2_candidates_take(b2_candidates *candidates, b2_device *device, b2_mat row);
bool b2_candidates_are_done(const b2_candidates *candidates);

/* Rows of the texts that can be fed beside each other, one in each lane, in one step. */
uint32_t b2_candidates_pending(const b2_candidates *candidates);
/* Go on by `rows` rows of the text; behind its last one to the next text that has any. */
void b2_candidates_advance(const b2_candidates *candidates, b2_candidate_row *at, uint32_t rows);
/* Rows that a text has. */
static inline uint32_t b2_candidate_rows(const b2_candidate *candidate) {
    return (uint32_t)candidate->tokens.count - 1;
}

#endif
