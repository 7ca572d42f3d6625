/* Cases of one part of a model: the vision tower or the Q-Former of a LAVIS checkpoint, between
 * given and expected tensors. Each part is loaded, given workspace and run as the library does. */
#include <string.h>

#include "base/alloc.h"
#include "kinds.h"
#include "lavis.h"
#include "model/qformer.h"
#include "model/vit.h"
#include "watch.h"

typedef struct part { /* what both have in common */
    b2_device *device;
    b2_weights *weights;
    b2_loader loader;
    void *memory; /* device workspace */
    float *given; /* host: the input tensor */
} part;

static blip2_status part_open(part *p, const char *device, const lavis_model *model) {
    char *path = NULL;
    blip2_status status;

    if ((status = b2_device_open(&p->device, device, &bench_exact)) < 0 ||
        (status = lavis_weights_path(model, "checkpoint", &path)) < 0)
        return status;
    status = b2_weights_open(&p->weights, path, NULL);
    b2_free(path);
    p->loader = (b2_loader){.weights = p->weights, .device = p->device, .keep_as_stored = true};
    return status;
}

static void part_close(part *p) {
    if (p->device != NULL) {
        b2_loader_free(&p->loader);
        p->device->ops->free(p->device, p->memory);
    }
    b2_weights_close(p->weights);
    b2_device_close(p->device);
    b2_free(p->given);
}

/* The workspace that was planned. */
static blip2_status part_allocate(part *p, b2_carver *carver) {
    blip2_status status;

    if (carver->overflow)
        return b2_fail_memory();
    status = p->device->ops->alloc(p->device, &p->memory, carver->used);
    *carver = (b2_carver){.base = p->memory};
    return status;
}

static blip2_status model_name(const golden_case *golden, const char *key, const char **out) {
    const json_t *value = key != NULL ? json_object_get(golden->model, key) : golden->model;

    if (!json_is_string(value))
        return golden_bad(golden, "model", "names of model folders", golden->model);
    *out = json_string_value(value);
    return BLIP2_OK;
}

/* ---- vision tower ------------------------------------------------------------------------- */

typedef struct vit_case {
    part part;
    lavis_model tower, rest; /* rest: whose checkpoint has ln_vision */
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
    if ((status = golden_check(&fields)) < 0 || (status = model_name(golden, "vit", &tower)) < 0 ||
        (status = model_name(golden, "ln_vision_from", &rest)) < 0 ||
        (status = lavis_open(&c->tower, golden, tower)) < 0 ||
        (status = lavis_vit_config(&c->tower, image, &c->config)) < 0 ||
        (status = lavis_open(&c->rest, golden, rest)) < 0 ||
        (status = lavis_ln_vision_eps(&c->rest, &c->config.post_eps)) < 0 ||
        (status = part_open(&c->part, device, &c->rest)) < 0 ||
        (status = lavis_weights_path(&c->tower, "file", &path)) < 0)
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
    lavis_close(&c.tower);
    lavis_close(&c.rest);
    return status;
}

/* ---- Q-Former ----------------------------------------------------------------------------- */

typedef struct qformer_case {
    part part;
    lavis_model model;
    b2_qformer_config config;
    b2_qformer qformer;
    int64_t dims[3]; /* of the image features: [B, n, vision width] */
} qformer_case;

static blip2_status qformer_open(qformer_case *c, const golden_case *golden, const char *device) {
    const char *name = NULL;
    blip2_status status;

    if ((status = golden_given(golden, "image_embeds", 3, &c->part.given, c->dims)) < 0 ||
        (status = model_name(golden, NULL, &name)) < 0 ||
        (status = lavis_open(&c->model, golden, name)) < 0 ||
        (status = lavis_qformer_config(&c->model, (uint32_t)c->dims[2], &c->config)) < 0 ||
        (status = part_open(&c->part, device, &c->model)) < 0 ||
        (status = b2_qformer_load(&c->qformer, &c->part.loader, &c->config)) < 0 ||
        (status = b2_loader_begin_make(&c->part.loader)) < 0)
        return status;
    return b2_qformer_load(&c->qformer, &c->part.loader, &c->config);
}

static blip2_status qformer_run(qformer_case *c, verdict *v) {
    static const watch_name names[] = {{"qformer.hidden", "hidden_", true}};
    part *p = &c->part;
    b2_run run = {.device = p->device};
    b2_carver carver = {0};
    b2_qformer_space space;
    uint32_t images = (uint32_t)c->dims[0], rows = (uint32_t)c->dims[1];
    int64_t all = c->dims[0] * c->dims[1];
    b2_mat features, out;
    watch w;
    blip2_status status;

    (void)b2_carve_mat(&carver, B2_F32, all, c->dims[2]);
    b2_qformer_carve(&space, &carver, &c->qformer, images, rows);
    if ((status = part_allocate(p, &carver)) < 0)
        return status;
    features = b2_carve_mat(&carver, B2_F32, all, c->dims[2]);
    b2_qformer_carve(&space, &carver, &c->qformer, images, rows);
    watch_init(&w, p->device, v, names, sizeof names / sizeof *names);
    run.trace = &w.trace;
    if ((status = p->device->ops->upload(p->device, features.data, p->given,
                                         (size_t)(all * c->dims[2]) * sizeof(float))) < 0 ||
        (status = b2_qformer_prepare(p->device, &space, &c->qformer, images)) < 0 ||
        (status = b2_qformer_run(&c->qformer, &run, &space, features, images, &out)) < 0)
        return status;
    return w.status;
}

blip2_status run_qformer(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"tensors", NULL}, *const given[] = {"image_embeds", NULL};
    const json_t *names = json_object_get(json_object_get(golden->inputs, "tensors"), "names");
    qformer_case c = {0};
    blip2_status status = golden_only(golden->inputs, "inputs.", known);

    if (status == BLIP2_OK)
        status = golden_only(names, "inputs.tensors.", given);
    if (status == BLIP2_OK && json_object_get(golden->inputs, "tensors") != NULL &&
        (status = qformer_open(&c, golden, device)) == BLIP2_OK)
        status = qformer_run(&c, v);
    part_close(&c.part);
    b2_qformer_free(&c.qformer);
    lavis_close(&c.model);
    return status;
}
