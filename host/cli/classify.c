/* blip2 classify: which of a list of classes a picture shows, without training. By contrast as CLIP
 * does it: softmax over the classes of the cosine / temperature. By matching: softmax of the logit
 * of a match, mean over the templates. */
#include "classify.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "classes.h"
#include "default_model.h"
#include "group.h"
#include "json.h"
#include "loaded.h"

enum { CALL = 256, BY_CONTRAST = 0 }; /* pairs of one call; --head's first choice */

typedef struct ranked {
    double probability;
    float score;
    size_t index;
} ranked;

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_classes classes;
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
    blip2_input pairs[CALL];
    blip2_match_score matches[CALL];
    float *scores; /* [classes] of one picture */
    ranked *order; /* [classes] */
} session;

/* ---- scores ------------------------------------------------------------------------------- */

static void contrast(session *s, const blip2_features *features, size_t index) {
    size_t count, cols;
    const float *rows = blip2_features_projected(features, index, &count, &cols);

    b2_classes_contrast(&s->classes, rows, count, s->scores);
}

static blip2_status match(session *s, const blip2_image *image) {
    size_t texts = s->classes.texts.count, templates = s->classes.templates;
    blip2_match_options options;
    blip2_status status = BLIP2_OK;

    blip2_match_options_init(&options, sizeof options);
    options.no_itc = 1;
    for (size_t i = 0; i < s->classes.names.count; i++)
        s->scores[i] = 0.0f;
    for (size_t first = 0; first < texts && status == BLIP2_OK; first += CALL) {
        size_t n = b2_size_min(CALL, texts - first);

        for (size_t i = 0; i < n; i++)
            s->pairs[i] = (blip2_input){image, s->classes.texts.read[first + i]};
        status = blip2_match(s->loaded.engine, s->pairs, n, &options, s->matches);
        for (size_t i = 0; i < n && status == BLIP2_OK; i++)
            s->scores[(first + i) / templates] += s->matches[i].itm_logits[1] / (float)templates;
    }
    return status;
}

