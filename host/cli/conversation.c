#include "conversation.h"

#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/text_buffer.h"

char *b2_conversation_prompt(const b2_conversation *c, const char *question) {
    const char *end = c->instructed ? "\n" : " ";
    b2_text_buffer prompt = {0};

    if (c->instructed && c->count > 0)
        b2_text_appendf(&prompt, "dialog history: ");
    for (size_t i = 0; i < c->count; i++)
        b2_text_appendf(&prompt, "Question: %s Answer: %s.%s", c->turns[i].question,
                        c->turns[i].answer, i + 1 < c->count ? " " : end);
    b2_text_appendf(&prompt, c->instructed ? "%s" : "Question: %s Answer:", question);
    return b2_text_take(&prompt);
}

static void free_turn(b2_turn *turn) {
    b2_free(turn->question);
    b2_free(turn->answer);
}

blip2_status b2_conversation_add(b2_conversation *c, const char *question, const char *answer) {
    b2_turn turn = {b2_strdup(question), b2_strdup(answer)};

    if (c->count == c->capacity) {
        size_t capacity = c->capacity > 0 ? 2 * c->capacity : 16;
        b2_turn *turns = b2_realloc_array(c->turns, capacity, sizeof *turns);

        if (turns == NULL)
            goto fail;
        c->turns = turns;
        c->capacity = capacity;
    }
    if (turn.question == NULL || turn.answer == NULL)
        goto fail;
    c->turns[c->count++] = turn;
    return BLIP2_OK;
fail:
    free_turn(&turn);
    return b2_fail_memory();
}

void b2_conversation_forget_oldest(b2_conversation *c) {
    free_turn(&c->turns[0]);
    c->count--;
    memmove(c->turns, c->turns + 1, c->count * sizeof *c->turns);
}

void b2_conversation_forget(b2_conversation *c) {
    for (size_t i = 0; i < c->count; i++)
        free_turn(&c->turns[i]);
    b2_free(c->turns);
    c->turns = NULL;
    c->count = c->capacity = 0;
}
