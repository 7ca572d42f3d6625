#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "program.h"

enum { EXTRA = 9 };

void make_larger_model(void) {
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "preprocessor_config.json",
                                        "processor_config.json",
                                        "tokenizer.json",
                                        "model-00001-of-00004.safetensors",
                                        "model-00002-of-00004.safetensors",
                                        "model-00003-of-00004.safetensors",
                                        "model-00004-of-00004.safetensors"};
    json_t *index = json_load_file(TINY_MODEL "/model.safetensors.index.json", 0, NULL);
    json_t *map = json_object_get(index, "weight_map"), *header = json_object();
    char name[64], file[2048] = {0}, path[512], *text;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", TINY_MODEL, names[i]);
        link_file(names[i], path);
    }
    for (int i = 0; i < EXTRA; i++) {
        (void)snprintf(name, sizeof name, "extra.%d", i);
        json_object_set_new(map, name, json_string("extra.safetensors"));
        json_object_set_new(header, name,
                            json_pack("{s:s, s:[i], s:[i,i]}", "dtype", "F32", "shape", 1,
                                      "data_offsets", 4 * i, 4 * i + 4));
    }
    ck_assert_int_eq(json_dump_file(index, in_folder("model.safetensors.index.json"), 0), 0);
    text = json_dumps(header, 0);
    file[0] = (char)(strlen(text) % 256); /* 8 bytes, little-endian */
    file[1] = (char)(strlen(text) / 256);
    (void)snprintf(file + 8, sizeof file - 8, "%s", text);
    write_file("extra.safetensors", file, 8 + strlen(text) + 4 * EXTRA);
    free(text);
    json_decref(header);
    json_decref(index);
}
