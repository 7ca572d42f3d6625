/* Which part of a model writes text, and what the engine must know of it. Either part takes packed
 * batches of tokens (token_batch.h) whose keys and values stand in pages.
 *
 *   a language model   rows: [soft prompt; prompt; new tokens]
 *   the Q-Former       rows: [queries; [DEC]; new tokens]. Captions of stage 1: the queries' keys
 *                      and values come from image mode; there is no prompt
 */
#ifndef B2_WRITER_H
#define B2_WRITER_H
#include "device.h"

typedef enum b2_writer_kind {
    B2_WRITER_NONE,
    B2_WRITER_LANGUAGE,
    B2_WRITER_QFORMER
} b2_writer_kind;

typedef struct b2_writer {
    b2_writer_kind kind;
    uint32_t layers, heads, width; /* of its keys and values */
    b2_type kv;                    /* their type in pages */
    uint32_t vocab;
    uint32_t positions; /* rows that a sequence can have */
    int32_t position;   /* of a sequence's row 0 in the table of positions */
    int32_t start;      /* QFORMER: the token that begins a text; else -1 */
} b2_writer;

#endif
