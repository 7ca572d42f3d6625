#include "arguments.h"

#include <stdlib.h>
#include <string.h>

#define CAPTION B2_COMMAND_CAPTION
#define INFO B2_COMMAND_INFO

/* In the order of blip2_weight_type and blip2_compute. */
static const char *const weight_types[] = {"auto", "f32", "f16", "bf16", NULL};
static const char *const compute_types[] = {"auto", "f32", "tf32", "f16", "bf16", NULL};

/* clang-format off: a table is read by its columns */
#define FIELD(name) offsetof(b2_settings, name)
const b2_option b2_options[] = {
    {"model", "DIR", "checkpoint folder; default: $BLIP2_MODEL, or else the demo model", CAPTION,
     B2_OPTION_TEXT, FIELD(model), 0, 0, NULL},
    {"prompt", "TEXT", "the text that the answer goes on from; default: none, a caption", CAPTION,
     B2_OPTION_TEXT, FIELD(prompt), 0, 0, NULL},
    {"max-new-tokens", "N", "longest answer, end token included; default 30", CAPTION,
     B2_OPTION_COUNT, FIELD(max_new_tokens), 1, 100000, NULL},
    {"min-new-tokens", "N", "no end token before so many tokens; default 0", CAPTION,
     B2_OPTION_COUNT, FIELD(min_new_tokens), 0, 100000, NULL},
    {"repetition-penalty", "X", "above 1: tokens already used become less likely; default 1",
     CAPTION, B2_OPTION_NUMBER, FIELD(repetition_penalty), 0.01, 100, NULL},
    {"beams", "N", "beam search: the best text of N that are followed; default 1, greedy", CAPTION,
     B2_OPTION_COUNT, FIELD(beams), 1, 16, NULL},
    {"max-tokens", "N",
     "room for picture, prompt and answer together; default 256, or less "
     "where the model ends earlier",
     CAPTION, B2_OPTION_COUNT, FIELD(max_tokens), 1, 1000000, NULL},
    {"batch", "N", "pictures worked on at the same time; default 8", CAPTION, B2_OPTION_COUNT,
     FIELD(batch), 1, 4096, NULL},
    {"threads", "N", "processor threads; default: all cores this process may use", CAPTION,
     B2_OPTION_COUNT, FIELD(threads), 1, 1024, NULL},
    {"device", "NAME",
     "where to compute: auto (a GPU where one works, else the CPU), cpu, cuda, or cuda:N for GPU "
     "number N; default auto",
     CAPTION, B2_OPTION_TEXT, FIELD(device), 0, 0, NULL},
    {"compute", "TYPE",
     "type of activations: auto (f32 on the CPU, f16 on a GPU), f32, or on a GPU tf32, f16, bf16; "
     "default auto",
     CAPTION, B2_OPTION_CHOICE, FIELD(compute), 0, 0, compute_types},
    {"weights", "TYPE", "how weights are kept: auto (as stored), f32, f16, bf16; default auto",
     CAPTION, B2_OPTION_CHOICE, FIELD(weights), 0, 0, weight_types},
    {"json", NULL, "JSON for scripts", CAPTION | INFO, B2_OPTION_FLAG, FIELD(json), 0, 0, NULL},
    {"quiet", NULL, "no warnings and no progress; errors only", CAPTION, B2_OPTION_FLAG,
     FIELD(quiet), 0, 0, NULL},
    {"verbose", NULL, "say what is loaded, and every warning", CAPTION, B2_OPTION_FLAG,
     FIELD(verbose), 0, 0, NULL},
    {"help", NULL, "this text", CAPTION | INFO, B2_OPTION_FLAG, FIELD(help), 0, 0, NULL},
    {"version", NULL, "print the version", CAPTION | INFO, B2_OPTION_FLAG, FIELD(version), 0, 0,
     NULL},
    {NULL, NULL, NULL, 0, B2_OPTION_FLAG, 0, 0, 0, NULL},
};
/* clang-format on */

b2_settings b2_settings_default(void) {
    return (b2_settings){.batch = 8};
}

