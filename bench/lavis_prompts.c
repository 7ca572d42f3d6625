#include "lavis_prompts.h"

#include <string.h>

#include "base/alloc.h"
#include "engine/generate_options.h"
#include "lists.h"
#include "load/lavis.h"

enum { MOST_OCR_TOKENS = 30 };

/* ---- texts --------------------------------------------------------------------------------- */

static size_t count_holes(const char *format) {
    size_t count = 0;

    while ((format = strstr(format, "{}")) != NULL) {
        count++;
        format += 2;
    }
    return count;
}

/* Each "{}" with one of the parts, in turn: Python's format. */
static char *fill(const char *format, const char *const parts[], size_t count) {
    b2_text_buffer text = {0};
    const char *hole;

    for (size_t i = 0; i < count && (hole = strstr(format, "{}")) != NULL; i++) {
        b2_text_appendf(&text, "%.*s%s", (int)(hole - format), format, parts[i]);
        format = hole + 2;
    }
    b2_text_appendf(&text, "%s", format);
    return b2_text_take(&text);
}

/* The words of row i, "a, b, c", or of choices "(a) a (b) b". */
static char *join(const json_t *rows, size_t i, bool choices) {
    const json_t *words = json_array_get(rows, i);
    size_t count = json_array_size(words);
    b2_text_buffer text = {0};

    if (!choices && count > MOST_OCR_TOKENS)
        count = MOST_OCR_TOKENS;
    for (size_t k = 0; k < count; k++) {
        const char *word = json_string_value(json_array_get(words, k));

        b2_text_appendf(&text, "%s", k == 0 ? "" : choices ? " " : ", ");
        if (choices)
            b2_text_appendf(&text, "(%c) ", (char)('a' + k));
        b2_text_appendf(&text, "%s", word != NULL ? word : "");
    }
    return b2_text_take(&text);
}

/* A text of predict_answers: the question in the format of the arguments, if there is one, beside
 * what was read in the picture, or the answers to choose from. */
static char *ask(const json_t *samples, const char *format, const char *question, size_t i) {
    const json_t *ocr = json_object_get(samples, "ocr_tokens");
    const json_t *choices = json_object_get(samples, "choices");
    char *words, *text;

    if (format == NULL || *format == '\0')
        return b2_strdup(question);
    if (count_holes(format) != 2 || (ocr == NULL && choices == NULL))
        return fill(format, &question, 1);
    if ((words = join(ocr != NULL ? ocr : choices, i, ocr == NULL)) == NULL)
        return NULL;
    text = fill(format,
                ocr != NULL ? (const char *const[]){words, question}
                            : (const char *const[]){question, words},
                2);
    b2_free(words);
    return text;
}

/* A text of generate: the sample's prompt, what was read in the picture in its place. */
static char *prompt(const json_t *samples, const char *text, size_t i) {
    const json_t *ocr = json_object_get(samples, "ocr_tokens");
    char *words, *out;

    if (ocr == NULL || count_holes(text) == 0)
        return b2_strdup(text);
    if ((words = join(ocr, i, false)) == NULL)
        return NULL;
    out = fill(text, &(const char *){words}, 1);
    b2_free(words);
    return out;
}

static const char *text_of(const json_t *value, size_t i) {
    return json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
}

/* own: the prompt of the model itself. */
static blip2_status make_texts(lavis_prompts *p, const golden_case *golden, const char *own) {
    static const char *const known[] = {"prompt", "text_input", "ocr_tokens", "choices", NULL};
    const json_t *samples = json_object_get(golden->inputs, "samples");
    const json_t *args = json_object_get(golden->inputs, "args");
    const char *method = json_string_value(json_object_get(golden->inputs, "method"));
    const char *format = json_string_value(json_object_get(args, "prompt"));
    bool questions = method != NULL && strcmp(method, "predict_answers") == 0;
    const json_t *texts = json_object_get(samples, questions ? "text_input" : "prompt");
    blip2_status status = golden_only(samples, "samples.", known);

    if (status < 0)
        return status;
    if (!questions && (method == NULL || strcmp(method, "generate") != 0))
        return b2_fail(BLIP2_ENOTSUP, "another method than generate and predict_answers");
    for (size_t i = 0; i < p->count; i++) {
        const char *text = texts != NULL ? text_of(texts, i) : own;

        if (text == NULL)
            return golden_bad(golden, "inputs.samples", "texts, one a picture", samples);
        p->texts[i] = questions ? ask(samples, format, text, i) : prompt(samples, text, i);
        if (p->texts[i] == NULL)
            return b2_fail_memory();
    }
    return BLIP2_OK;
}

/* ---- their ids ------------------------------------------------------------------------------ */

/* As the Q-Former reads them: of longer ones the first id and the last. */
static blip2_status encode_reads(const lavis_prompts *p, size_t i) {
    b2_tokens *ids = &p->reads[i];
    size_t limit = p->model->config.instruction, cut;
    blip2_status status =
        b2_tokenizer_encode(p->model->instructions, p->texts[i], strlen(p->texts[i]), true, ids);

    if (status < 0 || ids->count <= limit)
        return status;
    cut = ids->count - limit;
    memmove(ids->ids + 1, ids->ids + 1 + cut, (limit - 1) * sizeof *ids->ids);
    ids->count = limit;
    return BLIP2_OK;
}

