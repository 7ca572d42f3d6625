/* Added tokens: texts that are cut out of the input before the model sees it, special or not. */
#ifndef B2_ADDED_TOKENS_H
#define B2_ADDED_TOKENS_H
#include "text/normalize.h"
#include "text/prefixes.h"
#include "text/regex.h"

typedef struct b2_added_token {
    const b2_entry *entry; /* text and id */
    const char *form;      /* [form_length] the text as it is looked for: normalised */
    uint32_t form_length;
    bool special;
    bool single_word;    /* only where no word character touches it */
    bool lstrip, rstrip; /* takes the white space on its left, right with it */
    bool normalized;     /* looked for in the normalised text, after the others */
} b2_added_token;

/* Tokens that are looked for together. */
typedef struct b2_added_set {
    b2_prefixes forms; /* index: into `tokens` */
    const b2_added_token *tokens;
    bool first[256]; /* bytes that such a token starts with */
} b2_added_set;

typedef struct b2_added_tokens {
    b2_vocabulary vocabulary; /* texts and ids of all added tokens */
    b2_added_token *tokens;   /* [vocabulary.count], as vocabulary.entries */
    b2_added_set raw, normalized;
    b2_regex word; /* one word character; compiled when a token has single_word */
} b2_added_tokens;

/* Read the "added_tokens" array; texts lie in the arena, close with b2_added_tokens_free too.
 * model: the model's tokens; normalizers: for the tokens that are looked for in the normalised
 * text. */
blip2_status b2_added_tokens_read(b2_added_tokens *out, b2_arena *arena, b2_fields *fields,
                                  const json_t *array, const b2_vocabulary *model,
                                  const b2_normalizers *normalizers);
void b2_added_tokens_free(b2_added_tokens *added);

typedef struct b2_added_match {
    const b2_added_token *token; /* NULL: none up to the end of the text */
    size_t start, end;           /* bytes that it takes, white space included */
    size_t next;                 /* where to look on */
} b2_added_match;

/* The next token of set in text ([length] bytes of valid UTF-8). word: a matcher of added->word
 * when that was compiled. match: zero for the first call, then the last answer. start may lie
 * before the end of the match before it when that one has taken white space which this one starts
 * with. */
blip2_status b2_added_find(const b2_added_set *set, const b2_matcher *word, const char *text,
                           size_t length, b2_added_match *match);

#endif
