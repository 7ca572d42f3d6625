#include "ranked.h"

#include <stdio.h>

#include "console.h"
#include "json.h"

static const float not_matched = -100.0f;

bool b2_ranked_print_json(size_t place, const char *path, const char *key, const char *text,
                          float score, float itc) {
    json_t *line = json_pack("{s:I, s:o, s:o, s:f}", "rank", (json_int_t)place, "file",
                             b2_json_text(path), key, b2_json_text(text), "itc", (double)itc);

    if (score > not_matched && json_object_set_new(line, "score", json_real((double)score)) != 0) {
        json_decref(line);
        line = NULL;
    }
    return b2_json_print_line(line);
}

void b2_ranked_print(size_t place, const char *row, const char *what, float score, float itc) {
    if (row != NULL) {
        b2_print_name(row);
        (void)fputs(": ", stdout);
    }
    (void)printf("%2zu.  ", place);
    if (score > not_matched)
        (void)printf("score %8.4f  ", (double)score);
    (void)printf("itc %7.4f  ", (double)itc);
    b2_print_name(what);
    (void)putchar('\n');
}
