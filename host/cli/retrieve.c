/* blip2 retrieve: how often a picture finds one of its captions, and a caption its picture, among
 * all of a file of annotations; as LAVIS's evaluation of retrieval. */
#include "retrieve.h"

#include <stdio.h>
#include <string.h>

#include "annotations.h"
#include "base/alloc.h"
#include "base/status.h"
#include "comparison.h"
#include "default_model.h"
#include "json.h"

enum { DEPTHS = 3, DEEPEST = 10 };
static const size_t depths[DEPTHS] = {1, 5, 10};

typedef struct session {
    b2_annotations annotations;
    b2_comparison c;
    size_t *owner; /* [c.texts.count] the picture in the gallery that a text belongs to */
    double recall[2][DEPTHS]; /* of a direction, in % */
} session;

/* The captions of the pictures that could be read. */
static blip2_status gather_texts(session *s) {
    const b2_inputs *pictures = &s->annotations.pictures;
    b2_clean_fn clean = s->c.settings->no_clean ? NULL : blip2_clean_caption;
    size_t image = 0, count = 0;
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < pictures->count; i++)
        count += s->annotations.entries[i].count;
    if ((s->owner = b2_alloc_array(count, sizeof *s->owner)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < pictures->count && image < s->c.gallery.count; i++) {
        const b2_annotation *entry = &s->annotations.entries[i];

        if (s->c.gallery.paths[image] != pictures->names[i].path)
            continue; /* left out */
        for (size_t k = 0; k < entry->count && status == BLIP2_OK; k++) {
            s->owner[s->c.texts.count] = image;
            status =
                b2_texts_add(&s->c.texts, entry->captions[k], strlen(entry->captions[k]), clean);
        }
        if (status < 0)
            return status;
        image++;
    }
    return BLIP2_OK;
}

static blip2_status count_hits(session *s, blip2_direction direction) {
    bool texts = direction == BLIP2_TEXTS_OF_IMAGE;
    size_t rows = texts ? s->c.gallery.count : s->c.texts.count, hits[DEPTHS] = {0};
    size_t order[DEEPEST];

    for (size_t row = 0; row < rows; row++) {
        size_t count = blip2_similarity_best(s->c.similarity, direction, row, DEEPEST, order);
        size_t place = 0; /* of the first that belongs to the row */

        if (count == 0)
            return b2_fail_memory();
        while (place < count &&
               (texts ? s->owner[order[place]] != row : order[place] != s->owner[row]))
            place++;
        for (size_t d = 0; d < DEPTHS; d++)
            hits[d] += place < count && place < depths[d];
    }
    for (size_t d = 0; d < DEPTHS; d++)
        s->recall[direction][d] = 100.0 * (double)hits[d] / (double)rows;
    return BLIP2_OK;
}

static double mean(const double *recall) {
    return (recall[0] + recall[1] + recall[2]) / DEPTHS;
}

/* With LAVIS's names. */
static bool print_json(const session *s, const blip2_engine_counts *counts) {
    const double *t = s->recall[BLIP2_TEXTS_OF_IMAGE], *i = s->recall[BLIP2_IMAGES_OF_TEXT];

    return b2_json_print_line(
        json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "pictures",
                  (json_int_t)s->c.gallery.count, "texts", (json_int_t)s->c.texts.count, "txt_r1",
                  t[0], "txt_r5", t[1], "txt_r10", t[2], "txt_r_mean", mean(t), "img_r1", i[0],
                  "img_r5", i[1], "img_r10", i[2], "img_r_mean", mean(i), "r_mean",
                  (mean(t) + mean(i)) / 2, "pictures_encoded", (json_int_t)counts->images_encoded,
                  "pairs_matched", (json_int_t)counts->pairs_scored));
}

static void print_plain(const session *s, const blip2_engine_counts *counts) {
    static const char *const names[2] = {"text of a picture", "picture of a text"};

    (void)printf("%zu pictures, %zu texts; %llu pictures encoded, %llu pairs matched\n\n"
                 "  %-18s %8s %8s %8s %8s\n",
                 s->c.gallery.count, s->c.texts.count, (unsigned long long)counts->images_encoded,
                 (unsigned long long)counts->pairs_scored, "%", "R@1", "R@5", "R@10", "mean");
    for (int d = 0; d < 2; d++)
        (void)printf("  %-18s %8.2f %8.2f %8.2f %8.2f\n", names[d], s->recall[d][0],
                     s->recall[d][1], s->recall[d][2], mean(s->recall[d]));
}

static blip2_status print_recall(session *s) {
    blip2_engine_counts counts;
    blip2_status status;

    if ((status = count_hits(s, BLIP2_TEXTS_OF_IMAGE)) < 0 ||
        (status = count_hits(s, BLIP2_IMAGES_OF_TEXT)) < 0 ||
        (status = blip2_engine_stats(s->c.loaded.engine, &counts, sizeof counts)) < 0)
        return status;
    if (!s->c.settings->json)
        print_plain(s, &counts);
    else if (!print_json(s, &counts))
        return b2_fail_memory();
    return BLIP2_OK;
}

static blip2_status run(session *s) {
    b2_comparison *c = &s->c;
    const b2_settings *settings = c->settings;
    blip2_status status;

    if ((status = b2_annotations_open(&s->annotations, settings->operands[0], settings->images,
                                      settings->split != NULL ? settings->split : "test")) < 0 ||
        (status = b2_comparison_check(c, &s->annotations.pictures, false)) < 0 ||
        c->gallery.count == 0 || (status = gather_texts(s)) < 0 ||
        (status = b2_comparison_run(c, true, true)) < 0)
        return status;
    return print_recall(s);
}

b2_exit_code b2_retrieve_run(const b2_settings *settings) {
    session s = {0};
    b2_exit_code code;

    if (settings->operand_count != 1) {
        b2_complain("retrieve: %s; see 'blip2 help retrieve'",
                    settings->operand_count == 0 ? "no file of annotations given"
                                                 : "one file of annotations at a time");
        return B2_EXIT_BAD_INPUT;
    }
    b2_comparison_start(&s.c, settings, B2_DEMO_MATCH);
    code = b2_comparison_end(&s.c, run(&s));
    b2_annotations_free(&s.annotations);
    b2_free(s.owner);
    return code;
}
