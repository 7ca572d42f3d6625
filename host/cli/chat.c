/* blip2 chat: a line of stdin is a question, or a command with a slash. Ctrl-C stops an answer; at
 * the prompt of a terminal it drops the line, and where stdin is none it ends the program. */
#include "chat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/status.h"
#include "base/text_buffer.h"
#include "conversation.h"
#include "decoding_options.h"
#include "default_model.h"
#include "interrupt.h"
#include "loaded.h"
#include "video.h"

#define COMMANDS "/picture FILE, /reset, /quit"

enum { LONGEST_LINE = 65536 };

typedef enum line_kind { LINE_READ, LINE_REFUSED, LINE_INTERRUPTED, LINE_END } line_kind;

typedef struct session {
    const b2_settings *settings;
    b2_progress progress;
    b2_loaded loaded;
    blip2_image *image;
    blip2_generate_options options;
    b2_conversation conversation;
    b2_text_buffer line, answer; /* the answer so far */
    bool started;                /* past the white space in front of it */
    bool terminal;               /* a person types */
    bool ended;                  /* no further line is wanted, or can be answered */
    b2_exit_code code;           /* the worst so far */
} session;

static void refuse(session *s, b2_exit_code code) {
    s->code = b2_exit_code_worse(s->code, code);
    s->ended = s->ended || code == B2_EXIT_FAILED;
}

static void refuse_status(session *s, blip2_status status) {
    refuse(s, b2_complain_status(status));
}

static void flush(session *s) {
    if (b2_flush_output())
        return;
    refuse(s, B2_EXIT_BAD_INPUT);
    s->ended = true;
}

/* ---- lines --------------------------------------------------------------------------------- */

/* The next line into s->line, without its end. */
static line_kind read_line(session *s) {
    bool zero = false, too_long = false;
    int c;

    b2_text_clear(&s->line);
    while ((c = getc(stdin)) != EOF && c != '\n') {
        const char byte = (char)c;

        zero = zero || c == '\0';
        too_long = too_long || s->line.length == LONGEST_LINE;
        if (!too_long)
            b2_text_append(&s->line, &byte, 1);
    }
    if (c == EOF && ferror(stdin) && errno == EINTR) {
        clearerr(stdin);
        return LINE_INTERRUPTED;
    }
    if (c == EOF && s->line.length == 0)
        return LINE_END;
    if (zero)
        b2_complain("a line with a zero byte is left out");
    else if (too_long)
        b2_complain("a line of more than %d bytes is left out", LONGEST_LINE);
    return zero || too_long ? LINE_REFUSED : LINE_READ;
}

/* Without white space around it; inside text, which is changed. */
static char *trimmed(char *text) {
    size_t length;

    text += strspn(text, " \t\r");
    length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL)
        length--;
    text[length] = '\0';
    return text;
}

static line_kind next_line(session *s) {
    line_kind kind;

    if (s->terminal) {
        (void)fputs("> ", stdout);
        flush(s);
        b2_interrupt_catch_key();
    }
    kind = read_line(s);
    if (s->terminal && kind != LINE_READ)
        (void)putchar('\n');
    if (kind == LINE_INTERRUPTED)
        b2_complain("/quit or Ctrl-D ends the conversation");
    return kind;
}

/* ---- answers ------------------------------------------------------------------------------- */

static int on_text(size_t index, const char *text, size_t length, void *payload) {
    session *s = payload;

    (void)index;
    b2_text_append(&s->answer, text, length);
    b2_print_piece(&s->started, text, length);
    flush(s);
    return s->ended || b2_interrupt_asked();
}

/* The prompt of the conversation and a question; turns that there is no room for leave. NULL after
 * telling why there is none. Yours to b2_free. */
static char *make_prompt(session *s, const char *question) {
    size_t before = s->conversation.count;
    int64_t room = -1;
    char *prompt = NULL;

    for (;;) {
        blip2_status status = BLIP2_OK;

        if ((prompt = b2_conversation_prompt(&s->conversation, question)) == NULL)
            status = b2_fail_memory();
        else
            status =
                blip2_generate_room(s->loaded.engine, prompt, s->loaded.frames, &s->options, &room);
        if (status < 0)
            refuse_status(s, status);
        if (status == BLIP2_OK && room >= 0)
            break;
        b2_free(prompt);
        prompt = NULL;
        if (status < 0)
            break;
        if (s->conversation.count == 0) {
            b2_complain("the question is too long: with picture and answer it takes %lld tokens "
                        "more than there is room for (--max-tokens)",
                        -(long long)room);
            refuse(s, B2_EXIT_BAD_INPUT);
            break;
        }
        b2_conversation_forget_oldest(&s->conversation);
    }
    if (before > s->conversation.count)
        b2_complain("the context is full: the oldest turns (%zu of %zu) have left the conversation",
                    before - s->conversation.count, before);
    return prompt;
}

/* What has been said of a stopped answer is part of the conversation. */
static void keep_turn(session *s, const char *question, const blip2_result *result) {
    char *said = trimmed(s->answer.data != NULL ? s->answer.data : (char[]){""});
    const char *answer = result != NULL ? blip2_result_text(result, 0) : said;
    blip2_status status = s->answer.failed ? b2_fail_memory() : BLIP2_OK;

    if (status == BLIP2_OK && (result != NULL || *answer != '\0'))
        status = b2_conversation_add(&s->conversation, question, answer);
    if (status < 0)
        refuse_status(s, status);
}

