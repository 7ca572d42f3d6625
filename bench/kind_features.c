/* LAVIS's extract_features in its three modes, told by what is expected. */
#include <string.h>

#include "base/alloc.h"
#include "kinds.h"
#include "stage1_case.h"

typedef const float *getter(const blip2_features *, size_t, size_t *, size_t *);

static const struct mode {
    blip2_mode mode;
    const char *hidden, *projected;
} modes[] = {{BLIP2_MODE_IMAGE, "image_embeds", "image_embeds_proj"},
             {BLIP2_MODE_TEXT, "text_embeds", "text_embeds_proj"},
             {BLIP2_MODE_MULTIMODAL, "multimodal_embeds", NULL}};

/* The matrices of all items against one tensor [items, rows, cols], in which short ones are padded
 * with rows that are not compared. */
static blip2_status compare(const golden_case *golden, verdict *v, const char *name,
                            const blip2_features *features, getter *get) {
    const json_t *shape = json_object_get(json_object_get(golden->tensor_names, name), "shape");
    size_t count = blip2_features_count(features), rows = 0, cols = 0, next = 0, total = 0;
    size_t padded = (size_t)json_integer_value(json_array_get(shape, 1));
    float *all = NULL;
    int64_t *row_of;
    blip2_status status;

    for (size_t i = 0; i < count; i++, total += rows)
        if (get(features, i, &rows, &cols) == NULL)
            return b2_fail(BLIP2_EINTERNAL, "no %s of input %zu", name, i);
    row_of = b2_alloc_array(count * padded, sizeof *row_of);
    all = b2_alloc_array(total * cols, sizeof *all);
    if (all == NULL || row_of == NULL) {
        status = b2_fail_memory();
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        const float *from = get(features, i, &rows, &cols);

        memcpy(all + next * cols, from, rows * cols * sizeof *all);
        for (size_t r = 0; r < padded; r++)
            row_of[i * padded + r] = r < rows ? (int64_t)(next + r) : -1;
        next += rows;
    }
    status = verdict_tensor(v, name, all, (int64_t)total, (int64_t)cols, row_of);
out:
    b2_free(all);
    b2_free(row_of);
    return status;
}

static blip2_status extract(const stage1_case *c, verdict *v, const struct mode *mode) {
    size_t count = mode->mode == BLIP2_MODE_TEXT ? c->text_count : c->image_count;
    blip2_input *inputs = b2_calloc(count, sizeof *inputs);
    blip2_features *features = NULL;
    blip2_features_options options;
    blip2_status status;

    if (inputs == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++) {
        inputs[i].image = i < c->image_count ? c->images[i] : NULL;
        inputs[i].prompt = i < c->text_count ? c->texts[i] : NULL;
    }
    blip2_features_options_init(&options, sizeof options);
    options.mode = mode->mode;
    status = blip2_features_extract(c->engine, inputs, count, &options, &features);
    if (status == BLIP2_OK)
        status = compare(c->golden, v, mode->hidden, features, blip2_features_hidden);
    if (status == BLIP2_OK && mode->projected != NULL)
        status = compare(c->golden, v, mode->projected, features, blip2_features_projected);
    blip2_features_free(features);
    b2_free(inputs);
    return status;
}

blip2_status run_features(const golden_case *golden, const char *device, verdict *v) {
    const struct mode *mode = modes;
    static const char *const known[] = {"images", "texts", "image_size", "preprocess", NULL};
    stage1_case c;
    blip2_status status = stage1_case_open(&c, golden, device, known, UINT32_MAX);

    while (json_object_get(golden->tensor_names, mode->hidden) == NULL &&
           mode < modes + sizeof modes / sizeof *modes - 1)
        mode++;
    if (status == BLIP2_OK)
        status = extract(&c, v, mode);
    if (status == BLIP2_OK)
        status = stage1_case_compare_ids(&c, v);
    stage1_case_close(&c);
    return status;
}
