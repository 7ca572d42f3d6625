/* Cases of the vision tower of a LAVIS checkpoint. */
#include "base/alloc.h"
#include "kinds.h"
#include "model/vit.h"
#include "part.h"
#include "watch.h"

typedef struct vit_case {
    part part;
    b2_lavis tower, rest; /* rest: whose checkpoint has ln_vision */
    b2_vit_config config;
    b2_vit vit;
} vit_case;

static blip2_status vit_open(vit_case *c, const golden_case *golden, const char *device) {
    b2_fields fields = golden_fields(golden, "inputs.");
    const char *tower = NULL, *rest = NULL;
    uint32_t image = 0;
    char *path = NULL;
    blip2_status status;

    b2_field_u32(&fields, golden->inputs, "image_size", 1, 1 << 14, &image);
    if ((status = golden_check(&fields)) < 0 ||
        (status = part_model_name(golden, "vit", &tower)) < 0 ||
        (status = part_model_name(golden, "ln_vision_from", &rest)) < 0 ||
        (status = part_model(&c->tower, golden, tower)) < 0 ||
        (status = b2_lavis_vit_config(&c->tower, json_object_get(c->tower.json, "hyper"), image,
                                      &c->config)) < 0 ||
        (status = part_model(&c->rest, golden, rest)) < 0 ||
        (status = b2_lavis_ln_vision_eps(&c->rest, &c->config.post_eps)) < 0 ||
        (status = part_open(&c->part, device, &c->rest)) < 0 ||
        (status = b2_lavis_path(&c->tower, "file", &path)) < 0)
        return status;
    status = b2_weights_join(c->part.weights, path, "visual_encoder.");
    b2_free(path);
    if (status < 0 || (status = b2_vit_load(&c->vit, &c->part.loader, &c->config)) < 0 ||
        (status = b2_loader_begin_make(&c->part.loader)) < 0)
        return status;
    return b2_vit_load(&c->vit, &c->part.loader, &c->config);
}

static blip2_status vit_run(vit_case *c, const golden_case *golden, verdict *v) {
    static const watch_name names[] = {{"vit.hidden", "hidden_", true},
                                       {"vit.features", "ln_vision", false}};
    part *p = &c->part;
    b2_run run = {.device = p->device};
    b2_carver carver = {0};
    b2_vit_space space;
    int64_t dims[4], side = c->config.image;
    size_t bytes;
    float *pixels;
    b2_mat features;
    watch w;
    blip2_status status = golden_given(golden, "pixel_values", 4, &p->given, dims);

    if (status < 0)
        return status;
    if (dims[1] != 3 || dims[2] != side || dims[3] != side)
        return b2_fail(BLIP2_EINVAL, "%s: pixel_values is not of image_size %lld", golden->file,
                       (long long)side);
    bytes = (size_t)(dims[0] * 3 * side * side) * sizeof(float);
    (void)b2_carve(&carver, bytes, 1);
    b2_vit_carve(&space, &carver, &c->vit, (uint32_t)dims[0]);
    if ((status = part_allocate(p, &carver)) < 0)
        return status;
    pixels = b2_carve(&carver, bytes, 1);
    b2_vit_carve(&space, &carver, &c->vit, (uint32_t)dims[0]);
    watch_init(&w, p->device, v, names, sizeof names / sizeof *names);
    run.trace = &w.trace;
    if ((status = p->device->ops->upload(p->device, pixels, p->given, bytes)) < 0 ||
        (status = b2_fill_segments(p->device, &space.segments, (uint32_t)dims[0])) < 0 ||
        (status = b2_vit_run(&c->vit, &run, &space, pixels, (uint32_t)dims[0], &features)) < 0)
        return status;
    return w.status;
}

blip2_status run_vit(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"image_size", "tensors", NULL};
    vit_case c = {0};
    blip2_status status = golden_only(golden->inputs, "inputs.", known);

    if (status == BLIP2_OK && (status = vit_open(&c, golden, device)) == BLIP2_OK)
        status = vit_run(&c, golden, v);
    part_close(&c.part);
    b2_vit_free(&c.vit);
    b2_lavis_close(&c.tower);
    b2_lavis_close(&c.rest);
    return status;
}
