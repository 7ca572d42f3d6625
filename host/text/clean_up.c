#include "text/clean_up.h"

#include <string.h>

/* Replace every `from` in data[start..] by `to`, which is no longer. */
static void replace_all(b2_text_buffer *text, size_t start, const char *from, const char *to) {
    size_t from_length = strlen(from), to_length = strlen(to);
    size_t write = start;

    for (size_t read = start; read < text->length;) {
        if (text->length - read >= from_length &&
            memcmp(text->data + read, from, from_length) == 0) {
            memcpy(text->data + write, to, to_length);
            write += to_length;
            read += from_length;
        } else {
            text->data[write++] = text->data[read++];
        }
    }
    text->length = write;
    text->data[write] = '\0';
}

/* In this order: each line works on what the last one left. */
void b2_clean_up(b2_text_buffer *text, size_t start, bool wordpiece) {
    static const char *const table[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };

    if (text->length == start || text->failed)
        return;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (wordpiece || strcmp(table[i][0], " do not") != 0)
            replace_all(text, start, table[i][0], table[i][1]);
}