static blip2_status encode(const lavis_prompts *p) {
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < p->count && status == BLIP2_OK; i++) {
        status = b2_tokenizer_encode(p->model->tokenizer, p->texts[i], strlen(p->texts[i]), true,
                                     &p->ids[i]);
        b2_request_cut_prompt(p->model, &p->ids[i], p->max_tokens);
        if (status == BLIP2_OK && p->model->instructions != NULL)
            status = encode_reads(p, i);
    }
    return status;
}

/* The model's own prompt. */
static blip2_status read_model(const lavis_prompts *p, char *prompt_out, size_t size) {
    b2_fields fields = {.section = "hyper."};
    b2_lavis model;
    blip2_status status = b2_lavis_open(&model, p->model->directory);

    if (status < 0)
        return status;
    fields.file = model.file;
    b2_field_text(&fields, json_object_get(model.json, "hyper"), "prompt", prompt_out, size);
    b2_lavis_close(&model);
    return fields.status;
}

/* Where the library cuts prompts, by LAVIS's rules. */
static blip2_status read_limit(lavis_prompts *p) {
    blip2_generate_options options;
    b2_generate_plan plan;
    blip2_status status;

    blip2_generate_options_init(&options, sizeof options);
    options.compat = BLIP2_COMPAT_LAVIS;
    status = b2_generate_plan_make(&plan, &options, p->model);
    p->max_tokens = plan.request.max_prompt_tokens;
    return status;
}

blip2_status lavis_prompts_make(lavis_prompts *out, const golden_case *golden,
                                const blip2_model *model, size_t count) {
    char own[256] = "";
    blip2_status status;

    *out = (lavis_prompts){.model = model, .count = count};
    if (model->config.language == B2_LANGUAGE_NONE || model->files.checkpoint == NULL)
        return b2_fail(BLIP2_ENOTSUP, "a model other than LAVIS's with a language model");
    out->texts = b2_calloc(count, sizeof *out->texts);
    out->ids = b2_calloc(count, sizeof *out->ids);
    out->reads = b2_calloc(count, sizeof *out->reads);
    if (out->texts == NULL || out->ids == NULL || out->reads == NULL)
        return b2_fail_memory();
    if ((status = read_limit(out)) < 0 || (status = read_model(out, own, sizeof own)) < 0 ||
        (status = make_texts(out, golden, own)) < 0)
        return status;
    return encode(out);
}

void lavis_prompts_free(lavis_prompts *p) {
    for (size_t i = 0; i < p->count; i++) {
        if (p->texts != NULL)
            b2_free(p->texts[i]);
        if (p->ids != NULL)
            b2_tokens_free(&p->ids[i]);
        if (p->reads != NULL)
            b2_tokens_free(&p->reads[i]);
    }
    b2_free(p->texts);
    b2_free(p->ids);
    b2_free(p->reads);
    *p = (lavis_prompts){0};
}

/* ---- as LAVIS had them ---------------------------------------------------------------------- */

typedef struct layout {
    const char *key;
    const b2_tokens *rows; /* [count] */
    uint32_t ones;         /* in front of a mask */
    bool mask, right;      /* padded on the right */
    int32_t pad;
} layout;

static blip2_status compare(const lavis_prompts *p, verdict *v, const layout *how) {
    size_t longest = 0;
    json_t *all;

    if (json_object_get(v->golden->expect, how->key) == NULL)
        return BLIP2_OK;
    all = json_array();
    for (size_t i = 0; i < p->count; i++)
        longest = how->rows[i].count > longest ? how->rows[i].count : longest;
    for (size_t i = 0; i < p->count; i++) {
        const b2_tokens *row = &how->rows[i];
        size_t first = how->right ? 0 : longest - row->count;
        json_t *list = json_array();

        for (size_t k = 0; k < how->ones; k++)
            list_add(&list, json_integer(1));
        for (size_t k = 0; k < longest; k++) {
            bool text = k >= first && k < first + row->count;

            list_add(&list, json_integer(how->mask ? text : text ? row->ids[k - first] : how->pad));
        }
        list_add(&all, list);
    }
    return verdict_value(v, how->key, all, NULL);
}

blip2_status lavis_prompts_compare(const lavis_prompts *p, verdict *v, uint32_t soft_count) {
    const blip2_model *model = p->model;
    bool llama = model->config.language == B2_LANGUAGE_LLAMA;
    int32_t pad = llama ? (int32_t)model->writer.vocab - 1 : model->config.pad;
    const layout layouts[] = {
        {"llm_prompt_ids", p->ids, 0, false, model->writer.reads, pad},
        {"llm_attention_mask", p->ids, soft_count, true, model->writer.reads, 0},
        {"qformer_input_ids", p->reads, 0, false, true, 0},
        {"qformer_text_mask", p->reads, 0, true, true, 0},
    };
    blip2_status status = BLIP2_OK;

    for (size_t i = 0; i < sizeof layouts / sizeof *layouts && status == BLIP2_OK; i++)
        status = compare(p, v, &layouts[i]);
    return status;
}
