/* Inside load/: what the readers of configurations share. */
#ifndef B2_CONFIG_PARTS_H
#define B2_CONFIG_PARTS_H
#include "load/config.h"
#include "load/fields.h"

/* Far above every published model, far below what could overflow a product of two of them. */
enum {
    MAX_WIDTH = 65536,
    MAX_LAYERS = 1024,
    MAX_HEADS = 1024,
    MAX_FFN = 1 << 20,
    MAX_ROWS = 1 << 20, /* of an embedding table */
    MAX_QUERIES = 4096,
    MAX_IMAGE = 8192,      /* side of a resized picture */
    MAX_PATCHES = 1 << 16, /* of a picture */
    MAX_CONFIG_BYTES = 1 << 20
};
#define MIN_EPS 1e-30
#define MAX_EPS 1.0

/* The language model: a text_config, or the config.json of one alone. section: "text_config.", or
 * "" at the top; an object of NULL has all defaults. */
void b2_config_read_language(b2_fields *fields, const json_t *object, const char *section,
                             b2_config *config);

#endif
