/* The table of options, by topic. */
#include "arguments.h"

#define CAPTION B2_COMMAND_CAPTION
#define INFO B2_COMMAND_INFO
#define MATCH B2_COMMAND_MATCH
#define FEATURES B2_COMMAND_FEATURES
#define RANK B2_COMMAND_RANK
#define LOSSES B2_COMMAND_LOSSES
#define EXPLAIN B2_COMMAND_EXPLAIN
#define INDEX B2_COMMAND_INDEX
#define SEARCH B2_COMMAND_SEARCH
#define ASK B2_COMMAND_ASK
#define CHAT B2_COMMAND_CHAT
#define WRITING (CAPTION | ASK | CHAT)
#define WITH_TEXTS (MATCH | FEATURES | RANK | LOSSES | EXPLAIN | SEARCH)
#define RETRIEVE B2_COMMAND_RETRIEVE
#define CLASSIFY B2_COMMAND_CLASSIFY
#define CONVERT B2_COMMAND_CONVERT
#define ANSWERS B2_COMMAND_RANK_ANSWERS
#define LOGITS B2_COMMAND_LOGITS
#define LIKELIHOODS (ANSWERS | LOGITS)
#define WITH_QUESTIONS (ASK | LIKELIHOODS)
#define WITH_MODEL (WRITING | WITH_TEXTS | RETRIEVE | CLASSIFY | INDEX | LIKELIHOODS)
#define WITH_BATCHES (WITH_MODEL & ~(unsigned)CHAT)
#define WITH_JSON (WITH_BATCHES & ~(unsigned)FEATURES)
#define RESUMED (RANK | RETRIEVE | FEATURES)

/* In the order of blip2_weight_type and blip2_compute. */
static const char *const weight_types[] = {"auto", "f32", "f16", "bf16", NULL};
static const char *const compute_types[] = {"auto", "f32", "tf32", "f16", "bf16", NULL};
static const char *const compats[] = {"auto", "hf", "lavis", NULL}; /* blip2_compat */
static const char *const heads[] = {"both", "itm", "itc", NULL};    /* b2_head */
static const char *const class_heads[] = {"itc", "itm", NULL};
static const char *const bests[] = {"texts", "pictures", NULL};           /* blip2_direction */
static const char *const modes[] = {"image", "text", "multimodal", NULL}; /* blip2_mode */
static const char *const whats[] = {"all", "hidden", "projected", NULL};  /* b2_what */

static const char *const ends[] = {"auto", "with", "without", NULL};  /* blip2_end_token */
static const char *const maps[] = {"auto", "mean", "contrast", NULL}; /* blip2_map */

