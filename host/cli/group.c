#include "group.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/size.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "json.h"
#include "video.h"

enum {
    GROUP_BATCHES = 4, /* while the last pictures of a group finish, places in the batch are empty:
                          a group of several batches keeps that a small part */
    GROUP_PIXELS = 64000000 /* 192 MB decoded; a single larger picture makes a group of its own */
};

blip2_status b2_group_init(b2_group *group, const b2_settings *settings, b2_progress *progress,
                           const b2_inputs *inputs) {
    *group = (b2_group){.settings = settings, .progress = progress, .show_names = inputs->many};
    group->most = b2_size_min((size_t)settings->batch * GROUP_BATCHES, inputs->count);
    group->items = b2_calloc(group->most, sizeof *group->items);
    group->inputs = b2_calloc(group->most, sizeof *group->inputs);
    group->item_of = b2_calloc(group->most, sizeof *group->item_of);
    if (group->items != NULL && group->inputs != NULL && group->item_of != NULL)
        return BLIP2_OK;
    b2_group_free(group);
    return b2_fail_memory();
}

static void empty(b2_group *group) {
    for (size_t i = 0; i < group->count; i++) {
        blip2_image_free(group->items[i].image);
        b2_free(group->items[i].text);
        b2_free(group->items[i].error);
        group->items[i] = (b2_group_item){0};
    }
    group->count = group->printed = group->input_count = 0;
}

void b2_group_free(b2_group *group) {
    empty(group);
    b2_free(group->items);
    b2_free(group->inputs);
    b2_free(group->item_of);
    group->items = NULL;
    group->inputs = NULL;
    group->item_of = NULL;
}

static void out_of_memory(b2_group *group) {
    b2_progress_erase(group->progress);
    group->code = b2_exit_code_worse(group->code, b2_complain_status(b2_fail_memory()));
    group->stopped = true;
}

/* Why an item has no picture: the library's message, or what the search for names found. */
static void set_error(b2_group *group, b2_group_item *item, const char *error) {
    b2_text_buffer text = {0};

    if (error != NULL)
        b2_text_appendf(&text, "%s: %s", item->path, error);
    else
        b2_text_appendf(&text, "%s", blip2_error_message());
    if ((item->error = b2_text_take(&text)) == NULL) {
        b2_text_free(&text);
        out_of_memory(group);
    }
}

size_t b2_group_fill(b2_group *group, const b2_inputs *inputs, size_t first) {
    uint64_t pixels = 0;

    empty(group);
    while (first < inputs->count && group->count < group->most && pixels < GROUP_PIXELS &&
           !group->stopped) {
        const b2_input_name *name = &inputs->names[first++];
        b2_group_item *item = &group->items[group->count++];
        blip2_status status = BLIP2_EIO;

        item->path = name->path;
        item->frames = b2_video_frames(name);
        if (name->error == NULL)
            status = b2_input_open(&item->image, name);
        if (status < 0) {
            set_error(group, item, name->error);
            group->unreadable++;
            group->code = b2_exit_code_worse(group->code, b2_exit_code_of(status));
            continue;
        }
        group->inputs[group->input_count].image = item->image;
        group->inputs[group->input_count].prompt = group->settings->prompt;
        group->item_of[group->input_count++] = group->count - 1;
        pixels += (uint64_t)blip2_image_width(item->image) * blip2_image_height(item->image);
    }
    return first;
}

void b2_group_finish(b2_group *group, size_t index, const char *text, size_t tokens) {
    b2_group_item *item = &group->items[group->item_of[index]];

    if (text == NULL || (item->text = b2_strdup(text)) == NULL)
        out_of_memory(group);
    item->tokens = tokens;
}

static bool print_json(const b2_group *group, const b2_group_item *item) {
    json_t *line;

    if (item->error == NULL) {
        line = b2_json_answer(item->path, item->frames, NULL, group->settings->prompt, item->text,
                              item->tokens);
    } else if ((line = json_object()) != NULL &&
               json_object_set_new(line, "file", b2_json_text(item->path)) +
                       json_object_set_new(line, "error", b2_json_text(item->error)) <
                   0) {
        json_decref(line);
        line = NULL;
    }
    return b2_json_print_line(line);
}

static void print_plain(const b2_group *group, const b2_group_item *item) {
    if (item->error != NULL) {
        b2_complain("%s", item->error);
        return;
    }
    if (!group->streamed) {
        if (group->show_names) {
            b2_print_name(item->path);
            (void)fputs(": ", stdout);
        }
        b2_print_text(item->text);
    }
    (void)putchar('\n');
}

void b2_group_flush(b2_group *group) {
    if (b2_flush_output())
        return;
    group->code = b2_exit_code_worse(group->code, B2_EXIT_BAD_INPUT);
    group->stopped = true;
}

void b2_group_print(b2_group *group) {
    while (group->printed < group->count && !group->stopped) {
        const b2_group_item *item = &group->items[group->printed];

        if (item->text == NULL && item->error == NULL)
            return;
        group->printed++;
        b2_progress_erase(group->progress);
        if (group->formatted && item->error == NULL) {
            (void)fputs(item->text, stdout);
        } else if (!group->settings->json) {
            print_plain(group, item);
        } else if (!print_json(group, item)) {
            out_of_memory(group);
            return;
        }
        b2_group_flush(group);
    }
}

static blip2_status run(b2_group *group, const b2_inputs *inputs,
                        blip2_status (*answer)(void *context), void *context) {
    blip2_status status = BLIP2_OK;

    group->taken = b2_group_fill(group, inputs, group->taken);
    b2_group_print(group);
    if (group->input_count > 0 && !group->stopped)
        status = answer(context);
    if (status == BLIP2_OK)
        b2_group_print(group);
    return status;
}

void b2_group_run(b2_group *group, const b2_inputs *inputs, blip2_status opened,
                  blip2_status (*answer)(void *context), void *context) {
    blip2_status status = opened;

    while (status == BLIP2_OK && group->taken < inputs->count && !group->stopped)
        status = run(group, inputs, answer, context);
    b2_progress_erase(group->progress);
    if (status < 0 && !group->stopped)
        group->code = b2_exit_code_worse(group->code, b2_complain_status(status));
    else if (!group->settings->json)
        b2_complain_unreadable(group->unreadable, inputs->count);
}
