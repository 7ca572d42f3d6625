/* blip2 search: the pictures of an index that are nearest to texts, or to a picture. */
#include "search.h"

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "blip2.h"
#include "default_model.h"
#include "gallery.h"
#include "loaded.h"
#include "ranked.h"
#include "texts.h"

/* Nearest vectors that --ann looks for: a picture has many, so more than are wanted. */
enum { ANN_LEAST = 512, ANN_FOR_ONE = 32 };

typedef struct session {
    const b2_settings *settings;
    blip2_index *index;
    b2_texts texts;
    blip2_image *image;   /* --picture, or NULL */
    blip2_input *queries; /* [count] the texts, then the picture */
    size_t count, top;
    blip2_hit *hits; /* [count, top] */
    b2_progress progress;
    b2_loaded loaded;
    b2_exit_code code;
    blip2_status failed; /* of a line that could not be printed */
} session;

static void on_changed(size_t picture, const char *why, void *payload) {
    session *s = payload;
    blip2_status status;

    (void)why; /* the library's message still */
    b2_progress_erase(&s->progress);
    s->code = b2_exit_code_worse(s->code, B2_EXIT_BAD_INPUT);
    status = b2_gallery_tell(blip2_index_path(s->index, picture), NULL, s->settings->json);
    if (status < 0)
        s->failed = status;
}

static int on_progress(uint64_t done, uint64_t total, void *payload) {
    session *s = payload;

    b2_progress_show(&s->progress, "searching: %.0f %%", 100.0 * (double)done / (double)total);
    return s->failed < 0;
}

/* What is searched for. */
static blip2_status take_queries(session *s) {
    const b2_settings *settings = s->settings;
    bool texts = settings->texts.count > 0 || settings->text_file != NULL;
    blip2_status status = BLIP2_OK;

    if (!texts && settings->picture == NULL)
        return b2_fail(BLIP2_EINVAL, "nothing to search for: --text TEXT, --texts FILE or "
                                     "--picture FILE");
    if (texts && (status = b2_texts_open(&s->texts, settings)) < 0)
        return status;
    if (settings->picture != NULL &&
        (status = blip2_image_open(&s->image, settings->picture, NULL)) < 0)
        return status;
    if ((s->queries = b2_calloc(s->texts.count + 1, sizeof *s->queries)) == NULL)
        return b2_fail_memory();
    for (; s->count < s->texts.count; s->count++) {
        if (*s->texts.read[s->count] == '\0')
            return b2_fail(BLIP2_EINVAL, "text %zu ('%.80s'): is empty, or nothing is left of it",
                           s->count + 1, s->texts.shown[s->count]);
        s->queries[s->count].prompt = s->texts.read[s->count];
    }
    if (s->image != NULL)
        s->queries[s->count++].image = s->image;
    return BLIP2_OK;
}

static blip2_status search(session *s) {
    const b2_settings *settings = s->settings;
    blip2_search_options options;
    blip2_status status;

    blip2_search_options_init(&options, sizeof options);
    s->top = b2_size_min(settings->top, blip2_index_count(s->index));
    if ((s->hits = b2_alloc_array(s->count, s->top * sizeof *s->hits)) == NULL)
        return b2_fail_memory();
    options.top = settings->top;
    options.rerank = settings->match_found;
    if (settings->ann)
        options.ann = (uint32_t)b2_size_min(
            ANN_LEAST + ANN_FOR_ONE * b2_size_max(settings->top, settings->match_found),
            UINT32_MAX);
    options.on_changed = on_changed;
    options.on_progress = on_progress;
    options.payload = s;
    status =
        blip2_index_search(s->index, s->loaded.engine, s->queries, s->count, &options, s->hits);
    b2_progress_erase(&s->progress);
    return status;
}

static blip2_status print(session *s) {
    bool stopped = false;

    for (size_t q = 0; q < s->count && !stopped; q++) {
        bool text = s->queries[q].image == NULL;
        const char *shown = text ? s->texts.shown[q] : s->settings->picture;

        for (size_t i = 0; i < s->top; i++) {
            const blip2_hit *hit = &s->hits[q * s->top + i];
            const char *path = blip2_index_path(s->index, hit->picture);

            if (path == NULL)
                break; /* an approximate search found no more */
            if (!s->settings->json)
                b2_ranked_print(i + 1, s->count > 1 ? shown : NULL, path, hit->score, hit->itc);
            else if (!b2_ranked_print_json(i + 1, path, text ? "text" : "picture", shown,
                                           hit->score, hit->itc))
                return b2_fail_memory();
        }
        stopped = !b2_flush_output();
    }
    if (stopped)
        s->code = b2_exit_code_worse(s->code, B2_EXIT_BAD_INPUT);
    return BLIP2_OK;
}

static blip2_status run(session *s) {
    blip2_index_options options;
    blip2_status status;

    blip2_index_options_init(&options, sizeof options);
    options.threads = s->settings->threads;
    if ((status = take_queries(s)) < 0 ||
        (status = blip2_index_open(&s->index, s->settings->operands[0], &options)) < 0 ||
        (status = b2_loaded_open(&s->loaded, SIZE_MAX)) < 0 || (status = search(s)) < 0)
        return status;
    return print(s);
}

b2_exit_code b2_search_run(const b2_settings *settings) {
    session s = {.settings = settings};
    blip2_status status;

    if (settings->operand_count != 1) {
        b2_complain("search: expected one index, got %zu; see 'blip2 help search'",
                    settings->operand_count);
        return B2_EXIT_BAD_INPUT;
    }
    b2_progress_start(&s.progress, settings->quiet);
    s.loaded = (b2_loaded){.settings = settings, .progress = &s.progress, .demo = B2_DEMO_MATCH};
    if ((status = run(&s)) < 0)
        s.code = b2_exit_code_worse(s.code, b2_complain_status(status));
    b2_loaded_close(&s.loaded);
    blip2_index_close(s.index);
    blip2_image_free(s.image);
    b2_free(s.queries);
    b2_free(s.hits);
    b2_texts_free(&s.texts);
    return s.code;
}