static void answer(session *s, const char *question) {
    char *prompt = make_prompt(s, question);
    const blip2_input input = {s->image, prompt};
    blip2_result *result = NULL;
    blip2_status status;

    if (prompt == NULL)
        return;
    b2_text_clear(&s->answer);
    s->started = false;
    b2_interrupt_catch_key();
    status = blip2_generate(s->loaded.engine, &input, 1, &s->options, &result);
    if (!s->terminal)
        b2_interrupt_release_key();
    if (status == BLIP2_OK || s->started) {
        (void)putchar('\n');
        if (!s->ended)
            flush(s);
    }
    if (status == BLIP2_OK || status == BLIP2_ESTOP)
        keep_turn(s, question, result);
    else
        refuse_status(s, status);
    if (status == BLIP2_ESTOP && !s->ended)
        b2_complain("the answer was stopped");
    blip2_result_free(result);
    b2_free(prompt);
}

/* ---- commands ------------------------------------------------------------------------------ */

/* Take the picture, or the video. It is as it was on failure. */
static blip2_status open_picture(session *s, const b2_input_name *name) {
    size_t frames = s->loaded.frames;
    blip2_image *image = NULL;
    blip2_status status = BLIP2_OK;

    s->loaded.frames = b2_video_frames(name);
    if (name->error != NULL)
        status = b2_fail(BLIP2_EIO, "%s: %s", name->path, name->error);
    else if (s->loaded.frames > 0 && (status = b2_loaded_open(&s->loaded, 1)) == BLIP2_OK)
        status = b2_video_check(&s->loaded, "", &s->options);
    if (status == BLIP2_OK)
        status = b2_input_open(&image, name);
    if (status < 0) {
        s->loaded.frames = frames;
        return status;
    }
    blip2_image_free(s->image);
    s->image = image;
    return BLIP2_OK;
}

/* The picture, or with --video the frames, of these operands. */
static blip2_status take_operands(session *s, char *const *operands, size_t count) {
    const b2_input_name picture = {.path = operands[0]};
    b2_inputs video = {0};
    blip2_status status = BLIP2_OK;

    if (!s->settings->video)
        return open_picture(s, &picture);
    if ((status = b2_inputs_expand_video(&video, operands, count)) == BLIP2_OK)
        status = open_picture(s, &video.names[0]);
    b2_inputs_free(&video);
    return status;
}

/* A conversation about another picture is another one. */
static void take_picture(session *s, char *path) {
    blip2_status status;

    if (*path == '\0') {
        b2_complain("/picture needs a file: /picture FILE");
        refuse(s, B2_EXIT_BAD_INPUT);
    } else if ((status = take_operands(s, &path, 1)) < 0) {
        refuse_status(s, status);
    } else {
        b2_conversation_forget(&s->conversation);
    }
}

static void obey(session *s, char *command) {
    size_t length = strcspn(command, " \t");
    char *rest = trimmed(command + length);

    if (length == 8 && strncmp(command, "/picture", length) == 0) {
        take_picture(s, rest);
    } else if (*rest == '\0' && strcmp(trimmed(command), "/reset") == 0) {
        b2_conversation_forget(&s->conversation);
    } else if (*rest == '\0' && strcmp(trimmed(command), "/quit") == 0) {
        s->ended = true;
    } else {
        b2_complain("unknown command '%s'; there are " COMMANDS, command);
        refuse(s, B2_EXIT_BAD_INPUT);
    }
}

static void converse(session *s) {
    while (!s->ended) {
        line_kind kind = next_line(s);
        char *text = kind == LINE_READ && s->line.data != NULL ? s->line.data : (char[]){""};

        if (s->line.failed)
            refuse_status(s, b2_fail_memory());
        else if (kind == LINE_REFUSED)
            refuse(s, B2_EXIT_BAD_INPUT);
        else if (kind == LINE_END)
            s->ended = true;
        else if (text[0] == '/')
            obey(s, text);
        else if (*(text = trimmed(text)) != '\0')
            answer(s, text);
    }
}

/* Ready to answer: the picture, the model, and how it is asked. */
static blip2_status open_session(session *s) {
    blip2_generate_options asked;
    const char *template;
    blip2_status status;

    b2_progress_start(&s->progress, s->settings->quiet);
    s->loaded =
        (b2_loaded){.settings = s->settings, .progress = &s->progress, .demo = B2_DEMO_CAPTION};
    blip2_generate_options_init(&asked, sizeof asked);
    blip2_generate_options_init(&s->options, sizeof s->options);
    b2_decoding_options_set(&s->options, s->settings);
    s->options.max_prompt_tokens = UINT32_MAX; /* turns leave, which is told */
    s->options.on_text = on_text;
    s->options.payload = s;
    if ((status = take_operands(s, s->settings->operands, s->settings->operand_count)) < 0 ||
        (status = b2_loaded_open(&s->loaded, 1)) < 0 ||
        (status = blip2_question_defaults(s->loaded.model, &asked, &template)) < 0)
        return status;
    s->conversation.instructed = strcmp(template, "{}") == 0;
    return BLIP2_OK;
}

b2_exit_code b2_chat_run(const b2_settings *settings) {
    session s = {.settings = settings, .terminal = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)};
    blip2_status status;

    if (settings->video ? settings->operand_count == 0 : settings->operand_count != 1) {
        b2_complain("chat: expected one picture, got %zu; see 'blip2 help chat'",
                    settings->operand_count);
        return B2_EXIT_BAD_INPUT;
    }
    if (!b2_decoding_options_check(settings, "chat"))
        return B2_EXIT_BAD_INPUT;
    if ((status = open_session(&s)) < 0) {
        refuse_status(&s, status);
    } else {
        if (s.terminal && !settings->quiet)
            b2_complain("ask about the picture, a line a question; " COMMANDS);
        converse(&s);
    }
    b2_conversation_forget(&s.conversation);
    b2_text_free(&s.line);
    b2_text_free(&s.answer);
    b2_loaded_close(&s.loaded);
    blip2_image_free(s.image);
    return s.code;
}
