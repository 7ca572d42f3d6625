/* Classes for zero-shot classification: each class's texts, its name in every template, and by
 * contrast one vector of all of them, as CLIP has it. */
#ifndef B2_CLASSES_H
#define B2_CLASSES_H
#include "texts.h"

typedef struct b2_classes {
    b2_texts names; /* [count] as given */
    b2_texts texts; /* [count * templates] a class's one behind the other */
    size_t templates;
    float *vectors; /* [count, width] of unit length; NULL before b2_classes_encode */
    size_t width;
    float temperature; /* of the checkpoint's contrast, 0.07 where it has none */
} b2_classes;

/* From --label, --labels and --template. EINVAL: no class, or a template without {}. */
blip2_status b2_classes_open(b2_classes *out, const b2_settings *settings);
/* The vectors: of each class the mean of its texts' vectors, brought to unit length. ENOTSUP: no
 * contrast. */
blip2_status b2_classes_encode(b2_classes *classes, const blip2_model *model, blip2_engine *engine);
/* scores [count]: cosine of the picture's best row (of rows [row_count, width]) and the class. */
void b2_classes_contrast(const b2_classes *classes, const float *rows, size_t row_count,
                         float *scores);
void b2_classes_free(b2_classes *classes);

#endif