/* The most likely first, equal ones in the order of the labels. */
static int more_likely_first(const void *a, const void *b) {
    const ranked *x = a, *y = b;

    if (x->score > y->score || x->score < y->score)
        return x->score > y->score ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void rank(session *s) {
    size_t count = s->classes.names.count;
    double scale = s->settings->head == BY_CONTRAST ? (double)s->classes.temperature : 1.0,
           most = -INFINITY, sum = 0.0;

    for (size_t i = 0; i < count; i++)
        most = fmax(most, (double)s->scores[i]);
    for (size_t i = 0; i < count; i++) {
        double e = exp(((double)s->scores[i] - most) / scale);

        s->order[i] = (ranked){e, s->scores[i], i};
        sum += e;
    }
    for (size_t i = 0; i < count; i++)
        s->order[i].probability /= sum;
    qsort(s->order, count, sizeof *s->order, more_likely_first);
}

/* ---- lines -------------------------------------------------------------------------------- */

static void append_plain(b2_text_buffer *out, const session *s, const char *path, size_t top) {
    for (size_t i = 0; i < top; i++) {
        const ranked *r = &s->order[i];
        size_t from = out->length;

        if (s->group.show_names)
            b2_text_appendf(out, "%s: ", path);
        b2_text_appendf(out, "%6.2f %%  %s", 100.0 * r->probability,
                        s->classes.names.shown[r->index]);
        for (; from < out->length; from++) /* names and labels: a class stays one line */
            if (iscntrl((unsigned char)out->data[from]))
                out->data[from] = '?';
        b2_text_append(out, "\n", 1);
    }
}

static void append_json(b2_text_buffer *out, const session *s, const char *path, size_t top) {
    json_t *labels = json_array(),
           *line = json_pack("{s:o, s:O}", "file", b2_json_text(path), "labels", labels);
    bool failed = line == NULL;
    char *dumped = NULL;

    for (size_t i = 0; i < top && !failed; i++) {
        const ranked *r = &s->order[i];

        failed =
            json_array_append_new(labels, json_pack("{s:o, s:f, s:f}", "label",
                                                    b2_json_text(s->classes.names.shown[r->index]),
                                                    "probability", r->probability, "score",
                                                    (double)r->score)) != 0;
    }
    if (!failed)
        dumped = json_dumps(line, B2_JSON_LINE);
    json_decref(line);
    json_decref(labels);
    if (dumped == NULL)
        out->failed = true;
    else
        b2_text_appendf(out, "%s\n", dumped);
    free(dumped);
}

/* Picture number `index` of the group. features: of the group's pictures, by contrast. */
static blip2_status classify(session *s, const blip2_features *features, size_t index) {
    const blip2_image *image = s->group.inputs[index].image;
    const char *path = s->group.items[s->group.item_of[index]].path;
    size_t top = b2_size_min(s->settings->top, s->classes.names.count);
    b2_text_buffer lines = {0};
    blip2_status status = BLIP2_OK;

    if (features != NULL)
        contrast(s, features, index);
    else
        status = match(s, image);
    if (status < 0)
        return status;
    rank(s);
    (s->settings->json ? append_json : append_plain)(&lines, s, path, top);
    b2_group_finish(&s->group, index, lines.failed ? NULL : b2_text_data(&lines), 0);
    b2_text_free(&lines);
    b2_group_print(&s->group);
    b2_progress_show(&s->progress, "%zu of %zu pictures",
                     s->group.taken - s->group.input_count + index + 1, s->inputs.count);
    return BLIP2_OK;
}

/* ---- the command -------------------------------------------------------------------------- */

/* Model and classes, once the first picture is there. */
static blip2_status prepare(session *s) {
    blip2_status status;

    if (s->loaded.model != NULL)
        return BLIP2_OK;
    if ((status = b2_loaded_open(&s->loaded, SIZE_MAX)) < 0)
        return status;
    if (s->settings->head == BY_CONTRAST)
        return b2_classes_encode(&s->classes, s->loaded.model, s->loaded.engine);
    return blip2_model_can(s->loaded.model, "itm")
               ? BLIP2_OK
               : b2_fail(BLIP2_ENOTSUP, "this checkpoint has no matching (itm) head");
}

static blip2_status answer(void *context) {
    session *s = context;
    blip2_features *features = NULL;
    size_t count = s->group.input_count;
    blip2_status status = prepare(s);

    if (status == BLIP2_OK && s->settings->head == BY_CONTRAST)
        status = blip2_features_extract(s->loaded.engine, s->group.inputs, count, NULL, &features);
    for (size_t i = 0; i < count && status == BLIP2_OK && !s->group.stopped; i++)
        status = classify(s, features, i);
    blip2_features_free(features);
    return status;
}

static blip2_status open_session(session *s) {
    const b2_settings *settings = s->settings;
    blip2_status status;

    b2_progress_start(&s->progress, settings->quiet);
    s->loaded = (b2_loaded){.settings = settings, .progress = &s->progress, .demo = B2_DEMO_MATCH};
    if ((status = b2_classes_open(&s->classes, settings)) < 0 ||
        (status = b2_inputs_expand(&s->inputs, settings->operands, settings->operand_count)) < 0 ||
        (status = b2_group_init(&s->group, settings, &s->progress, &s->inputs)) < 0)
        return status;
    s->group.formatted = true;
    s->scores = b2_alloc_array(s->classes.names.count, sizeof *s->scores);
    s->order = b2_alloc_array(s->classes.names.count, sizeof *s->order);
    return s->scores != NULL && s->order != NULL ? BLIP2_OK : b2_fail_memory();
}

b2_exit_code b2_classify_run(const b2_settings *settings) {
    session s = {.settings = settings, .group = {.settings = settings, .progress = &s.progress}};

    if (settings->operand_count == 0) {
        b2_complain("classify: no picture given; see 'blip2 help classify'");
        return B2_EXIT_BAD_INPUT;
    }
    b2_group_run(&s.group, &s.inputs, open_session(&s), answer, &s);
    b2_loaded_close(&s.loaded);
    b2_free(s.scores);
    b2_free(s.order);
    b2_group_free(&s.group);
    b2_inputs_free(&s.inputs);
    b2_classes_free(&s.classes);
    return s.group.code;
}
