#include "likelihood_lines.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/text_buffer.h"
#include "json.h"

/* The line keeps to itself: control characters since `from` become '?'. */
static void end_line(b2_text_buffer *out, size_t from) {
    for (; from < out->length; from++)
        if (iscntrl((unsigned char)out->data[from]))
            out->data[from] = '?';
    b2_text_append(out, "\n", 1);
}

static void name_line(const b2_likelihood_lines *l, b2_text_buffer *out) {
    if (l->show_name)
        b2_text_appendf(out, "%s: ", l->path);
    if (l->show_question)
        b2_text_appendf(out, "%s ", l->question);
}

/* Append the object, which is let go, as a line. */
static void append_object(b2_text_buffer *out, json_t *object) {
    char *dumped = object != NULL ? json_dumps(object, B2_JSON_LINE) : NULL;

    json_decref(object);
    if (dumped == NULL)
        out->failed = true;
    else
        b2_text_appendf(out, "%s\n", dumped);
    free(dumped);
}

/* {"file", "question", "prompt"}, without those that there are none of. */
static json_t *open_object(const b2_likelihood_lines *l) {
    json_t *object = json_pack("{s:o}", "file", b2_json_text(l->path));
    int failed = 0;

    if (l->question != NULL)
        failed |= json_object_set_new(object, "question", b2_json_text(l->question));
    if (*l->prompt != '\0')
        failed |= json_object_set_new(object, "prompt", b2_json_text(l->prompt));
    if (failed == 0)
        return object;
    json_decref(object);
    return NULL;
}

/* ---- rank-answers ------------------------------------------------------------------------- */

static json_t *answer_object(const b2_likelihood_lines *l, size_t rank, size_t text) {
    size_t tokens;

    (void)blip2_likelihood_tokens(l->likelihood, l->index, text, &tokens, NULL);
    return json_pack("{s:I, s:o, s:f, s:f, s:I}", "rank", (json_int_t)rank, "answer",
                     b2_json_text(l->texts->shown[text]), "logprob",
                     blip2_likelihood_sum(l->likelihood, l->index, text), "loss",
                     blip2_likelihood_loss(l->likelihood, l->index, text), "tokens",
                     (json_int_t)tokens);
}

static void answers_json(const b2_likelihood_lines *l, b2_text_buffer *out, const size_t *order,
                         size_t count) {
    json_t *object = open_object(l), *list = json_array();

    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(list, answer_object(l, i + 1, order[i])) < 0)
            out->failed = true;
    if (json_object_set_new(object, "answers", list) < 0)
        out->failed = true;
    append_object(out, object);
}

char *b2_answer_lines(const b2_likelihood_lines *l, const size_t *order, size_t count) {
    b2_text_buffer out = {0};

    if (l->settings->json)
        answers_json(l, &out, order, count);
    for (size_t i = 0; i < count && !l->settings->json; i++) {
        size_t from = out.length;

        name_line(l, &out);
        b2_text_appendf(&out, "%2zu.  logprob %9.4f  %s", i + 1,
                        blip2_likelihood_sum(l->likelihood, l->index, order[i]),
                        l->texts->shown[order[i]]);
        end_line(&out, from);
    }
    return b2_text_take(&out);
}

/* ---- logits ------------------------------------------------------------------------------- */

/* {"token", "text", "logprob"} */
static json_t *token_object(const b2_likelihood_lines *l, const blip2_logprob *token) {
    char *text;
    json_t *object;

    if (blip2_token_text(&text, l->model, token->token) < 0)
        return NULL;
    object = json_pack("{s:i, s:o, s:f}", "token", (int)token->token, "text", b2_json_text(text),
                       "logprob", (double)token->log_prob);
    blip2_string_free(text);
    return object;
}

/* The token's best alternatives as its "top". False when out of memory. */
static bool add_top(const b2_likelihood_lines *l, json_t *object, const blip2_logprob *row,
                    size_t columns) {
    json_t *top = json_array();

    for (size_t i = 1; i < columns && row[i].token >= 0; i++)
        if (json_array_append_new(top, token_object(l, &row[i])) < 0) {
            json_decref(top);
            return false;
        }
    return json_object_set_new(object, "top", top) == 0;
}

static void tokens_json(const b2_likelihood_lines *l, b2_text_buffer *out, size_t text) {
    size_t count, columns;
    const blip2_logprob *row =
        blip2_likelihood_tokens(l->likelihood, l->index, text, &count, &columns);
    json_t *object = open_object(l), *list = json_array();

    for (size_t i = 0; i < count; i++, row += columns) {
        json_t *token = token_object(l, row);

        if ((columns > 1 && !add_top(l, token, row, columns)) || json_array_append(list, token) < 0)
            out->failed = true;
        json_decref(token);
    }
    if (json_object_set_new(object, "text", b2_json_text(l->texts->shown[text])) +
            json_object_set_new(object, "logprob",
                                json_real(blip2_likelihood_sum(l->likelihood, l->index, text))) +
            json_object_set_new(object, "tokens", list) <
        0)
        out->failed = true;
    append_object(out, object);
}

static void append_token(const b2_likelihood_lines *l, b2_text_buffer *out,
                         const blip2_logprob *token, const char *indent) {
    size_t from = out->length;
    char *text;

    if (blip2_token_text(&text, l->model, token->token) < 0) {
        out->failed = true;
        return;
    }
    name_line(l, out);
    b2_text_appendf(out, "%s%7d  %9.4f  '%s'", indent, (int)token->token, (double)token->log_prob,
                    text);
    end_line(out, from);
    blip2_string_free(text);
}

static void tokens_plain(const b2_likelihood_lines *l, b2_text_buffer *out, size_t text) {
    size_t count, columns, from;
    const blip2_logprob *row =
        blip2_likelihood_tokens(l->likelihood, l->index, text, &count, &columns);

    for (size_t i = 0; i < count; i++, row += columns) {
        append_token(l, out, row, "");
        for (size_t k = 1; k < columns && row[k].token >= 0; k++)
            append_token(l, out, &row[k], "    ");
    }
    from = out->length;
    name_line(l, out);
    b2_text_appendf(out, "    sum  %9.4f  %s", blip2_likelihood_sum(l->likelihood, l->index, text),
                    l->texts->shown[text]);
    end_line(out, from);
}

char *b2_token_lines(const b2_likelihood_lines *l) {
    b2_text_buffer out = {0};

    for (size_t t = 0; t < l->texts->count; t++)
        (l->settings->json ? tokens_json : tokens_plain)(l, &out, t);
    return b2_text_take(&out);
}