/* The option that a word names, with or without "=value"; NULL if the command has none such. */
static const b2_option *find(const b2_command *command, const char *name, size_t length) {
    for (const b2_option *o = b2_options; o->name != NULL; o++)
        if ((o->commands & command->bit) != 0 && strncmp(o->name, name, length) == 0 &&
            o->name[length] == '\0')
            return o;
    return NULL;
}

static bool parse_count(const b2_option *option, const char *value, uint32_t *out) {
    unsigned long long n;
    char *end;

    n = strtoull(value, &end, 10); /* too large: its largest value, which is out of range too */
    if (*value < '0' || *value > '9' || *end != '\0' || (double)n < option->least ||
        (double)n > option->most) {
        b2_complain("--%s: got '%s', expected a whole number from %.0f to %.0f", option->name,
                    value, option->least, option->most);
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

static bool parse_number(const b2_option *option, const char *value, float *out) {
    bool plain = strchr("+-", value[0]) == NULL && value[strspn(value, "0123456789.eE+-")] == '\0';
    char *end;
    double x = strtod(value, &end);

    if (!plain || end == value || *end != '\0' || !(x >= option->least && x <= option->most)) {
        b2_complain("--%s: got '%s', expected a number from %g to %g", option->name, value,
                    option->least, option->most);
        return false;
    }
    *out = (float)x;
    return true;
}

static bool parse_choice(const b2_option *option, const char *value, uint32_t *out) {
    for (uint32_t i = 0; option->choices[i] != NULL; i++)
        if (strcmp(option->choices[i], value) == 0) {
            *out = i;
            return true;
        }
    b2_complain("--%s: got '%s'; %s", option->name, value, option->help);
    return false;
}

/* Put an option's value (NULL for a flag) into its field. */
static bool take(b2_settings *settings, const b2_option *option, const char *value) {
    void *field = (char *)settings + option->offset;

    switch (option->kind) {
    case B2_OPTION_FLAG:
        *(bool *)field = true;
        return true;
    case B2_OPTION_TEXT:
        *(const char **)field = value;
        return true;
    case B2_OPTION_COUNT:
        return parse_count(option, value, field);
    case B2_OPTION_NUMBER:
        return parse_number(option, value, field);
    case B2_OPTION_CHOICE:
        return parse_choice(option, value, field);
    }
    return false;
}

/* One word that starts with dashes, and the next one if it is its value. *used: words read. */
static bool parse_option(b2_settings *out, const b2_command *command, char **words, int count,
                         int *used) {
    const char *word = words[0];
    const char *name = word + 2; /* the empty string for "-x" */
    size_t length = strcspn(name, "=");
    const char *equals = name[length] == '=' ? name + length : NULL;
    const b2_option *option;

    *used = 1;
    if (strcmp(word, "-h") == 0) {
        out->help = true;
        return true;
    }
    option = word[1] == '-' ? find(command, name, length) : NULL;
    if (option == NULL) {
        b2_complain("%s: unknown option '%s'; see 'blip2 help %s'", command->name, word,
                    command->name);
        return false;
    }
    if (option->kind == B2_OPTION_FLAG && equals != NULL) {
        b2_complain("--%s takes no value", option->name);
        return false;
    }
    if (option->kind == B2_OPTION_FLAG || equals != NULL)
        return take(out, option, equals != NULL ? equals + 1 : NULL);
    if (count < 2) {
        b2_complain("--%s needs a value: --%s %s", option->name, option->name, option->argument);
        return false;
    }
    *used = 2;
    return take(out, option, words[1]);
}

bool b2_arguments_parse(b2_settings *out, const b2_command *command, int argc, char **argv) {
    bool options = true; /* until "--" */
    int used = 1;

    *out = b2_settings_default();
    out->operands = argv;
    for (int i = 0; i < argc; i += used) {
        used = 1;
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (!options || argv[i][0] != '-' || argv[i][1] == '\0')
            out->operands[out->operand_count++] = argv[i];
        else if (!parse_option(out, command, argv + i, argc - i, &used))
            return false;
    }
    return true;
}
