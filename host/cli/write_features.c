/* blip2 features: matrices of pictures, texts or both, written as one file, which appears when it
 * is complete. Until then they are gathered on disk (feature_store.h), and with --work kept there
 * too (features_work.h), so memory does not grow with their number. */
#include "write_features.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "default_model.h"
#include "features_work.h"
#include "gallery.h"
#include "group.h"
#include "interrupt.h"
#include "json.h"
#include "loaded.h"
#include "texts.h"

enum { CALL = 64 }; /* inputs of one call of the library; between two, progress is shown */

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_texts texts;
    size_t taken, done;   /* pictures that are in a group or behind; inputs that have features */
    size_t groups, calls; /* so far */
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
    b2_work work;                /* all zero without --work */
    bool npy, hidden, projected; /* the file's kind, and what goes into it */
    blip2_input call[CALL];
    b2_feature_store store;
} session;

/* ---- gathering ---------------------------------------------------------------------------- */

/* How many inputs a picture makes, or the texts alone. */
static size_t texts_each(const session *s) {
    return s->settings->mode != BLIP2_MODE_IMAGE ? s->texts.count : 1;
}

static blip2_status add_name(session *s, const char *path, const char *text) {
    json_t *name;

    if (path != NULL && text != NULL)
        name = json_pack("[o, o]", b2_json_text(path), b2_json_text(text));
    else
        name = b2_json_text(path != NULL ? path : text);
    return json_array_append_new(s->store.names, name) == 0 ? BLIP2_OK : b2_fail_memory();
}

/* Of input `index` of the pictures paths (NULL: of the texts alone). */
static blip2_status add_name_of(session *s, const char *const *paths, size_t index) {
    size_t texts = texts_each(s);

    return add_name(s, paths != NULL ? paths[index / texts] : NULL,
                    s->settings->mode != BLIP2_MODE_IMAGE ? s->texts.shown[index % texts] : NULL);
}

/* The next call's inputs, s->call [count], were not kept: compute them. */
static blip2_status run_call(session *s, size_t count) {
    blip2_features_options options;
    blip2_features *features = NULL;
    b2_call_features call = {0};
    blip2_status status;

    blip2_features_options_init(&options, sizeof options);
    options.mode = (blip2_mode)s->settings->mode;
    status = blip2_features_extract(s->loaded.engine, s->call, count, &options, &features);
    if (status == BLIP2_OK)
        status =
            b2_call_features_take(&call, features, s->hidden, s->projected, s->settings->first_row);
    blip2_features_free(features);
    if (status == BLIP2_OK)
        status = b2_features_work_keep(&s->work, s->calls, &call);
    if (status == BLIP2_OK)
        status = b2_call_features_store(&call, &s->store);
    b2_call_features_free(&call);
    return status;
}

/* count inputs, those of paths [pictures] (NULL: texts alone), in calls. images: their pictures;
 * NULL where all calls were kept. */
