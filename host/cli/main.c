/* blip2: the program. Each command is a row of the table below and a file beside this one. */
#include <stdio.h>
#include <string.h>

#include "caption.h"
#include "help.h"
#include "info.h"

static const b2_command commands[] = {
    {"caption", B2_COMMAND_CAPTION, "PICTURE...",
     "Say what is in a picture, or answer a question about it",
     "PICTURE is a PNG or JPEG file, a folder (its pictures, sorted, without sub-folders) or a\n"
     "pattern in quotes. One picture gives its caption alone; a folder, a pattern or several\n"
     "pictures give 'name: caption' lines in this order, each as soon as it is known. A picture "
     "that\ncannot be read is told on stderr and the others go on; the exit code is 2 then.\n"
     "With --json each picture gives one line: {\"file\", \"caption\", \"tokens\"}, with --prompt\n"
     "{\"file\", \"answer\", \"prompt\", \"tokens\"}, or {\"file\", \"error\"}.\n",
     "  blip2 caption picture.png\n"
     "  blip2 caption photos/ 'more/*.jpg' --json > captions.jsonl\n"
     "  blip2 caption picture.png --prompt \"Question: how many shapes are there? Answer:\"\n",
     b2_caption_run},
    {"info", B2_COMMAND_INFO, "[DIR]", "Say what a checkpoint folder holds and the memory it needs",
     "The checkpoint is checked (names, types and shapes of all tensors) but not loaded. DIR is\n"
     "by default the model that 'blip2 caption' uses.\n",
     "  blip2 info models/demo/caption\n"
     "  blip2 info --json models/demo/caption\n",
     b2_info_run},
    {NULL, 0, NULL, NULL, NULL, NULL, NULL},
};

static const b2_command *find_command(const char *name) {
    for (const b2_command *c = commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    b2_complain("unknown command '%s'; see 'blip2 --help'", name);
    return NULL;
}

/* blip2 help [COMMAND] */
static b2_exit_code help(int argc, char **argv) {
    const b2_command *command;

    if (argc == 0 || argv[0][0] == '-') {
        b2_help_overview(commands);
        return B2_EXIT_OK;
    }
    if ((command = find_command(argv[0])) == NULL)
        return B2_EXIT_BAD_INPUT;
    b2_help_command(command);
    return B2_EXIT_OK;
}

static b2_exit_code version(void) {
    (void)printf("blip2 %s\n", blip2_version());
    return B2_EXIT_OK;
}

static b2_exit_code run(int argc, char **argv) {
    const b2_command *command;
    b2_settings settings;

    if (argc < 2) {
        b2_complain("no command given; see 'blip2 --help'");
        return B2_EXIT_BAD_INPUT;
    }
    if (strcmp(argv[1], "--version") == 0)
        return version();
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help(argc - 2, argv + 2);
    if (argv[1][0] == '-') {
        b2_complain("unknown option '%s' in front of the command; see 'blip2 --help'", argv[1]);
        return B2_EXIT_BAD_INPUT;
    }
    if ((command = find_command(argv[1])) == NULL ||
        !b2_arguments_parse(&settings, command, argc - 2, argv + 2))
        return B2_EXIT_BAD_INPUT;
    if (settings.help) {
        b2_help_command(command);
        return B2_EXIT_OK;
    }
    return settings.version ? version() : command->run(&settings);
}

int main(int argc, char **argv) {
    return (int)b2_close_output(run(argc, argv));
}
