/* The command line of every command: one table of options, one struct that they fill. */
#ifndef B2_ARGUMENTS_H
#define B2_ARGUMENTS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "console.h"

/* In the order of --head's choices. */
typedef enum b2_head { B2_HEAD_BOTH, B2_HEAD_ITM, B2_HEAD_ITC } b2_head;

/* In the order of --what's choices. */
typedef enum b2_what { B2_WHAT_ALL, B2_WHAT_HIDDEN, B2_WHAT_PROJECTED } b2_what;

typedef struct b2_list {
    const char **texts; /* [count] each time an option was given, in order */
    size_t count;
} b2_list;

typedef struct b2_settings {
    const char *model;  /* folder; NULL: the demo model */
    const char *device; /* NULL: the library's choice */
    const char *prompt; /* NULL: none; where questions are asked: with a {} */
    const char *text_file, *question_file, *context, *history, *caption; /* NULL: none */
    const char *out, *images, *split, *work;                             /* NULL: none */
    const char *checkpoint, *vit, *vocabulary, *language_model, *picture;
    uint32_t max_new_tokens, min_new_tokens, max_tokens, batch, threads, weights, compute, head,
        mode, what, best, beams, top, rerank, seed, map, layer, query, image_size, vit_layers,
        vit_heads, qformer_heads, top_k, sequences, no_repeat_ngram, logprobs, compat, image_cache,
        match_found, end, segments, max_prompt_tokens;
    uint32_t image_pixels[2]; /* height, width; 0: the checkpoint's */
    float repetition_penalty, temperature, top_p, min_p, typical_p,
        penalty_alpha;    /* 0: not given */
    float length_penalty; /* NAN: not given */
    bool json, quiet, verbose, help, version, no_clean, first_row, tokens, sample, stats,
        deterministic, half, ann, verbatim, video;
    b2_list texts, templates; /* each --text (or --label, --answer), each --template, in order */
    b2_list questions;
    b2_list bad_words, stops;
    char **operands; /* [operand_count] what is no option, in order; inside argv */
    size_t operand_count;
} b2_settings;

typedef struct b2_command {
    const char *name;
    unsigned bit; /* in b2_option.commands */
    const char *operands;
    const char *summary;     /* one line */
    const char *description; /* paragraphs */
    const char *examples;
    b2_exit_code (*run)(const b2_settings *settings);
} b2_command;

enum {
    B2_COMMAND_CAPTION = 1,
    B2_COMMAND_INFO = 2,
    B2_COMMAND_MATCH = 4,
    B2_COMMAND_FEATURES = 8,
    B2_COMMAND_RANK = 16,
    B2_COMMAND_RETRIEVE = 32,
    B2_COMMAND_LOSSES = 64,
    B2_COMMAND_CONVERT = 128,
    B2_COMMAND_EXPLAIN = 256,
    B2_COMMAND_CLASSIFY = 512,
    B2_COMMAND_INDEX = 1024,
    B2_COMMAND_SEARCH = 2048,
    B2_COMMAND_RANK_ANSWERS = 4096,
    B2_COMMAND_LOGITS = 8192,
    B2_COMMAND_ASK = 16384,
    B2_COMMAND_CHAT = 32768
};

#define B2_TOP_K_UNSET UINT32_MAX /* settings.top_k: not given */

typedef enum b2_option_kind {
    B2_OPTION_FLAG,   /* bool */
    B2_OPTION_TEXT,   /* const char * */
    B2_OPTION_TEXTS,  /* one more of a b2_list */
    B2_OPTION_COUNT,  /* uint32_t between least and most */
    B2_OPTION_NUMBER, /* float between least and most */
    B2_OPTION_CHOICE, /* uint32_t: index into choices */
    B2_OPTION_SIZE    /* uint32_t[2]: "HxW", or "N" for both, between least and most */
} b2_option_kind;

typedef struct b2_option {
    const char *name;     /* without the dashes */
    const char *argument; /* as help calls it; NULL for a flag */
    const char *help;
    unsigned commands; /* bits of those that take it */
    b2_option_kind kind;
    size_t offset; /* of its field in b2_settings */
    double least, most;
    const char *const *choices; /* NULL-terminated */
} b2_option;

/* All options, in the order of help; the last one has no name. */
extern const b2_option b2_options[];

/* The settings of a command line without options. */
b2_settings b2_settings_default(void);
/* Read argv [argc], the words after the command's name; they are reordered. False, after saying
 * what is wrong, for a bad line. *out is to be freed in any case. */
bool b2_arguments_parse(b2_settings *out, const b2_command *command, int argc, char **argv);
void b2_settings_free(b2_settings *settings);

#endif