/* clang-format off: a table is read by its columns */
#define FIELD(name) offsetof(b2_settings, name)
const b2_option b2_options[] = {
    {"model", "DIR", "checkpoint folder; default: $BLIP2_MODEL, or else the demo model", WITH_MODEL,
     B2_OPTION_TEXT, FIELD(model), 0, 0, NULL},
    {"prompt", "TEXT", "the text that the answer goes on from; default: none, a caption", CAPTION,
     B2_OPTION_TEXT, FIELD(prompt), 0, 0, NULL},
    {"question", "TEXT", "a question; may be given several times", WITH_QUESTIONS, B2_OPTION_TEXTS,
     FIELD(questions), 0, 0, NULL},
    {"questions", "FILE", "a file of questions, a line each; blank lines are left out",
     WITH_QUESTIONS, B2_OPTION_TEXT, FIELD(question_file), 0, 0, NULL},
    {"prompt", "TEMPLATE",
     "the prompt, {} where the question goes; default \"Question: {} Answer:\", with InstructBLIP "
     "the question alone",
     ASK, B2_OPTION_TEXT, FIELD(prompt), 0, 0, NULL},
    {"prompt", "TEXT",
     "the text that the answer goes on from, with a question {} where it goes; default: none, with "
     "a question that of 'blip2 ask'",
     LIKELIHOODS, B2_OPTION_TEXT, FIELD(prompt), 0, 0, NULL},
    {"context", "TEXT",
     "in front of the prompt: \"context: TEXT. \"; as LAVIS's predict_class has it", WITH_QUESTIONS,
     B2_OPTION_TEXT, FIELD(context), 0, 0, NULL},
    {"history", "TEXT", "in front of that: \"dialog history: TEXT\" and a new line", WITH_QUESTIONS,
     B2_OPTION_TEXT, FIELD(history), 0, 0, NULL},
    {"caption", "TEXT", "in front of that: \"This image has the caption \"TEXT\". \"",
     WITH_QUESTIONS, B2_OPTION_TEXT, FIELD(caption), 0, 0, NULL},
    {"video", NULL,
     "the pictures are the frames of one video, with InstructBLIP; those of a folder in the order "
     "of the numbers in their names",
     WRITING, B2_OPTION_FLAG, FIELD(video), 0, 0, NULL},
    {"no-clean", NULL,
     "questions as they are; otherwise in lower case and without some punctuation, as LAVIS's "
     "blip_question has them",
     WITH_QUESTIONS, B2_OPTION_FLAG, FIELD(no_clean), 0, 0, NULL},
    {"text", "TEXT", "a text; may be given several times", WITH_TEXTS | LOGITS, B2_OPTION_TEXTS,
     FIELD(texts), 0, 0, NULL},
    {"texts", "FILE", "a file of texts, a line each; blank lines are left out", WITH_TEXTS | LOGITS,
     B2_OPTION_TEXT, FIELD(text_file), 0, 0, NULL},
    {"label", "TEXT", "a class; may be given several times", CLASSIFY, B2_OPTION_TEXTS,
     FIELD(texts), 0, 0, NULL},
    {"labels", "FILE", "a file of classes, a line each; blank lines are left out", CLASSIFY,
     B2_OPTION_TEXT, FIELD(text_file), 0, 0, NULL},
    {"answer", "TEXT", "an answer; may be given several times", ANSWERS, B2_OPTION_TEXTS,
     FIELD(texts), 0, 0, NULL},
    {"answers", "FILE", "a file of answers, a line each; blank lines are left out", ANSWERS,
     B2_OPTION_TEXT, FIELD(text_file), 0, 0, NULL},
    {"top-logprobs", "N", "tell the best N tokens of each place too", LOGITS, B2_OPTION_COUNT,
     FIELD(logprobs), 1, 64, NULL},
    {"end", "NAME", "does the end token count: with, without, or auto (with T5); default auto",
     LIKELIHOODS, B2_OPTION_CHOICE, FIELD(end), 0, 0, ends},
    {"verbatim", NULL, "put no space between prompt and text, where tokens hold it (OPT)",
     LIKELIHOODS, B2_OPTION_FLAG, FIELD(verbatim), 0, 0, NULL},
    {"segments", "N", "LAVIS's n_segments, which changes losses of Vicuna; default 1", ANSWERS,
     B2_OPTION_COUNT, FIELD(segments), 1, 1000000, NULL},
    {"template", "TEXT",
     "the text of a class, {} where its name goes; may be given several times; default "
     "\"a photo of a {}.\"",
     CLASSIFY, B2_OPTION_TEXTS, FIELD(templates), 0, 0, NULL},
    {"no-clean", NULL,
     "texts as they are; otherwise in lower case and without some punctuation, as LAVIS's "
     "blip_caption has them",
     WITH_TEXTS | RETRIEVE | CLASSIFY, B2_OPTION_FLAG, FIELD(no_clean), 0, 0, NULL},
    {"head", "NAME", "itm (matching), itc (contrast) or both; default both", MATCH,
     B2_OPTION_CHOICE, FIELD(head), 0, 0, heads},
    {"head", "NAME", "itc (contrast) or itm (matching); default itc", CLASSIFY, B2_OPTION_CHOICE,
     FIELD(head), 0, 0, class_heads},
    {"best", "NAME", "texts (of every picture) or pictures (of every text); default texts", RANK,
     B2_OPTION_CHOICE, FIELD(best), 0, 0, bests},
    {"picture", "FILE", "a picture to find others that are like it", SEARCH, B2_OPTION_TEXT,
     FIELD(picture), 0, 0, NULL},
    {"top", "N", "how many of each are printed; default 5", RANK | CLASSIFY | SEARCH | ANSWERS,
     B2_OPTION_COUNT, FIELD(top), 1, 1000000000, NULL},
    {"rerank", "N", "how many of each, best by contrast, are matched too; 0: none; default 128",
     RANK | RETRIEVE, B2_OPTION_COUNT, FIELD(rerank), 0, 1000000000, NULL},
    {"rerank", "N",
     "how many pictures of each text, best by contrast, are opened again and matched; default 0: "
     "none",
     SEARCH, B2_OPTION_COUNT, FIELD(match_found), 0, 1000000000, NULL},
    {"ann", NULL, "approximate search by faiss, where this build has it; default: exact", SEARCH,
     B2_OPTION_FLAG, FIELD(ann), 0, 0, NULL},
    {"images", "DIR", "where the pictures are; default: beside the file", RETRIEVE, B2_OPTION_TEXT,
     FIELD(images), 0, 0, NULL},
    {"split", "NAME", "pictures of this split only; default test", RETRIEVE, B2_OPTION_TEXT,
     FIELD(split), 0, 0, NULL},
    {"seed", "N", "of the hard negatives that are drawn; default 0", LOSSES, B2_OPTION_COUNT,
     FIELD(seed), 0, 4294967295.0, NULL},
    {"mode", "NAME",
     "image (pictures), text (texts) or multimodal (every picture read with every text); default "
     "image",
     FEATURES, B2_OPTION_CHOICE, FIELD(mode), 0, 0, modes},
    {"out", "FILE", "the file to write, .npy or .safetensors", FEATURES, B2_OPTION_TEXT, FIELD(out),
     0, 0, NULL},
    {"out", "DIR", "the folder to write; it must not exist, or be empty", CONVERT, B2_OPTION_TEXT,
     FIELD(out), 0, 0, NULL},
    {"checkpoint", "FILE", "LAVIS's file of the Q-Former, where no folder is named", CONVERT,
     B2_OPTION_TEXT, FIELD(checkpoint), 0, 0, NULL},
    {"vit", "FILE", "its vision tower; default: the checkpoint has it", CONVERT, B2_OPTION_TEXT,
     FIELD(vit), 0, 0, NULL},
    {"vocab", "FILE", "BERT's vocab.txt; stage 1 and InstructBLIP need it", CONVERT, B2_OPTION_TEXT,
     FIELD(vocabulary), 0, 0, NULL},
    {"language-model", "DIR", "the folder of its language model; default: none, stage 1", CONVERT,
     B2_OPTION_TEXT, FIELD(language_model), 0, 0, NULL},
    {"image-size", "N", "side of its pictures; default: that of the position table", CONVERT,
     B2_OPTION_COUNT, FIELD(image_size), 1, 8192, NULL},
    {"vit-layers", "N", "layers of its vision tower; default: those of the file, at most 39 of EVA",
     CONVERT, B2_OPTION_COUNT, FIELD(vit_layers), 1, 1024, NULL},
    {"vit-heads", "N", "attention heads of its vision tower; default: heads of 88 (EVA), 64 (CLIP)",
     CONVERT, B2_OPTION_COUNT, FIELD(vit_heads), 1, 1024, NULL},
    {"qformer-heads", "N", "attention heads of its Q-Former; default: heads of 64", CONVERT,
     B2_OPTION_COUNT, FIELD(qformer_heads), 1, 1024, NULL},
    {"out", "FILE", "the PNG to write; several get numbers in front of the ending", EXPLAIN,
     B2_OPTION_TEXT, FIELD(out), 0, 0, NULL},
    {"map", "NAME",
     "mean (attention of the queries), contrast (the same, where contrast finds the text) or auto "
     "(contrast if it can be); default auto",
     EXPLAIN, B2_OPTION_CHOICE, FIELD(map), 0, 0, maps},
    {"layer", "N", "only layer N of those that read the picture; default: their mean", EXPLAIN,
     B2_OPTION_COUNT, FIELD(layer), 1, 1000000, NULL},
    {"query", "N", "only query N; default: the mean of all", EXPLAIN, B2_OPTION_COUNT, FIELD(query),
     1, 1000000, NULL},
    {"tokens", NULL,
     "the text, or else the caption that the model writes, token by token: a map for each", EXPLAIN,
     B2_OPTION_FLAG, FIELD(tokens), 0, 0, NULL},
    {"out", "FILE", "the index to write, or to bring up to date", INDEX, B2_OPTION_TEXT, FIELD(out),
     0, 0, NULL},
    {"half", NULL, "vectors in 16 bits: half the size", INDEX, B2_OPTION_FLAG, FIELD(half), 0, 0,
     NULL},
    {"what", "NAME",
     "hidden (last hidden states), projected (unit vectors for comparing) or all; default all; "
     ".npy holds one: projected ones unless asked otherwise",
     FEATURES, B2_OPTION_CHOICE, FIELD(what), 0, 0, whats},
    {"first-row", NULL, "only the first row of each: all that counts of a projected text", FEATURES,
     B2_OPTION_FLAG, FIELD(first_row), 0, 0, NULL},
    {"max-new-tokens", "N", "longest answer, end token included; default 30", CAPTION | CHAT,
     B2_OPTION_COUNT, FIELD(max_new_tokens), 1, 100000, NULL},
    {"max-new-tokens", "N", "longest answer, end token included; default 10, with Vicuna 9", ASK,
     B2_OPTION_COUNT, FIELD(max_new_tokens), 1, 100000, NULL},
    {"min-new-tokens", "N", "no end token before so many tokens; default 0", WRITING,
     B2_OPTION_COUNT, FIELD(min_new_tokens), 0, 100000, NULL},
    {"repetition-penalty", "X", "above 1: tokens already used become less likely; default 1",
     CAPTION | CHAT, B2_OPTION_NUMBER, FIELD(repetition_penalty), 0.01, 100, NULL},
    {"repetition-penalty", "X",
     "above 1: tokens already used become less likely; default 1, with InstructBLIP 1.5", ASK,
     B2_OPTION_NUMBER, FIELD(repetition_penalty), 0.01, 100, NULL},
    {"beams", "N", "beam search: the best text of N that are followed; default 1, greedy",
     CAPTION | CHAT, B2_OPTION_COUNT, FIELD(beams), 1, 16, NULL},
    {"beams", "N",
     "beam search: the best text of N that are followed; 1: greedy; default 5, with --sample 1",
     ASK, B2_OPTION_COUNT, FIELD(beams), 1, 16, NULL},
    {"length-penalty", "X",
     "with --beams: scores are divided by length ^ X; default 1; below 0 for short texts",
     CAPTION | CHAT, B2_OPTION_NUMBER, FIELD(length_penalty), -100, 100, NULL},
    {"length-penalty", "X",
     "with --beams: scores are divided by length ^ X; below 0 for short texts; default -1 with T5, "
     "else 0",
     ASK, B2_OPTION_NUMBER, FIELD(length_penalty), -100, 100, NULL},
    {"compat", "NAME",
     "hf or lavis: whose rules hold where transformers 5 and LAVIS differ; default auto: LAVIS's "
     "for "
     "captions by the Q-Former",
     CAPTION | CHAT | LIKELIHOODS, B2_OPTION_CHOICE, FIELD(compat), 0, 0, compats},
    {"compat", "NAME",
     "hf or lavis: whose rules hold where transformers 5 and LAVIS differ; default auto: LAVIS's",
     ASK, B2_OPTION_CHOICE, FIELD(compat), 0, 0, compats},
    {"max-prompt-tokens", "N",
     "longer prompts are cut to their first N tokens; default: not, with --compat lavis those of "
     "OPT "
     "at 32, as LAVIS does",
     CAPTION | ASK, B2_OPTION_COUNT, FIELD(max_prompt_tokens), 1, 1000000, NULL},
    {"sample", NULL,
     "draw tokens by their probabilities; with --beams, LAVIS's use_nucleus_sampling", WRITING,
     B2_OPTION_FLAG, FIELD(sample), 0, 0, NULL},
    {"temperature", "X", "with --sample: below 1 likely tokens become likelier; default 1", WRITING,
     B2_OPTION_NUMBER, FIELD(temperature), 0.001, 1000, NULL},
    {"top-k", "N",
     "with --sample: of the N likeliest only; 0: of all; default 50. With --penalty-alpha: "
     "candidates",
     WRITING, B2_OPTION_COUNT, FIELD(top_k), 0, 1000000000, NULL},
    {"top-p", "P", "... of the likeliest that hold P together; default 1", WRITING,
     B2_OPTION_NUMBER, FIELD(top_p), 0.000001, 1, NULL},
    {"min-p", "P", "... of those with at least P of the likeliest one's probability; default 0",
     WRITING, B2_OPTION_NUMBER, FIELD(min_p), 0, 1, NULL},
    {"typical-p", "P", "... of the most typical that hold P together; default 1", WRITING,
     B2_OPTION_NUMBER, FIELD(typical_p), 0.000001, 1, NULL},
    {"seed", "N", "with --sample: the same gives the same texts; default 0", WRITING,
     B2_OPTION_COUNT, FIELD(seed), 0, 4294967295.0, NULL},
    {"penalty-alpha", "A",
     "contrastive search: of the --top-k likeliest tokens the one that is unlike what was written "
     "before, which counts A, likelihood 1 - A; 0.6 with --top-k 4 is usual",
     WRITING, B2_OPTION_NUMBER, FIELD(penalty_alpha), 0.000001, 1, NULL},
    {"sequences", "N", "texts of each picture, with --sample or --beams; default 1", CAPTION | ASK,
     B2_OPTION_COUNT, FIELD(sequences), 1, 1024, NULL},
    {"no-repeat-ngram", "N",
     "no N tokens in a row come twice, in prompt and text; default: they may", WRITING,
     B2_OPTION_COUNT, FIELD(no_repeat_ngram), 1, 100000, NULL},
    {"bad-word", "TEXT", "never written; may be given several times", WRITING, B2_OPTION_TEXTS,
     FIELD(bad_words), 0, 0, NULL},
    {"stop", "TEXT", "a text ends when it holds this; may be given several times", WRITING,
     B2_OPTION_TEXTS, FIELD(stops), 0, 0, NULL},
    {"logprobs", "N",
     "with --json: log-probabilities of each token, and of the best N at its place", CAPTION | ASK,
     B2_OPTION_COUNT, FIELD(logprobs), 1, 64, NULL},
    {"max-tokens", "N",
     "room for picture, prompt and answer together; default 256, or less "
     "where the model ends earlier",
     WRITING | LIKELIHOODS, B2_OPTION_COUNT, FIELD(max_tokens), 1, 1000000, NULL},
    {"work", "DIR",
     "a folder, made if it is not there, that keeps what is finished: the same command goes on "
     "from "
     "it",
     RESUMED, B2_OPTION_TEXT, FIELD(work), 0, 0, NULL},
    {"image-cache", "MIB",
     "memory for pictures that are kept encoded; default 64, at least as many as --batch",
     WITH_BATCHES, B2_OPTION_COUNT, FIELD(image_cache), 1, 16777216, NULL},
    {"batch", "N", "pictures (or pairs) worked on at the same time; default 8", WITH_BATCHES,
     B2_OPTION_COUNT, FIELD(batch), 1, 4096, NULL},
    {"threads", "N", "processor threads; default: all cores this process may use", WITH_MODEL,
     B2_OPTION_COUNT, FIELD(threads), 1, 1024, NULL},
    {"device", "NAME",
     "where to compute: auto (a GPU where one works, else the CPU), cpu, cuda, or cuda:N for GPU "
     "number N; default auto",
     WITH_MODEL, B2_OPTION_TEXT, FIELD(device), 0, 0, NULL},
    {"compute", "TYPE",
     "type of activations: auto (f32 on the CPU, f16 on a GPU), f32, or on a GPU tf32, f16, bf16; "
     "default auto",
     WITH_MODEL, B2_OPTION_CHOICE, FIELD(compute), 0, 0, compute_types},
    {"deterministic", NULL,
     "the bits of an answer do not depend on what else is computed with it; always so on the CPU, "
     "at a cost in speed on a GPU",
     WITH_MODEL, B2_OPTION_FLAG, FIELD(deterministic), 0, 0, NULL},
    {"weights", "TYPE", "how weights are kept: auto (as stored), f32, f16, bf16; default auto",
     WITH_MODEL, B2_OPTION_CHOICE, FIELD(weights), 0, 0, weight_types},
    {"weights", "TYPE",
     "type of the matrices that are written: auto (as stored), f32, f16, bf16; default auto",
     CONVERT, B2_OPTION_CHOICE, FIELD(weights), 0, 0, weight_types},
    {"image-size", "HxW",
     "pixels that pictures are resized to, multiples of the model's patches: its positions are "
     "interpolated; default: the checkpoint's size",
     WITH_MODEL, B2_OPTION_SIZE, FIELD(image_pixels), 1, 8192, NULL},
    {"json", NULL, "JSON for scripts", WITH_JSON | INFO, B2_OPTION_FLAG, FIELD(json), 0, 0, NULL},
    {"stats", NULL, "say at the end what was computed and what was found in the picture cache",
     WITH_MODEL, B2_OPTION_FLAG, FIELD(stats), 0, 0, NULL},
    {"quiet", NULL, "no warnings and no progress; errors only", WITH_MODEL | CONVERT,
     B2_OPTION_FLAG, FIELD(quiet), 0, 0, NULL},
    {"verbose", NULL, "say what is loaded, and every warning", WITH_MODEL | CONVERT, B2_OPTION_FLAG,
     FIELD(verbose), 0, 0, NULL},
    {"help", NULL, "this text", WITH_MODEL | CONVERT | INFO, B2_OPTION_FLAG, FIELD(help), 0, 0,
     NULL},
    {"version", NULL, "print the version", WITH_MODEL | CONVERT | INFO, B2_OPTION_FLAG,
     FIELD(version), 0, 0, NULL},
    {NULL, NULL, NULL, 0, B2_OPTION_FLAG, 0, 0, 0, NULL},
};
/* clang-format on */
