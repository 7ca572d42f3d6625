/* LAVIS model folders: a .pth file and a model.json with what LAVIS has in code or yaml. */
#ifndef BENCH_LAVIS_H
#define BENCH_LAVIS_H
#include "golden.h"
#include "load/config.h"

typedef struct lavis_model {
    char *directory;
    char *file; /* directory/model.json, for messages */
    json_t *json;
} lavis_model;

/* relative: to the case's folder. */
blip2_status lavis_open(lavis_model *out, const golden_case *golden, const char *relative);
void lavis_close(lavis_model *model);

/* The .pth file that model.json names under key; yours to b2_free. */
blip2_status lavis_weights_path(const lavis_model *model, const char *key, char **out);

/* Vision tower for pictures of image x image; ENOTSUP for another tower than EVA's. */
blip2_status lavis_vit_config(const lavis_model *model, uint32_t image, b2_vit_config *out);
blip2_status lavis_qformer_config(const lavis_model *model, uint32_t vision_width,
                                  b2_qformer_config *out);
/* eps of the LayerNorm behind the vision tower. */
blip2_status lavis_ln_vision_eps(const lavis_model *model, float *out);

#endif
