/* What config.c and config_language.c share. */
#ifndef B2_CONFIG_PARTS_H
#define B2_CONFIG_PARTS_H
#include "load/config.h"
#include "load/fields.h"

/* Far above every published model, far below what could overflow a product of two of them. */
enum {
    B2_MAX_WIDTH = 65536,
    B2_MAX_LAYERS = 1024,
    B2_MAX_HEADS = 1024,
    B2_MAX_FFN = 1 << 20,
    B2_MAX_ROWS = 1 << 20 /* of an embedding table */
};
#define B2_MIN_EPS 1e-30
#define B2_MAX_EPS 1.0

/* text_config, of which model_type says what kind it is. */
void b2_config_read_language(b2_fields *f, const json_t *top, b2_config *config);

#endif
