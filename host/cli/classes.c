#include "classes.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"

enum { CALL = 64, TOKENS = 32 };

static const char *const default_templates[] = {"a photo of a {}."};

/* The template with the name in place of every {}. */
static blip2_status add_text(b2_texts *texts, const char *template, const char *name,
                             b2_clean_fn clean) {
    b2_text_buffer text = {0};
    blip2_status status;

    b2_text_append_filled(&text, template, name);
    status = text.failed ? b2_fail_memory()
                         : b2_texts_add(texts, b2_text_data(&text), text.length, clean);
    b2_text_free(&text);
    return status;
}

static blip2_status add_texts(b2_classes *c, const char *const *templates, b2_clean_fn clean) {
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < c->names.count; i++)
        for (size_t t = 0; t < c->templates && status == BLIP2_OK; t++)
            status = add_text(&c->texts, templates[t], c->names.shown[i], clean);
    return status;
}

blip2_status b2_classes_open(b2_classes *out, const b2_settings *settings) {
    const b2_list *own = &settings->templates;
    const char *const *templates = own->count > 0 ? own->texts : default_templates;
    b2_settings plain = *settings;
    blip2_status status;

    *out = (b2_classes){.templates = b2_size_max(own->count, 1)};
    for (size_t t = 0; t < out->templates; t++)
        if (strstr(templates[t], "{}") == NULL)
            return b2_fail(BLIP2_EINVAL, "--template: '%s' has no {} for the class", templates[t]);
    if (settings->texts.count == 0 && settings->text_file == NULL)
        return b2_fail(BLIP2_EINVAL, "no class given: --label TEXT or --labels FILE");
    plain.no_clean = true; /* names are cleaned inside their texts */
    if ((status = b2_texts_open(&out->names, &plain)) == BLIP2_OK)
        status = add_texts(out, templates, settings->no_clean ? NULL : blip2_clean_caption);
    if (status < 0)
        b2_classes_free(out);
    return status;
}

/* Add row 0 of every text to its class, from text number `first` on. */
static void add_vectors(b2_classes *c, const blip2_features *features, size_t first) {
    size_t rows, cols;

    for (size_t i = 0; i < blip2_features_count(features); i++) {
        const float *row = blip2_features_projected(features, i, &rows, &cols);
        float *sum = c->vectors + (first + i) / c->templates * c->width;

        for (size_t k = 0; k < c->width; k++)
            sum[k] += row[k];
    }
}

static void normalise(float *vector, size_t width) {
    double sum = 0.0;

    for (size_t k = 0; k < width; k++)
        sum += (double)vector[k] * (double)vector[k];
    for (size_t k = 0; k < width && sum > 0.0; k++)
        vector[k] = (float)((double)vector[k] / sqrt(sum));
}

static blip2_status encode(b2_classes *c, blip2_engine *engine) {
    blip2_features_options options;
    blip2_input inputs[CALL];
    blip2_status status = BLIP2_OK;

    blip2_features_options_init(&options, sizeof options);
    options.mode = BLIP2_MODE_TEXT;
    options.max_text_tokens = TOKENS;
    for (size_t first = 0; first < c->texts.count && status == BLIP2_OK; first += CALL) {
        size_t n = b2_size_min(CALL, c->texts.count - first), rows;
        blip2_features *features = NULL;

        for (size_t i = 0; i < n; i++)
            inputs[i] = (blip2_input){NULL, c->texts.read[first + i]};
        if ((status = blip2_features_extract(engine, inputs, n, &options, &features)) < 0)
            break;
        if (c->vectors == NULL) {
            (void)blip2_features_projected(features, 0, &rows, &c->width);
            c->vectors = b2_calloc(c->names.count, c->width * sizeof *c->vectors);
            status = c->vectors != NULL ? BLIP2_OK : b2_fail_memory();
        }
        if (status == BLIP2_OK)
            add_vectors(c, features, first);
        blip2_features_free(features);
    }
    return status;
}

blip2_status b2_classes_encode(b2_classes *c, const blip2_model *model, blip2_engine *engine) {
    blip2_status status;

    if (!blip2_model_can(model, "itc"))
        return b2_fail(BLIP2_ENOTSUP, "this checkpoint has no contrast (itc) head");
    c->temperature = blip2_model_temperature(model);
    if ((status = encode(c, engine)) < 0)
        return status;
    for (size_t i = 0; i < c->names.count; i++)
        normalise(c->vectors + i * c->width, c->width);
    return BLIP2_OK;
}

void b2_classes_contrast(const b2_classes *c, const float *rows, size_t row_count, float *scores) {
    for (size_t i = 0; i < c->names.count; i++) {
        double best = -INFINITY;

        for (size_t r = 0; r < row_count; r++) {
            double sum = 0.0;

            for (size_t k = 0; k < c->width; k++)
                sum += (double)rows[r * c->width + k] * (double)c->vectors[i * c->width + k];
            best = fmax(best, sum);
        }
        scores[i] = (float)best;
    }
}

void b2_classes_free(b2_classes *c) {
    b2_texts_free(&c->names);
    b2_texts_free(&c->texts);
    b2_free(c->vectors);
    *c = (b2_classes){0};
}
