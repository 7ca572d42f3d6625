/* blip2 index: pictures into one file, in which 'blip2 search' finds them. */
#include "build_index.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/status.h"
#include "blip2.h"
#include "default_model.h"
#include "gallery.h"
#include "inputs.h"
#include "interrupt.h"
#include "json.h"
#include "loaded.h"

typedef struct session {
    const b2_settings *settings;
    b2_inputs inputs;
    const char **paths; /* [inputs.count] */
    b2_progress progress;
    b2_loaded loaded;
    b2_exit_code code;
    blip2_status failed; /* of a line that could not be printed */
} session;

static void on_unreadable(size_t number, const char *why, void *payload) {
    session *s = payload;
    blip2_status status;

    (void)why; /* the library's message still */
    b2_progress_erase(&s->progress);
    s->code = b2_exit_code_worse(s->code, B2_EXIT_BAD_INPUT);
    if ((status = b2_gallery_tell(s->paths[number], NULL, s->settings->json)) < 0)
        s->failed = status;
}

static int on_progress(uint64_t done, uint64_t total, void *payload) {
    session *s = payload;

    b2_progress_show(&s->progress, "%" PRIu64 " of %" PRIu64 " pictures", done, total);
    return s->failed < 0 || b2_interrupt_asked();
}

/* An operand without pictures would empty the index of what it held: nothing is done then. */
static blip2_status take_paths(session *s, bool *usable) {
    const b2_settings *settings = s->settings;
    blip2_status status = b2_inputs_expand(&s->inputs, settings->operands, settings->operand_count);

    *usable = true;
    if (status < 0)
        return status;
    if ((s->paths = b2_alloc_array(s->inputs.count, sizeof *s->paths)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < s->inputs.count && status == BLIP2_OK; i++) {
        const b2_input_name *name = &s->inputs.names[i];

        s->paths[i] = name->path;
        if (name->error != NULL) {
            *usable = false;
            s->code = B2_EXIT_BAD_INPUT;
            status = b2_gallery_tell(name->path, name->error, settings->json);
        }
    }
    return status;
}

static blip2_status print(const session *s, const blip2_index_counts *c) {
    if (!s->settings->json) {
        (void)printf("%s: %" PRIu64 " pictures; %" PRIu64 " embedded, %" PRIu64 " kept, %" PRIu64
                     " removed, %" PRIu64 " unreadable\n",
                     s->settings->out, c->pictures, c->embedded, c->kept, c->removed,
                     c->unreadable);
        return BLIP2_OK;
    }
    return b2_json_print_line(
               json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "index", b2_json_text(s->settings->out),
                         "pictures", (json_int_t)c->pictures, "embedded", (json_int_t)c->embedded,
                         "kept", (json_int_t)c->kept, "removed", (json_int_t)c->removed,
                         "unreadable", (json_int_t)c->unreadable))
               ? BLIP2_OK
               : b2_fail_memory();
}

static blip2_status run(session *s) {
    blip2_index_build_options options;
    blip2_index_counts counts;
    bool usable;
    blip2_status status = take_paths(s, &usable);

    if (status < 0 || !usable || (status = b2_loaded_open(&s->loaded, SIZE_MAX)) < 0)
        return status;
    blip2_index_build_options_init(&options, sizeof options);
    options.half = s->settings->half;
    options.on_unreadable = on_unreadable;
    options.on_progress = on_progress;
    options.payload = s;
    b2_interrupt_catch();
    status = blip2_index_build(s->loaded.engine, s->settings->out, s->paths, s->inputs.count,
                               &options, &counts);
    b2_progress_erase(&s->progress);
    if (status < 0)
        return s->failed < 0 ? s->failed : status;
    if (!s->settings->json)
        b2_complain_unreadable((size_t)counts.unreadable, s->inputs.count);
    return print(s, &counts);
}

b2_exit_code b2_index_run(const b2_settings *settings) {
    session s = {.settings = settings};
    blip2_status status;

    if (settings->out == NULL || settings->operand_count == 0) {
        b2_complain("index: no %s; see 'blip2 help index'",
                    settings->out == NULL ? "--out FILE" : "picture given");
        return B2_EXIT_BAD_INPUT;
    }
    b2_progress_start(&s.progress, settings->quiet);
    s.loaded = (b2_loaded){.settings = settings, .progress = &s.progress, .demo = B2_DEMO_MATCH};
    status = run(&s);
    if (status == BLIP2_ESTOP && b2_interrupt_asked()) {
        b2_complain("stopped; what is done is kept in %s.part1 and so on: the same command goes on "
                    "from it",
                    settings->out);
        s.code = b2_exit_code_worse(s.code, B2_EXIT_STOPPED);
    } else if (status < 0)
        s.code = b2_exit_code_worse(s.code, b2_complain_status(status));
    b2_loaded_close(&s.loaded);
    b2_free(s.paths);
    b2_inputs_free(&s.inputs);
    return s.code;
}
