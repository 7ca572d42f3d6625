/* Post-processor: the special tokens around the ids of a text. */
#ifndef B2_POSTPROCESS_H
#define B2_POSTPROCESS_H
#include "base/arena.h"
#include "load/fields.h"

/* In a template: here go the ids of the text. */
enum { B2_TEMPLATE_TEXT = -1 };

/* Longest template; real ones have at most 3 items. A short file could otherwise ask for a text, or
 * for the ids of a token, very many times. */
enum { B2_TEMPLATE_MAX = 64 };

typedef struct b2_template {
    int32_t *items; /* [count] ids of special tokens, or B2_TEMPLATE_TEXT */
    size_t count;
} b2_template;

/* Read the "post_processor" value: null, ByteLevel (which moves offsets only), TemplateProcessing,
 * RobertaProcessing, BertProcessing or a Sequence of those with at most one that adds tokens
 * (behind the first, the library takes its parts for a pair of texts). */
blip2_status b2_template_read(b2_template *out, b2_arena *arena, b2_fields *fields,
                              const json_t *json);

#endif
