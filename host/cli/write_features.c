/* blip2 features: matrices of pictures, texts or both, gathered in memory (a picture of ViT-g's
 * takes 0.13 MB) and written as one file, which appears when it is complete. */
#include "write_features.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "default_model.h"
#include "feature_store.h"
#include "group.h"
#include "json.h"
#include "loaded.h"
#include "texts.h"

enum { CALL = 64 }; /* inputs of one call of the library; between two, progress is shown */

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_texts texts;
    size_t taken, done; /* pictures that are in a group or behind; inputs that have features */
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
    bool npy, hidden, projected; /* the file's kind, and what goes into it */
    blip2_input call[CALL];
    b2_feature_store store;
} session;

/* ---- gathering ---------------------------------------------------------------------------- */

static blip2_status add_name(session *s, const char *path, const char *text) {
    json_t *name;

    if (path != NULL && text != NULL)
        name = json_pack("[o, o]", b2_json_text(path), b2_json_text(text));
    else
        name = b2_json_text(path != NULL ? path : text);
    return json_array_append_new(s->store.names, name) == 0 ? BLIP2_OK : b2_fail_memory();
}

static blip2_status keep(session *s, const blip2_features *features) {
    bool first = s->settings->first_row;
    blip2_status status = BLIP2_OK;
    size_t rows, cols;

    for (size_t i = 0; i < blip2_features_count(features) && status == BLIP2_OK; i++) {
        const float *hidden = blip2_features_hidden(features, i, &rows, &cols), *projected;

        if (s->hidden)
            status = b2_matrices_add(&s->store.hidden, hidden, first ? 1 : rows, cols);
        projected = blip2_features_projected(features, i, &rows, &cols);
        if (s->projected && projected != NULL && status == BLIP2_OK)
            status = b2_matrices_add(&s->store.projected, projected, first ? 1 : rows, cols);
    }
    return status;
}

/* The group's pictures (none: texts alone), each with all texts where the mode reads both. */
static blip2_status extract(session *s) {
    bool image = s->settings->mode != BLIP2_MODE_TEXT, text = s->settings->mode != BLIP2_MODE_IMAGE;
    size_t texts = text ? s->texts.count : 1, count = image ? s->group.input_count * texts : texts;
    blip2_features_options options;
    blip2_status status = BLIP2_OK;

    blip2_features_options_init(&options, sizeof options);
    options.mode = (blip2_mode)s->settings->mode;
    for (size_t first = 0; first < count && status == BLIP2_OK; first += CALL) {
        size_t n = b2_size_min(CALL, count - first);
        blip2_features *features = NULL;

        for (size_t i = 0; i < n && status == BLIP2_OK; i++) {
            size_t picture = (first + i) / texts, t = (first + i) % texts;

            s->call[i].image = image ? s->group.inputs[picture].image : NULL;
            s->call[i].prompt = text ? s->texts.read[t] : NULL;
            status = add_name(s, image ? s->group.items[s->group.item_of[picture]].path : NULL,
                              text ? s->texts.shown[t] : NULL);
        }
        if (status == BLIP2_OK)
            status = blip2_features_extract(s->loaded.engine, s->call, n, &options, &features);
        if (status == BLIP2_OK)
            status = keep(s, features);
        blip2_features_free(features);
        s->done += n;
        b2_progress_show(&s->progress, "%zu of %zu inputs", s->done,
                         image ? s->inputs.count * texts : texts);
    }
    return status;
}

static blip2_status check_model(const session *s) {
    const blip2_model *model = s->loaded.model;

    if (!s->hidden && s->projected && blip2_model_can(model, "features") &&
        !blip2_model_can(model, "itc"))
        return b2_fail(BLIP2_ENOTSUP,
                       "this checkpoint has no contrast heads: nothing is projected");
    return BLIP2_OK;
}