static blip2_status extract(session *s, const char *const *paths, const blip2_input *images,
                            size_t count) {
    size_t texts = texts_each(s);
    blip2_status status = BLIP2_OK;

    for (size_t first = 0; first < count && status == BLIP2_OK; first += CALL, s->calls++) {
        size_t n = b2_size_min(CALL, count - first);
        bool found;

        if (b2_interrupt_asked())
            return b2_fail(BLIP2_ESTOP, "stopped");
        for (size_t i = first; i < first + n && status == BLIP2_OK; i++) {
            s->call[i - first].image = images != NULL ? images[i / texts].image : NULL;
            s->call[i - first].prompt =
                s->settings->mode != BLIP2_MODE_IMAGE ? s->texts.read[i % texts] : NULL;
            status = add_name_of(s, paths, i);
        }
        if (status == BLIP2_OK)
            status = b2_features_work_read(&s->work, s->calls, n, &s->store, &found);
        if (status == BLIP2_OK && !found)
            status = run_call(s, n);
        s->done += n;
        b2_progress_show(&s->progress, "%zu of %zu inputs", s->done,
                         paths != NULL ? s->inputs.count * texts : texts);
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

/* ---- groups ------------------------------------------------------------------------------- */

/* Which pictures of the group could be read, for the folder. */
static blip2_status keep_group(const session *s) {
    const b2_tensor_shape shape = {"readable", B2_U8, 1, {(int64_t)s->group.count}};
    uint8_t *readable = b2_alloc(s->group.count);
    blip2_status status;

    if (readable == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < s->group.count; i++)
        readable[i] = s->group.items[i].error == NULL;
    status =
        b2_work_write(&s->work, "group", s->groups, &shape, 1, (const void *const[]){readable});
    b2_free(readable);
    return status;
}

/* The pictures that the group has been read as. */
static blip2_status read_group(session *s) {
    size_t texts = texts_each(s);
    const char **paths;
    blip2_status status = BLIP2_OK;

    s->taken = b2_group_fill(&s->group, &s->inputs, s->taken);
    if (s->group.input_count > 0 && (status = b2_loaded_open(&s->loaded, SIZE_MAX)) == BLIP2_OK)
        status = check_model(s);
    if ((paths = b2_calloc(s->group.count, sizeof *paths)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < s->group.input_count; i++)
        paths[i] = s->group.items[s->group.item_of[i]].path;
    if (status == BLIP2_OK && !s->group.stopped)
        status = keep_group(s);
    if (status == BLIP2_OK && !s->group.stopped)
        status = extract(s, paths, s->group.inputs, s->group.input_count * texts);
    b2_free(paths);
    for (size_t i = 0; i < s->group.input_count && status == BLIP2_OK; i++)
        b2_group_finish(&s->group, i, "", 0);
    if (status == BLIP2_OK)
        b2_group_print(&s->group); /* what could not be read */
    return status;
}

/* A group whose calls are all in the folder: no picture is opened but those that could not be read,
 * to say why. *found: it was such a one. */
static blip2_status restore_group(session *s, const uint8_t *readable, size_t count) {
    const char **paths = b2_calloc(count, sizeof *paths);
    size_t pictures = 0;
    blip2_status status = paths != NULL ? BLIP2_OK : b2_fail_memory();

    for (size_t i = 0; i < count && status == BLIP2_OK; i++) {
        const b2_input_name *name = &s->inputs.names[s->taken + i];

        if (readable[i] != 0) {
            paths[pictures++] = name->path;
            continue;
        }
        s->group.unreadable++;
        s->group.code = b2_exit_code_worse(s->group.code, B2_EXIT_BAD_INPUT);
        status = b2_gallery_tell_again(name, false);
    }
    s->taken += count;
    if (status == BLIP2_OK)
        status = extract(s, paths, NULL, pictures * texts_each(s));
    b2_free(paths);
    return status;
}

/* Is the last of a group's calls there? They are kept in order. */
static blip2_status is_complete(session *s, const b2_part *group, bool *out) {
    const uint8_t *readable = group->tensors[0].data;
    size_t pictures = 0, calls;
    char *path;

    for (size_t i = 0; i < group->tensors[0].count; i++)
        pictures += readable[i] != 0;
    calls = (pictures * texts_each(s) + CALL - 1) / CALL;
    *out = true;
    if (calls == 0)
        return BLIP2_OK;
    if ((path = b2_work_path(&s->work, "call", s->calls + calls - 1)) == NULL)
        return b2_fail_memory();
    *out = b2_file_exists(path);
    b2_free(path);
    return BLIP2_OK;
}

static blip2_status run_group(session *s) {
    const b2_tensor_shape shape = {"readable", B2_U8, 1, {-1}};
    bool found, complete = false;
    b2_part part;
    blip2_status status = b2_work_read(&s->work, "group", s->groups, &shape, 1, &part, &found);

    if (status == BLIP2_OK && found && part.tensors[0].count > s->inputs.count - s->taken)
        status =
            b2_work_damaged(&s->work, "group", s->groups, "more pictures than there are inputs");
    if (status == BLIP2_OK && found)
        status = is_complete(s, &part, &complete);
    if (status == BLIP2_OK)
        status = complete ? restore_group(s, part.tensors[0].data, part.tensors[0].count)
                          : read_group(s);
    b2_part_close(&part);
    s->groups++;
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

/* The folder of this model, these options and these inputs. */
static blip2_status open_work(session *s) {
    const b2_settings *settings = s->settings;
    const uint32_t options[] = {settings->mode,     s->hidden,         s->projected,
                                settings->batch,    settings->weights, settings->compute,
                                settings->first_row};
    const char *device = settings->device != NULL ? settings->device : "";
    b2_part_key key;
    b2_sha256 sha;
    blip2_status status;

    if (settings->work == NULL)
        return BLIP2_OK;
    b2_interrupt_catch();
    if ((status = b2_loaded_open(&s->loaded, SIZE_MAX)) < 0 || (status = check_model(s)) < 0 ||
        (status = blip2_model_digest(s->loaded.model, key.model)) < 0)
        return status;
    b2_sha256_init(&sha);
    b2_sha256_update(&sha, options, sizeof options);
    b2_sha256_update(&sha, device, strlen(device));
    b2_sha256_final_hex(&sha, key.options);
    b2_sha256_init(&sha);
    b2_inputs_digest(&s->inputs, &sha);
    for (size_t t = 0; t < s->texts.count; t++)
        b2_sha256_update(&sha, s->texts.read[t], strlen(s->texts.read[t]) + 1);
    b2_sha256_final_hex(&sha, key.inputs);
    return b2_work_open(&s->work, settings->work, &key);
}

static blip2_status gather_texts(session *s) {
    blip2_status status = open_work(s);

    if (status < 0 || (status = b2_loaded_open(&s->loaded, s->texts.count)) < 0 ||
        (status = check_model(s)) < 0)
        return status;
    return extract(s, NULL, NULL, s->texts.count);
}

static blip2_status gather(session *s) {
    const b2_settings *settings = s->settings;
    blip2_status status;

    s->store.path = settings->out;
    if ((s->store.names = json_array()) == NULL)
        return b2_fail_memory();
    if (settings->mode != BLIP2_MODE_IMAGE && (status = b2_texts_open(&s->texts, settings)) < 0)
        return status;
    if (settings->mode == BLIP2_MODE_TEXT)
        return gather_texts(s);
    if ((status = b2_inputs_expand(&s->inputs, settings->operands, settings->operand_count)) < 0 ||
        (status = b2_group_init(&s->group, settings, &s->progress, &s->inputs)) < 0 ||
        (status = open_work(s)) < 0)
        return status;
    s->group.formatted = true;
    while (status == BLIP2_OK && s->taken < s->inputs.count && !s->group.stopped)
        status = run_group(s);
    if (status == BLIP2_OK)
        b2_complain_unreadable(s->group.unreadable, s->inputs.count);
    return status;
}

static blip2_status write_out(session *s) {
    if (json_array_size(s->store.names) == 0)
        return BLIP2_OK; /* why has been told, picture by picture */
    return s->npy ? b2_feature_store_write_npy(&s->store,
                                               s->hidden ? &s->store.hidden : &s->store.projected)
                  : b2_feature_store_write_safetensors(&s->store);
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
    if (status == BLIP2_ESTOP && b2_interrupt_asked())
        s.group.code = b2_exit_code_worse(s.group.code, b2_complain_stopped(settings->work));
    else if (status < 0 && !s.group.stopped)
        s.group.code = b2_exit_code_worse(s.group.code, b2_complain_status(status));
    b2_loaded_close(&s.loaded);
    b2_work_close(&s.work);
    b2_feature_store_free(&s.store);
    b2_group_free(&s.group);
    b2_inputs_free(&s.inputs);
    b2_texts_free(&s.texts);
    return s.group.code;
}
