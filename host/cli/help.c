#include "help.h"

#include <stdio.h>
#include <string.h>

enum { COLUMN = 27, WIDTH = 96 };

void b2_help_overview(const b2_command *commands) {
    (void)printf("Usage: blip2 COMMAND [OPTION]...\n"
                 "BLIP-2: pictures in, text out; pictures and texts compared.\n\nCommands:\n");
    for (const b2_command *c = commands; c->name != NULL; c++)
        (void)printf("  %-12s %s\n", c->name, c->summary);
    (void)printf("  %-12s %s\n", "help", "Say how a command is used: blip2 help COMMAND");
    (void)printf(
        "\nOptions:\n"
        "  --help     this text\n"
        "  --version  print the version\n"
        "\nExit codes: 0 success; 1 out of memory or another failure of the program or the "
        "device;\n2 wrong usage, a file that cannot be used, or an output that cannot be "
        "written;\n130 stopped.\n"
        "\nExamples:\n"
        "  blip2 caption picture.png\n"
        "  blip2 caption picture.png --prompt \"Question: what colour is the circle? "
        "Answer:\"\n"
        "  blip2 match picture.png --text \"a big red star\"\n"
        "  blip2 info models/demo/caption\n");
}

/* Words of text, broken at WIDTH and going on at COLUMN; the cursor stands at `at`. */
static void print_wrapped(const char *text, int at) {
    const char *space = "";

    while (*text != '\0') {
        int word = (int)strcspn(text, " ");

        if (at > COLUMN && at + 1 + word > WIDTH) {
            (void)printf("\n%*s", COLUMN, "");
            at = COLUMN;
            space = "";
        }
        at += printf("%s%.*s", space, word, text);
        space = " ";
        text += word;
        text += strspn(text, " ");
    }
    (void)putchar('\n');
}

static void print_option(const b2_option *option) {
    int at = printf("  --%s%s%s", option->name, option->argument != NULL ? " " : "",
                    option->argument != NULL ? option->argument : "");

    if (at < COLUMN)
        at += printf("%*s", COLUMN - at, "");
    print_wrapped(option->help, at);
}

void b2_help_command(const b2_command *command) {
    (void)printf("Usage: blip2 %s %s [OPTION]...\n%s.\n\n%s\nOptions:\n", command->name,
                 command->operands, command->summary, command->description);
    for (const b2_option *o = b2_options; o->name != NULL; o++)
        if ((o->commands & command->bit) != 0)
            print_option(o);
    (void)printf("\nExamples:\n%s", command->examples);
}
