#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "program.h"

size_t write_captions(void) {
    json_t *root = json_load_file(PICTURES "/captions.json", 0, NULL), *picture;
    char text[4096] = "";
    const char *name;
    size_t count = json_object_size(root);

    ck_assert_uint_gt(count, 0);
    json_object_foreach(root, name, picture) {
        size_t length = strlen(text);

        (void)snprintf(text + length, sizeof text - length, "%s\n",
                       json_string_value(json_object_get(picture, "caption")));
    }
    write_file("captions.txt", text, strlen(text));
    json_decref(root);
    return count;
}

json_t *take_line(const char **text) {
    size_t length = strcspn(*text, "\n");
    json_t *line = json_loadb(*text, length, 0, NULL);

    ck_assert_msg(line != NULL, "no JSON: %.*s", (int)length, *text);
    *text += length + 1;
    return line;
}
