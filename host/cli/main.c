/* blip2: the program. Each command is a row of the table below and a file beside this one. */
#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "build_index.h"
#include "caption.h"
#include "chat.h"
#include "classify.h"
#include "convert.h"
#include "explain.h"
#include "help.h"
#include "info.h"
#include "likelihoods.h"
#include "losses.h"
#include "match.h"
#include "rank.h"
#include "retrieve.h"
#include "search.h"
#include "write_features.h"

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
    {"ask", B2_COMMAND_ASK, "PICTURE... --question TEXT", "Answer questions about pictures",
     "Every picture is asked every question, as LAVIS's predict_answers does: the question is\n"
     "cleaned and put into a prompt, and the best of 5 beams is the answer, 10 tokens at most. A\n"
     "picture is encoded once for all questions. PICTURE is as with 'blip2 caption'; a line is\n"
     "'name: question answer', without the name where one picture is meant, without the question\n"
     "where one is asked. With --json a line is {\"file\", \"question\", \"answer\", "
     "\"prompt\", \"tokens\",\n\"score\"}, or {\"file\", \"error\"}.\n",
     "  blip2 ask picture.png --question \"how many shapes are there?\"\n"
     "  blip2 ask --video frames/ --question \"what happens?\" --model instructblip\n"
     "  blip2 ask photos/ --questions questions.txt --json > answers.jsonl\n"
     "  blip2 ask picture.png --prompt \"Question: {} Short answer:\" --question \"is it red?\"\n",
     b2_ask_run},
    {"chat", B2_COMMAND_CHAT, "PICTURE", "Talk about a picture",
     "Each line of standard input is a question, and the conversation so far is part of its "
     "prompt:\n"
     "\"Question: ... Answer: .... Question: ... Answer:\". Answers are printed as they come. "
     "Where\n"
     "there is no room for the whole conversation the oldest turns leave it, which is told.\n"
     "  /picture FILE  go on with another picture, from the beginning\n"
     "  /reset         forget what has been said\n"
     "  /quit          end, as the end of the input does\n"
     "Ctrl-C stops an answer.\n",
     "  blip2 chat picture.png\n"
     "  printf 'is there a ring?\\nwhat colour is the ring?\\n' | blip2 chat picture.png\n",
     b2_chat_run},
    {"match", B2_COMMAND_MATCH, "PICTURE... --text TEXT", "Say how well pictures and texts match",
     "Every picture is scored with every text: 'itm', the probability that they match (and its "
     "two\n"
     "logits, no and yes), and 'itc', the cosine of the text and the best query of the picture.\n"
     "PICTURE is as with 'blip2 caption'; each picture gives a line a text, in the order of the\n"
     "texts. With --json a pair gives {\"file\", \"text\", \"itm\", \"itm_logits\", \"itc\"}, a "
     "picture that\ncannot be read {\"file\", \"error\"}. A score whose head the checkpoint lacks "
     "is left out.\n",
     "  blip2 match picture.png --text \"a big red star\" --text \"a small blue ring\"\n"
     "  blip2 match photos/ --texts captions.txt --json > scores.jsonl\n",
     b2_match_run},
    {"rank", B2_COMMAND_RANK, "PICTURE... --text TEXT",
     "Put texts in order for every picture, or pictures for every text",
     "All pairs are compared by contrast (itc), the best of every picture (or text) are matched "
     "too\n"
     "(itm) and put in order by their score: logit of a match + itc, as LAVIS's retrieval does. "
     "The\n"
     "others follow, by contrast. PICTURE and texts are as with 'blip2 match'. With --work the "
     "job\n"
     "can be stopped (Ctrl-C) and goes on from there. With --json a line is {\"rank\", \"file\",\n"
     "\"text\", \"itc\"} and, where it was matched, \"score\".\n",
     "  blip2 rank picture.png --texts captions.txt\n"
     "  blip2 rank photos/ --best pictures --text \"a big red star\" --top 3\n",
     b2_rank_run},
    {"rank-answers", B2_COMMAND_RANK_ANSWERS, "PICTURE... --prompt TEXT --answer TEXT",
     "Put given answers in order by how likely they are",
     "The language model reads each picture and the prompt once and says how likely each answer "
     "goes\n"
     "on from there, as LAVIS's predict_class does. 'logprob' is the sum of the log-probabilities "
     "of\n"
     "the answer's tokens, 'loss' what LAVIS ranks by. PICTURE is as with 'blip2 caption'; a "
     "picture\n"
     "gives its --top answers, best first. With --json it gives {\"file\", \"prompt\", "
     "\"answers\":\n[{\"rank\", \"answer\", \"logprob\", \"loss\", \"tokens\"}]}.\n",
     "  blip2 rank-answers picture.png --question \"what colour is it?\" \\\n"
     "      --answer red --answer blue\n"
     "  blip2 rank-answers photos/ --answers captions.txt --top 1 --json\n",
     b2_rank_answers_run},
    {"logits", B2_COMMAND_LOGITS, "PICTURE... --text TEXT",
     "Say how likely a text is, token by token",
     "The text is given to the language model behind picture and prompt. Each of its tokens gives "
     "a\n"
     "line: id, log-probability and what it says; the last line is their sum. With --json a text "
     "gives\n"
     "{\"file\", \"prompt\", \"text\", \"logprob\", \"tokens\": [{\"token\", \"text\", "
     "\"logprob\", \"top\"}]}.\n",
     "  blip2 logits picture.png --text \"a small red ring\"\n"
     "  blip2 logits picture.png --prompt \"Question: what colour is it? Answer:\" --text red "
     "\\\n      --top-logprobs 5 --json\n",
     b2_logits_run},
    {"retrieve", B2_COMMAND_RETRIEVE, "FILE",
     "Measure how often pictures and their captions find each other",
     "FILE holds the captions of pictures: COCO or Flickr in Karpathy's split\n"
     "({\"images\": [{\"filename\", \"filepath\", \"split\", \"sentences\": [{\"raw\"}]}]}), or a "
     "list\n"
     "as LAVIS has it ([{\"image\", \"caption\"}], which has no split). All pairs are compared as\n"
     "'blip2 rank' does, and R@1, R@5 and R@10 printed for both directions; with --json one "
     "object\n"
     "with LAVIS's names. A picture that cannot be read is told and left out, with its captions; "
     "the\n"
     "exit code is 2 then.\n",
     "  blip2 retrieve dataset_flickr30k.json --images flickr30k-images\n"
     "  blip2 retrieve coco_karpathy_test.json --images coco --rerank 128 --json\n",
     b2_retrieve_run},
    {"classify", B2_COMMAND_CLASSIFY, "PICTURE... --label TEXT",
     "Say which of a list of classes pictures show",
     "A class's name is put into every --template; its vector is the mean of those texts' vectors. "
     "The\n"
     "probabilities are the softmax over the classes of the contrast over the checkpoint's\n"
     "temperature, or with --head itm of the logits of a match. PICTURE is as with 'blip2 "
     "caption'; the\n"
     "--top most likely classes are printed, a line each. With --json a picture gives {\"file\",\n"
     "\"labels\": [{\"label\", \"probability\", \"score\"}]}.\n",
     "  blip2 classify picture.png --label ring --label star --label square\n"
     "  blip2 classify photos/ --labels classes.txt --template \"a photo of a {}.\" --top 1 "
     "--json\n",
     b2_classify_run},
    {"losses", B2_COMMAND_LOSSES, "PICTURE... --texts FILE",
     "Compute stage 1's losses of a batch of pictures and their texts",
     "The first text belongs to the first picture, and so on; there are as many. Printed are the\n"
     "losses of contrast (itc), matching with hard negatives (itm) and of the texts as captions\n"
     "(itg), and their sum. It takes a checkpoint of LAVIS's stage 1, or one with all its heads.\n",
     "  blip2 losses a.png b.png --text \"a red star\" --text \"a blue ring\"\n", b2_losses_run},
    {"features", B2_COMMAND_FEATURES, "[PICTURE...] --out FILE",
     "Write what the model makes of pictures and texts as matrices",
     "PICTURE is as with 'blip2 caption', texts are as with 'blip2 match'. A .safetensors file "
     "holds\n"
     "'hidden' and 'projected' [inputs, rows, columns], or where texts differ in length "
     "'hidden.0'\n"
     "[rows, columns], 'hidden.1' and so on, and in its metadata 'names', the inputs' names as a "
     "JSON\nlist. A .npy file holds one array [inputs, rows, columns]; the names are in FILE.json. "
     "The file\nappears when it is complete. A picture that cannot be read is told and left out; "
     "the exit code\nis 2 then.\n",
     "  blip2 features photos/ --out photos.safetensors\n"
     "  blip2 features --mode text --texts captions.txt --first-row --out captions.npy\n"
     "  blip2 features picture.png --mode multimodal --text \"a red star\" --out pair.npy\n",
     b2_features_run},
    {"convert", B2_COMMAND_CONVERT, "[DIR] --out DIR",
     "Write any checkpoint as one folder of safetensors",
     "DIR is a folder of Hugging Face's, or of LAVIS's with a model.json. LAVIS's files can also "
     "be\nnamed one by one, with --checkpoint. Tensors that no task uses are left out. The folder "
     "is "
     "there\nwhen it is complete, and opens by mapping its files.\n",
     "  blip2 convert downloads/blip2-itm-vit-g --out itm\n"
     "  blip2 convert --checkpoint blip2_pretrained.pth --vit eva_vit_g.pth \\\n"
     "      --vocab vocab.txt --out pretrain\n"
     "  blip2 convert --checkpoint blip2_pretrained_opt2.7b.pth --vit eva_vit_g.pth \\\n"
     "      --language-model opt-2.7b --weights f16 --out opt2.7b\n"
     "  blip2 convert --checkpoint instruct_blip_vicuna7b_trimmed.pth --vit eva_vit_g.pth \\\n"
     "      --vocab vocab.txt --language-model vicuna-7b-v1.1 --out instruct\n",
     b2_convert_run},
    {"explain", B2_COMMAND_EXPLAIN, "PICTURE... --out FILE",
     "Paint where the model looks in a picture for a text",
     "A heat map over the picture, as a PNG of its size: how much the Q-Former's queries attend "
     "to\n"
     "each patch when they read the picture with the text. By default a patch counts as far as\n"
     "contrast finds the text there. Without a text it is what the queries read anyway. With "
     "--tokens\nthere is a map for each token of a caption too. PICTURE and texts are as with "
     "'blip2 "
     "match'.\nPrinted is where each map's peak is, in pixels; with --json {\"file\", \"text\", "
     "\"itm\", \"itc\",\n\"out\", \"peak\": [x, y]} and, with --tokens, \"tokens\": [{\"token\", "
     "\"out\", \"peak\"}].\n",
     "  blip2 explain picture.png --text \"red circle\" --out heat.png\n"
     "  blip2 explain picture.png --tokens --out tokens.png\n",
     b2_explain_run},
    {"index", B2_COMMAND_INDEX, "PICTURE... --out FILE",
     "Embed pictures into one file, in which 'blip2 search' finds them",
     "PICTURE is as with 'blip2 caption', and paths are kept as they are given. If FILE is an "
     "index\n"
     "already, it is brought up to date: pictures that have not changed (size and time of the "
     "file, "
     "or\n"
     "else the pixels) are not embedded again, and those that are not named any more leave it. A "
     "run\n"
     "that was stopped leaves FILE.part1 and so on, and the next one goes on from there. A picture "
     "that\n"
     "cannot be read is told and left out; the exit code is 2 then. With --json the summary is "
     "one\n"
     "object: {\"index\", \"pictures\", \"embedded\", \"kept\", \"removed\", \"unreadable\"}.\n",
     "  blip2 index photos/ --out photos.index\n", b2_index_run},
    {"search", B2_COMMAND_SEARCH, "INDEX --text TEXT",
     "Find the pictures of an index that fit a text, or a picture",
     "The pictures of INDEX nearest to each text (or to --picture), by contrast (itc): the cosine "
     "of\n"
     "the text and the best of a picture's vectors, all of them compared. With --rerank N the "
     "first "
     "N\n"
     "are opened again, matched and put in order by their score, as 'blip2 rank' has it; one that "
     "has\n"
     "gone or changed is told and keeps its place. Lines are those of 'blip2 rank'.\n",
     "  blip2 search photos.index --text \"a big red star\" --top 3\n"
     "  blip2 search photos.index --texts captions.txt --rerank 16 --json\n"
     "  blip2 search photos.index --picture star.png\n",
     b2_search_run},
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

static b2_exit_code run_command(const b2_command *command, int argc, char **argv) {
    b2_settings settings;
    b2_exit_code code = B2_EXIT_BAD_INPUT;

    if (b2_arguments_parse(&settings, command, argc, argv)) {
        if (settings.help) {
            b2_help_command(command);
            code = B2_EXIT_OK;
        } else {
            code = settings.version ? version() : command->run(&settings);
        }
    }
    b2_settings_free(&settings);
    return code;
}

static b2_exit_code run(int argc, char **argv) {
    const b2_command *command;

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
    command = find_command(argv[1]);
    return command != NULL ? run_command(command, argc - 2, argv + 2) : B2_EXIT_BAD_INPUT;
}

int main(int argc, char **argv) {
    return (int)b2_close_output(run(argc, argv));
}
