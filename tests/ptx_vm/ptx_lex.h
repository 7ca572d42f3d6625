/* PTX text to tokens. A word is taken whole with its dots: an opcode ("ld.global.v4.f32"), a
 * special register ("%tid.x"), a directive (".reg"), a name ("$L__BB0_2"). */
#ifndef VM_PTX_LEX_H
#define VM_PTX_LEX_H
#include <stddef.h>
#include <stdint.h>

typedef enum ptx_token_kind {
    PTX_TOKEN_END,
    PTX_TOKEN_WORD,
    PTX_TOKEN_INTEGER,
    PTX_TOKEN_F32, /* 0fXXXXXXXX: value holds the 32 bits */
    PTX_TOKEN_F64, /* 0dXXXXXXXXXXXXXXXX or a decimal: value holds the 64 bits */
    PTX_TOKEN_STRING,
    PTX_TOKEN_MARK, /* one character of punctuation */
    PTX_TOKEN_BAD
} ptx_token_kind;

typedef struct ptx_token {
    ptx_token_kind kind;
    int line;
    const char *text; /* inside the source; without the quotes of a string */
    size_t length;
    uint64_t value;
} ptx_token;

typedef struct ptx_lexer {
    const char *at;
    int line;
} ptx_lexer;

ptx_token ptx_lex(ptx_lexer *lexer); /* text is NUL-terminated; at the end gives END for ever */

#endif
