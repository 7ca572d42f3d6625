/* How a model's texts become ids: which files, and which tokens begin and end a text. */
#include "base/alloc.h"
#include "base/file.h"
#include "model/model.h"

/* Captions of the Q-Former begin and end with tokens that no configuration names. */
static void find_ends(blip2_model *model) {
    int32_t stop = b2_tokenizer_find(model->tokenizer, "[SEP]");

    model->writer.start = b2_tokenizer_find(model->tokenizer, "[DEC]");
    if (stop < 0 || model->writer.start < 0) {
        model->writer = (b2_writer){.start = -1};
        return;
    }
    model->config.stop_ids[0] = stop;
    model->config.stop_count = 1;
}

/* LAVIS's OPT ends a text with a new line, which is the byte "\n" in its vocabulary. */
static void find_new_line(blip2_model *model) {
    int32_t stop = b2_tokenizer_find(model->tokenizer, "\xc4\x8a");

    if (stop >= 0) {
        model->config.stop_ids[0] = stop;
        model->config.stop_count = 1;
    }
}

/* InstructBLIP's configuration of Vicuna has the ids of the first conversions of LLaMA, <s> 0 and
 * </s> 1; its vocabulary has those of later ones, and its texts end with that one's </s>. */
static void mend_ends(blip2_model *model) {
    b2_config *config = &model->config;
    int32_t stop = b2_tokenizer_find(model->tokenizer, "</s>");

    if (config->language == B2_LANGUAGE_LLAMA && config->bos == 0 && config->stop_count == 1 &&
        config->stop_ids[0] == 1 && stop > 1)
        config->stop_ids[config->stop_count++] = stop;
}

/* LAVIS takes </s> for the token that Vicuna's texts begin with, and SentencePiece itself to
 * decode. */
static void read_as_lavis(blip2_model *model) {
    int32_t end = b2_tokenizer_find(model->tokenizer, "</s>");

    if (end >= 0)
        b2_tokenizer_begin_with(model->tokenizer, end);
    b2_tokenizer_keep_characters(model->tokenizer);
}

/* A tokenizer must know no ids but those of the table of what reads them. */
static blip2_status check_vocabulary(const b2_tokenizer *tokenizer, const char *place,
                                     const char *reader, size_t words) {
    size_t vocab = b2_tokenizer_vocab(tokenizer);

    if (vocab > words)
        return b2_fail(BLIP2_EFORMAT, "%s: the tokenizer has ids up to %zu, the %s has %zu words",
                       place, vocab - 1, reader, words);
    return BLIP2_OK;
}

/* Of the language model. */
static blip2_status open_language(blip2_model *model) {
    const char *place = model->files.language != NULL ? model->files.language : model->directory;
    blip2_status status = b2_tokenizer_open(&model->tokenizer, place);

    if (status < 0 || (status = check_vocabulary(model->tokenizer, place, "language model",
                                                 model->writer.vocab)) < 0)
        return status;
    if (model->files.language != NULL && model->config.language == B2_LANGUAGE_OPT)
        find_new_line(model);
    if (model->files.language != NULL && model->config.language == B2_LANGUAGE_LLAMA)
        read_as_lavis(model);
    mend_ends(model);
    return BLIP2_OK;
}

/* Of a Q-Former: in a folder of Hugging Face's, or a LAVIS checkpoint's vocabulary. */
static blip2_status open_bert(b2_tokenizer **out, const blip2_model *model, const char *folder) {
    const b2_lavis_files *files = &model->files;
    blip2_status status;

    if (files->checkpoint != NULL && files->vocabulary == NULL)
        return b2_fail(BLIP2_EINVAL, "%s: the vocabulary of its texts is not named",
                       b2_model_place(model));
    status = files->vocabulary != NULL ? b2_tokenizer_open_bert(out, files->vocabulary)
                                       : b2_tokenizer_open(out, folder);
    return status < 0
               ? status
               : check_vocabulary(*out, files->vocabulary != NULL ? files->vocabulary : folder,
                                  "Q-Former", model->qformer.config.vocab);
}

/* Of a Q-Former that reads text alone. */
static blip2_status open_texts(blip2_model *model) {
    blip2_status status = open_bert(&model->tokenizer, model, model->directory);

    if (status < 0)
        return status;
    if (model->writer.kind == B2_WRITER_QFORMER)
        find_ends(model);
    return BLIP2_OK;
}

blip2_status b2_model_open_tokenizer(blip2_model *model) {
    if (model->config.language != B2_LANGUAGE_NONE)
        return open_language(model);
    return model->qformer.reads_text ? open_texts(model) : BLIP2_OK;
}

blip2_status b2_model_open_instructions(blip2_model *model) {
    char *folder;
    blip2_status status;

    if (!model->config.instructed)
        return BLIP2_OK;
    if (model->files.checkpoint != NULL)
        return open_bert(&model->instructions, model, NULL);
    folder = b2_path_join(model->directory, B2_INSTRUCTIONS);
    status = folder != NULL ? open_bert(&model->instructions, model, folder) : b2_fail_memory();
    b2_free(folder);
    return status;
}
