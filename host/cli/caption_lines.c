#include "caption_lines.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

static void append_plain(b2_text_buffer *out, const b2_line_head *head, const char *text) {
    size_t from = out->length;

    if (head->show_path)
        b2_text_appendf(out, "%s: ", head->path);
    if (head->show_question)
        b2_text_appendf(out, "%s ", head->question);
    for (; from < out->length; from++)
        if (iscntrl((unsigned char)out->data[from]))
            out->data[from] = '?';
    b2_text_append(out, text, strlen(text));
    for (; from < out->length; from++) /* a text stays one line */
        if (iscntrl((unsigned char)out->data[from]))
            out->data[from] = ' ';
    b2_text_append(out, "\n", 1);
}

/* A list: for each token {"token", "logprob", "top": [[token, log-probability], ...]}. */
static json_t *logprobs(const blip2_result *result, size_t index) {
    size_t steps, columns;
    const blip2_logprob *lp = blip2_result_logprobs(result, index, &steps, &columns);
    json_t *list = json_array();

    for (size_t s = 0; s < steps; s++, lp += columns) {
        json_t *top = json_array();

        for (size_t i = 1; i < columns && lp[i].token >= 0; i++)
            if (json_array_append_new(
                    top, json_pack("[i, f]", (int)lp[i].token, (double)lp[i].log_prob)) < 0) {
                json_decref(top);
                top = NULL;
                break;
            }
        if (json_array_append_new(list, json_pack("{s:i, s:f, s:o}", "token", (int)lp[0].token,
                                                  "logprob", (double)lp[0].log_prob, "top", top)) <
            0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static void append_json(b2_text_buffer *out, const b2_settings *settings, const b2_line_head *head,
                        const blip2_result *result, size_t index, size_t number) {
    size_t tokens;
    char *dumped = NULL;
    json_t *line;
    int failed = 0;

    (void)blip2_result_tokens(result, index, &tokens);
    line = b2_json_answer(head->path, head->frames, head->question, head->prompt,
                          blip2_result_text(result, index), tokens);
    if (settings->sequences > 1)
        failed |= json_object_set_new(line, "sequence", json_integer((json_int_t)number));
    if (settings->beams > 1)
        failed |= json_object_set_new(line, "score",
                                      json_real((double)blip2_result_score(result, index)));
    if (settings->logprobs > 0)
        failed |= json_object_set_new(line, "logprobs", logprobs(result, index));
    if (line != NULL && failed == 0)
        dumped = json_dumps(line, B2_JSON_LINE);
    json_decref(line);
    if (dumped == NULL)
        out->failed = true;
    else
        b2_text_appendf(out, "%s\n", dumped);
    free(dumped);
}

void b2_caption_lines(b2_text_buffer *lines, const b2_settings *settings, const b2_line_head *head,
                      const blip2_result *result, size_t first) {
    for (size_t k = 0; k < settings->sequences; k++)
        if (settings->json)
            append_json(lines, settings, head, result, first + k, k);
        else
            append_plain(lines, head, blip2_result_text(result, first + k));
}
