#include "ptx_lex.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '$';
}

static bool starts_name(char c) {
    return isalpha((unsigned char)c) || c == '_' || c == '$' || c == '%';
}

/* Past blanks and comments; false: a comment without end. */
static bool skip_blanks(ptx_lexer *lexer) {
    for (;;) {
        const char *at = lexer->at;

        if (*at == '\n') {
            lexer->line++;
            lexer->at++;
        } else if (isspace((unsigned char)*at)) {
            lexer->at++;
        } else if (at[0] == '/' && at[1] == '/') {
            lexer->at += strcspn(at, "\n");
        } else if (at[0] == '/' && at[1] == '*') {
            const char *end = strstr(at + 2, "*/");

            if (!end) {
                return false;
            }
            for (; lexer->at < end + 2; lexer->at++) {
                lexer->line += *lexer->at == '\n';
            }
        } else {
            return true;
        }
    }
}

static void lex_word(ptx_lexer *lexer, ptx_token *token) {
    const char *at = token->text + 1;

    for (;;) {
        if (is_name(*at)) {
            at++;
        } else if (*at == '.' && is_name(at[1]) && *token->text != '.') { /* ".reg.b32" is two */
            at += 2;
        } else if (at[0] == ':' && at[1] == ':' && is_name(at[2])) {
            at += 3;
        } else {
            break;
        }
    }
    token->kind = PTX_TOKEN_WORD;
    token->length = (size_t)(at - token->text);
    lexer->at = at;
}

/* 0f3F800000 and 0d3FF0000000000000: exactly the bits. */
static void lex_bits(ptx_lexer *lexer, ptx_token *token, size_t digits) {
    char hex[17] = {0};
    size_t i;

    for (i = 0; i < digits && isxdigit((unsigned char)token->text[2 + i]); i++) {
        hex[i] = token->text[2 + i];
    }
    token->kind = digits == 8 ? PTX_TOKEN_F32 : PTX_TOKEN_F64;
    if (i < digits) {
        token->kind = PTX_TOKEN_BAD;
    }
    token->value = strtoull(hex, NULL, 16);
    token->length = 2 + i;
    lexer->at = token->text + token->length;
}

static void lex_number(ptx_lexer *lexer, ptx_token *token) {
    const char *at = token->text;
    char second = at[0] == '0' ? (char)tolower((unsigned char)at[1]) : ' ';
    char *end;

    if (second == 'f' || second == 'd') {
        lex_bits(lexer, token, second == 'f' ? 8 : 16);
        return;
    }
    token->kind = PTX_TOKEN_INTEGER;
    if (second == 'b') {
        token->value = strtoull(at + 2, &end, 2);
    } else {
        token->value = strtoull(at, &end, 0);
        if (*end == '.' || *end == 'e' || *end == 'E') {
            double real = strtod(at, &end);

            token->kind = PTX_TOKEN_F64;
            memcpy(&token->value, &real, sizeof(real));
        }
    }
    if (*end == 'U') {
        end++;
    }
    if (is_name(*end)) {
        token->kind = PTX_TOKEN_BAD;
    }
    token->length = (size_t)(end - at);
    lexer->at = end;
}

ptx_token ptx_lex(ptx_lexer *lexer) {
    ptx_token token = {0};

    bool ends = skip_blanks(lexer);

    token.line = lexer->line;
    token.text = lexer->at;
    if (!ends) {
        token.kind = PTX_TOKEN_BAD;
        token.length = strcspn(token.text, "\n");
        lexer->at += strlen(lexer->at);
        return token;
    }
    if (*lexer->at == '\0') {
        return token;
    }
    if (starts_name(*lexer->at) || (*lexer->at == '.' && starts_name(lexer->at[1]))) {
        lex_word(lexer, &token);
    } else if (isdigit((unsigned char)*lexer->at)) {
        lex_number(lexer, &token);
    } else if (*lexer->at == '"') {
        size_t length = strcspn(lexer->at + 1, "\"\n");

        token.kind = lexer->at[1 + length] == '"' ? PTX_TOKEN_STRING : PTX_TOKEN_BAD;
        token.text++;
        token.length = length;
        lexer->at += length + (token.kind == PTX_TOKEN_STRING ? 2 : 1);
    } else {
        token.kind = PTX_TOKEN_MARK;
        token.length = 1;
        lexer->at++;
    }
    return token;
}
