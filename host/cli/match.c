/* blip2 match: every picture with every text. The pictures go through in groups, as with caption;
 * the lines of a picture are printed together, once it has met all texts. */
#include "match.h"

#include <ctype.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "default_model.h"
#include "group.h"
#include "json.h"
#include "loaded.h"
#include "texts.h"

enum { CALL = 256 }; /* pairs of one call of the library; between two, progress is shown */

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    b2_texts texts;
    size_t done; /* pairs that have scores */
    b2_progress progress;
    b2_group group;
    b2_loaded loaded;
    bool itm, itc;             /* what the model has of what is asked for */
    blip2_input pairs[CALL];   /* of one call */
    blip2_match_score *scores; /* [group.most, texts] */
} session;

/* ---- lines -------------------------------------------------------------------------------- */

static void append_plain(b2_text_buffer *out, const session *s, const b2_group_item *item,
                         const blip2_match_score *score, const char *text) {
    size_t from = out->length;

    if (s->group.show_names)
        b2_text_appendf(out, "%s: ", item->path);
    if (s->itm)
        b2_text_appendf(out, "itm %6.2f %% (logits %8.4f %8.4f)  ",
                        100.0 * (double)score->itm_probability, (double)score->itm_logits[0],
                        (double)score->itm_logits[1]);
    if (s->itc)
        b2_text_appendf(out, "itc %7.4f  ", (double)score->itc);
    b2_text_appendf(out, "%s", text);
    for (; from < out->length; from++) /* names and texts: a pair stays one line */
        if (iscntrl((unsigned char)out->data[from]))
            out->data[from] = '?';
    b2_text_append(out, "\n", 1);
}

static void append_json(b2_text_buffer *out, const session *s, const b2_group_item *item,
                        const blip2_match_score *score, const char *text) {
    json_t *line = json_object();
    int failed = json_object_set_new(line, "file", b2_json_text(item->path));
    char *dumped = NULL;

    failed |= json_object_set_new(line, "text", b2_json_text(text));
    if (s->itm) {
        failed |= json_object_set_new(line, "itm", json_real((double)score->itm_probability));
        failed |= json_object_set_new(
            line, "itm_logits",
            json_pack("[f, f]", (double)score->itm_logits[0], (double)score->itm_logits[1]));
    }
    if (s->itc)
        failed |= json_object_set_new(line, "itc", json_real((double)score->itc));
    if (failed == 0)
        dumped = json_dumps(line, B2_JSON_LINE);
    json_decref(line);
    if (dumped == NULL)
        out->failed = true;
    else
        b2_text_appendf(out, "%s\n", dumped);
    free(dumped);
}

/* The lines of picture number `index` of the group. */
static void finish_picture(session *s, size_t index) {
    const b2_group_item *item = &s->group.items[s->group.item_of[index]];
    const blip2_match_score *scores = s->scores + index * s->texts.count;
    b2_text_buffer lines = {0};

    for (size_t t = 0; t < s->texts.count; t++)
        (s->settings->json ? append_json : append_plain)(&lines, s, item, &scores[t],
                                                         s->texts.shown[t]);
    b2_group_finish(&s->group, index, lines.failed ? NULL : b2_text_data(&lines), 0);
    b2_text_free(&lines);
}

/* ---- scores ------------------------------------------------------------------------------- */

/* The group's pairs, pictures first, CALL at a time. */
static blip2_status match_group(session *s) {
    size_t texts = s->texts.count, count = s->group.input_count * texts, finished = 0;
    blip2_match_options options;
    blip2_status status;

    blip2_match_options_init(&options, sizeof options);
    options.no_itm = s->settings->head == B2_HEAD_ITC;
    options.no_itc = s->settings->head == B2_HEAD_ITM;
    for (size_t first = 0; first < count && !s->group.stopped; first += CALL) {
        size_t n = b2_size_min(CALL, count - first);

        for (size_t i = 0; i < n; i++)
            s->pairs[i] = (blip2_input){s->group.inputs[(first + i) / texts].image,
                                        s->texts.read[(first + i) % texts]};
        status = blip2_match(s->loaded.engine, s->pairs, n, &options, s->scores + first);
        if (status < 0)
            return status;
        s->done += n;
        for (; (finished + 1) * texts <= first + n; finished++)
            finish_picture(s, finished);
        b2_group_print(&s->group);
        b2_progress_show(&s->progress, "%zu of %zu pairs", s->done, s->inputs.count * texts);
    }
    return BLIP2_OK;
}

/* A head that was asked for must be there; without --head, one of them is enough. */
static blip2_status check_heads(session *s) {
    const blip2_model *model = s->loaded.model;

    s->itm = s->settings->head != B2_HEAD_ITC && blip2_model_can(model, "itm");
    s->itc = s->settings->head != B2_HEAD_ITM && blip2_model_can(model, "itc");
    if (s->itm || s->itc)
        return BLIP2_OK;
    return b2_fail(BLIP2_ENOTSUP, "this checkpoint has no %s head",
                   s->settings->head == B2_HEAD_ITC   ? "contrast (itc)"
                   : s->settings->head == B2_HEAD_ITM ? "matching (itm)"
                                                      : "matching and no contrast");
}

/* The pictures of a group with all texts. */
static blip2_status answer(void *context) {
    session *s = context;
    blip2_status status;

    if ((status = b2_loaded_open(&s->loaded, SIZE_MAX)) < 0 || (status = check_heads(s)) < 0)
        return status;
    return match_group(s);
}

static blip2_status open_session(session *s) {
    const b2_settings *settings = s->settings;
    blip2_status status;
    size_t count;

    b2_progress_start(&s->progress, settings->quiet);
    s->loaded = (b2_loaded){.settings = settings, .progress = &s->progress, .demo = B2_DEMO_MATCH};
    if ((status = b2_texts_open(&s->texts, settings)) < 0 ||
        (status = b2_inputs_expand(&s->inputs, settings->operands, settings->operand_count)) < 0 ||
        (status = b2_group_init(&s->group, settings, &s->progress, &s->inputs)) < 0)
        return status;
    s->group.formatted = true;
    if (!b2_size_mul(s->group.most, s->texts.count, &count) ||
        (s->scores = b2_alloc_array(count, sizeof *s->scores)) == NULL)
        return b2_fail_memory();
    return BLIP2_OK;
}

b2_exit_code b2_match_run(const b2_settings *settings) {
    session s = {.settings = settings, .group = {.settings = settings, .progress = &s.progress}};

    if (settings->operand_count == 0) {
        b2_complain("match: no picture given; see 'blip2 help match'");
        return B2_EXIT_BAD_INPUT;
    }
    b2_group_run(&s.group, &s.inputs, open_session(&s), answer, &s);
    b2_loaded_close(&s.loaded);
    b2_free(s.scores);
    b2_group_free(&s.group);
    b2_inputs_free(&s.inputs);
    b2_texts_free(&s.texts);
    return s.group.code;
}
