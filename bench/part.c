#include "part.h"

#include "base/alloc.h"
#include "kinds.h"

blip2_status part_open(part *p, const char *device, const b2_lavis *model) {
    char *path = NULL;
    blip2_status status;

    if ((status = b2_device_open(&p->device, device, &bench_exact)) < 0 ||
        (status = b2_lavis_path(model, "checkpoint", &path)) < 0)
        return status;
    status = b2_weights_open(&p->weights, path, NULL);
    b2_free(path);
    p->loader = (b2_loader){.weights = p->weights, .device = p->device, .keep_as_stored = true};
    return status;
}

void part_close(part *p) {
    if (p->device != NULL) {
        b2_loader_free(&p->loader);
        p->device->ops->free(p->device, p->memory);
    }
    b2_weights_close(p->weights);
    b2_device_close(p->device);
    b2_free(p->given);
}

blip2_status part_allocate(part *p, b2_carver *carver) {
    blip2_status status;

    if (carver->overflow)
        return b2_fail_memory();
    status = p->device->ops->alloc(p->device, &p->memory, carver->used);
    *carver = (b2_carver){.base = p->memory};
    return status;
}

blip2_status part_model_name(const golden_case *golden, const char *key, const char **out) {
    const json_t *value = key != NULL ? json_object_get(golden->model, key) : golden->model;

    if (!json_is_string(value))
        return golden_bad(golden, "model", "names of model folders", golden->model);
    *out = json_string_value(value);
    return BLIP2_OK;
}

blip2_status part_model(b2_lavis *out, const golden_case *golden, const char *relative) {
    char *path = golden_path(golden, relative);
    blip2_status status = path != NULL ? b2_lavis_open(out, path) : b2_fail_memory();

    b2_free(path);
    return status;
}