static blip2_status run_group(session *s) {
    blip2_status status = BLIP2_OK;

    s->taken = b2_group_fill(&s->group, &s->inputs, s->taken);
    if (s->group.input_count > 0 && (status = b2_loaded_open(&s->loaded, SIZE_MAX)) == BLIP2_OK &&
        (status = check_model(s)) == BLIP2_OK)
        status = extract(s);
    for (size_t i = 0; i < s->group.input_count && status == BLIP2_OK; i++)
        b2_group_finish(&s->group, i, "", 0);
    if (status == BLIP2_OK)
        b2_group_print(&s->group); /* what could not be read */
    return status;
}

/* ---- the command -------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);

    return length > tail && strcmp(text + length - tail, end) == 0;
}

/* What goes into which file. */
static bool check_line(session *s) {
    const b2_settings *settings = s->settings;
    bool text = settings->mode == BLIP2_MODE_TEXT, pair = settings->mode == BLIP2_MODE_MULTIMODAL;

    if (settings->out == NULL) {
        b2_complain("features: no --out FILE; see 'blip2 help features'");
    } else if (!ends_with(settings->out, ".npy") && !ends_with(settings->out, ".safetensors")) {
        b2_complain("--out: '%s' ends neither in .npy nor in .safetensors", settings->out);
    } else if (pair && settings->what == B2_WHAT_PROJECTED) {
        b2_complain("--what projected: not with --mode multimodal, whose features are not "
                    "projected");
    } else if (text && settings->operand_count > 0) {
        b2_complain("features: --mode text takes texts only, not '%s'", settings->operands[0]);
    } else if (!text && settings->operand_count == 0) {
        b2_complain("features: no picture given; see 'blip2 help features'");
    } else {
        s->npy = ends_with(settings->out, ".npy");
        s->hidden =
            pair || settings->what == B2_WHAT_HIDDEN || (settings->what == B2_WHAT_ALL && !s->npy);
        s->projected = !pair && settings->what != B2_WHAT_HIDDEN;
        return true;
    }
    return false;
}

static blip2_status gather(session *s) {
    const b2_settings *settings = s->settings;
    blip2_status status = BLIP2_OK;

    if ((s->store.names = json_array()) == NULL)
        return b2_fail_memory();
    if (settings->mode != BLIP2_MODE_IMAGE && (status = b2_texts_open(&s->texts, settings)) < 0)
        return status;
    if (settings->mode == BLIP2_MODE_TEXT) {
        if ((status = b2_loaded_open(&s->loaded, s->texts.count)) == BLIP2_OK &&
            (status = check_model(s)) == BLIP2_OK)
            status = extract(s);
        return status;
    }
    if ((status = b2_inputs_expand(&s->inputs, settings->operands, settings->operand_count)) < 0 ||
        (status = b2_group_init(&s->group, settings, &s->progress, &s->inputs)) < 0)
        return status;
    s->group.formatted = true;
    while (status == BLIP2_OK && s->taken < s->inputs.count && !s->group.stopped)
        status = run_group(s);
    return status;
}

static blip2_status write_out(const session *s) {
    if (json_array_size(s->store.names) == 0)
        return BLIP2_OK; /* why has been told, picture by picture */
    return s->npy ? b2_feature_store_write_npy(&s->store, s->settings->out,
                                               s->hidden ? &s->store.hidden : &s->store.projected)
                  : b2_feature_store_write_safetensors(&s->store, s->settings->out);
}

b2_exit_code b2_features_run(const b2_settings *settings) {
    session s = {.settings = settings};
    blip2_status status;

    if (!check_line(&s))
        return B2_EXIT_BAD_INPUT;
    b2_progress_start(&s.progress, settings->quiet);
    s.loaded = (b2_loaded){.settings = settings, .progress = &s.progress, .demo = B2_DEMO_MATCH};
    if ((status = gather(&s)) == BLIP2_OK && !s.group.stopped)
        status = write_out(&s);
    b2_progress_erase(&s.progress);
    if (status < 0 && !s.group.stopped)
        s.group.code = b2_exit_code_worse(s.group.code, b2_complain_status(status));
    b2_loaded_close(&s.loaded);
    b2_feature_store_free(&s.store);
    b2_group_free(&s.group);
    b2_inputs_free(&s.inputs);
    b2_texts_free(&s.texts);
    return s.group.code;
}
