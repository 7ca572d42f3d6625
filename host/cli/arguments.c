#include "arguments.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

b2_settings b2_settings_default(void) {
    return (b2_settings){.batch = 8,
                         .top = 5,
                         .rerank = 128,
                         .sequences = 1,
                         .length_penalty = NAN,
                         .top_k = B2_TOP_K_UNSET};
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
    bool sign = value[0] == '+' || (value[0] == '-' && option->least >= 0.0);
    bool plain = !sign && value[strspn(value, "0123456789.eE+-")] == '\0';
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

static bool parse_size(const b2_option *option, const char *value, uint32_t out[2]) {
    char *end = NULL;
    unsigned long long height = strtoull(value, &end, 10), width = height;
    bool digits = *value >= '0' && *value <= '9';

    if (digits && *end == 'x') {
        digits = end[1] >= '0' && end[1] <= '9';
        width = strtoull(end + 1, &end, 10);
    }
    if (!digits || *end != '\0' || (double)height < option->least ||
        (double)height > option->most || (double)width < option->least ||
        (double)width > option->most) {
        b2_complain(
            "--%s: got '%s', expected height x width as in 364x224, or one number for both, "
            "from %.0f to %.0f",
            option->name, value, option->least, option->most);
        return false;
    }
    out[0] = (uint32_t)height;
    out[1] = (uint32_t)width;
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

static bool append(b2_list *list, const char *value) {
    const char **texts = b2_realloc_array(list->texts, list->count + 1, sizeof *texts);

    if (texts == NULL) {
        (void)b2_complain_status(b2_fail_memory());
        return false;
    }
    list->texts = texts;
    list->texts[list->count++] = value;
    return true;
}

/* Put an option's value (NULL for a flag) into its field. */
static bool take(b2_settings *settings, const b2_option *option, const char *value) {
    void *field = (char *)settings + option->offset;

    switch (option->kind) {
    case B2_OPTION_FLAG:
        *(bool *)field = true;
        return true;
    case B2_OPTION_TEXTS:
        return append(field, value);
    case B2_OPTION_TEXT:
        *(const char **)field = value;
        return true;
    case B2_OPTION_COUNT:
        return parse_count(option, value, field);
    case B2_OPTION_NUMBER:
        return parse_number(option, value, field);
    case B2_OPTION_CHOICE:
        return parse_choice(option, value, field);
    case B2_OPTION_SIZE:
        return parse_size(option, value, field);
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

void b2_settings_free(b2_settings *settings) {
    b2_list *const lists[] = {&settings->texts, &settings->templates, &settings->bad_words,
                              &settings->questions, &settings->stops};

    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        b2_free(lists[i]->texts);
        *lists[i] = (b2_list){0};
    }
}
