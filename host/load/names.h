/* Inside load/: the one table that maps weights to the names in files. */
#ifndef B2_NAMES_H
#define B2_NAMES_H
#include "load/weights.h"

typedef struct b2_weight_name {
    const char *meaning; /* for people: "Q-Former query tokens" */
    const char *hf;      /* Hugging Face; {} stands for the layer; NULL: no such tensor there */
    const char *hf_too;  /* the same in another model class, or NULL */
    const char *lavis;   /* LAVIS; NULL: no such tensor there */
    const char *lavis_2, *lavis_3; /* the same in others of LAVIS's models, or NULL */
} b2_weight_name;

const b2_weight_name *b2_weight_name_of(b2_weight_id id);

/* pattern with the layer filled in, into text; false when it does not fit (our own mistake). */
bool b2_weight_name_fill(char *text, size_t size, const char *pattern, uint32_t layer);

/* Enough for every filled-in name of the table. */
enum { B2_NAME_BYTES = 160 };

#endif
