#include "generate_args.h"

#include "base/alloc.h"

static blip2_status read_counts(generate_args *out, const golden_case *golden, const json_t *args) {
    b2_fields fields = golden_fields(golden, "inputs.generate_args.");
    b2_request_options *r = &out->request;

    b2_field_u32(&fields, args, "max_new_tokens", 1, 1 << 16, &r->max_new_tokens);
    b2_field_u32(&fields, args, "min_new_tokens", 0, 1 << 16, &r->min_new_tokens);
    b2_field_u32(&fields, args, "num_beams", 1, 1024, &out->beams);
    b2_field_u32(&fields, args, "num_return_sequences", 1, 1024, &out->answers);
    b2_field_u32(&fields, args, "min_length", 0, 1 << 16, &out->min_length);
    b2_field_u32(&fields, args, "max_length", 2, 1 << 16, &out->max_length);
    b2_field_u32(&fields, args, "no_repeat_ngram_size", 0, 1 << 16, &r->no_repeat_ngram);
    b2_field_f32(&fields, args, "length_penalty", -1e3, 1e3, &r->length_penalty);
    b2_field_f32(&fields, args, "repetition_penalty", 1e-6, 1e6, &r->repetition_penalty);
    if (fields.status == BLIP2_OK && (r->max_new_tokens == 0) == (out->max_length == 0))
        b2_field_fail(&fields, "max_new_tokens", "a number, or max_length", NULL);
    return golden_check(&fields);
}

static blip2_status read_sampling(generate_args *out, const golden_case *golden,
                                  const json_t *args) {
    static const char *const without[] = {"temperature", "top_p", "min_p", "typical_p", "seed"};
    b2_fields fields = golden_fields(golden, "inputs.generate_args.");
    b2_warpers *w = &out->request.warpers;
    uint32_t seed = 0;
    blip2_status status;

    *w = (b2_warpers){.temperature = 1.0f, .top_k = 50, .top_p = 1.0f, .typical_p = 1.0f};
    b2_field_bool(&fields, args, "do_sample", &out->request.sample);
    for (size_t i = 0; i < sizeof without / sizeof *without && !out->request.sample; i++)
        if (json_object_get(args, without[i]) != NULL)
            return b2_fail(BLIP2_ENOTSUP, "generate_args.%s without do_sample", without[i]);
    if (!out->request.sample && json_object_get(args, "top_k") != NULL &&
        json_object_get(args, "penalty_alpha") == NULL)
        return b2_fail(BLIP2_ENOTSUP, "generate_args.top_k without do_sample or penalty_alpha");
    if (out->request.sample && json_object_get(args, "seed") == NULL)
        return b2_fail(BLIP2_ENOTSUP, "do_sample without a seed");
    b2_field_f32(&fields, args, "temperature", 1e-6, 1e6, &w->temperature);
    b2_field_u32(&fields, args, "top_k", 0, 1 << 24, &w->top_k);
    b2_field_f32(&fields, args, "penalty_alpha", 0.0, 1.0, &out->request.penalty_alpha);
    b2_field_f32(&fields, args, "top_p", 0.0, 1.0, &w->top_p);
    b2_field_f32(&fields, args, "min_p", 0.0, 1.0, &w->min_p);
    b2_field_f32(&fields, args, "typical_p", 0.0, 1.0, &w->typical_p);
    b2_field_u32(&fields, args, "seed", 0, UINT32_MAX, &seed);
    out->request.seed = seed;
    out->request.candidates = w->top_k;
    if (w->top_k < 2)
        out->request.penalty_alpha = 0.0f;
    if ((status = golden_check(&fields)) == BLIP2_OK && out->request.sample && out->answers > 1 &&
        out->beams == 1)
        status = b2_fail(BLIP2_ENOTSUP, "several texts drawn without beams");
    return status;
}

static blip2_status read_bad_words(generate_args *out, const golden_case *golden,
                                   const json_t *lists) {
    size_t words = json_array_size(lists), ids = 0;

    if (lists == NULL)
        return BLIP2_OK;
    for (size_t w = 0; w < words; w++)
        ids += json_array_size(json_array_get(lists, w));
    out->bad_ids = b2_alloc_array(ids, sizeof *out->bad_ids);
    out->bad_ends = b2_alloc_array(words, sizeof *out->bad_ends);
    if (out->bad_ids == NULL || out->bad_ends == NULL)
        return b2_fail_memory();
    ids = 0;
    for (size_t w = 0; w < words; w++) {
        const json_t *list = json_array_get(lists, w);

        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *id = json_array_get(list, i);

            if (!json_is_integer(id) || json_integer_value(id) < 0 ||
                json_integer_value(id) > B2_MAX_TOKEN)
                return golden_bad(golden, "inputs.generate_args.bad_words_ids", "lists of ids", id);
            out->bad_ids[ids++] = (int32_t)json_integer_value(id);
        }
        out->bad_ends[w] = (uint32_t)ids;
    }
    out->bad_words = (b2_id_lists){out->bad_ids, out->bad_ends, (uint32_t)words};
    out->request.bad_ids = &out->bad_words;
    return BLIP2_OK;
}

static blip2_status read_stop_strings(generate_args *out, const golden_case *golden,
                                      const json_t *list) {
    size_t count = json_array_size(list);

    if (list == NULL)
        return BLIP2_OK;
    if ((out->stop_strings = b2_calloc(count, sizeof *out->stop_strings)) == NULL)
        return b2_fail_memory();
    for (size_t i = 0; i < count; i++)
        if ((out->stop_strings[i] = json_string_value(json_array_get(list, i))) == NULL)
            return golden_bad(golden, "inputs.generate_args.stop_strings", "texts", list);
    out->request.stop_strings = out->stop_strings;
    out->request.stop_string_count = count;
    return BLIP2_OK;
}

blip2_status generate_args_read(generate_args *out, const golden_case *golden) {
    static const char *const known[] = {"max_new_tokens",
                                        "min_new_tokens",
                                        "do_sample",
                                        "num_beams",
                                        "min_length",
                                        "max_length",
                                        "length_penalty",
                                        "bad_words_ids",
                                        "no_repeat_ngram_size",
                                        "stop_strings",
                                        "temperature",
                                        "top_k",
                                        "top_p",
                                        "min_p",
                                        "typical_p",
                                        "seed",
                                        "penalty_alpha",
                                        "repetition_penalty",
                                        "num_return_sequences",
                                        NULL};
    const json_t *args = json_object_get(golden->inputs, "generate_args");
    blip2_status status;

    *out = (generate_args){.beams = 1, .answers = 1};
    out->request.repetition_penalty = out->request.length_penalty = 1.0f;
    if (!json_is_object(args))
        return golden_bad(golden, "inputs.generate_args", "an object", args);
    if ((status = golden_only(args, "generate_args.", known)) < 0 ||
        (status = read_counts(out, golden, args)) < 0 ||
        (status = read_sampling(out, golden, args)) < 0 ||
        (status = read_bad_words(out, golden, json_object_get(args, "bad_words_ids"))) < 0 ||
        (status = read_stop_strings(out, golden, json_object_get(args, "stop_strings"))) < 0)
        return status;
    out->request.beams = out->beams > 1 ? out->beams : 0;
    out->request.answers = out->answers;
    return BLIP2_OK;
}

void generate_args_free(generate_args *args) {
    b2_free(args->bad_ids);
    b2_free(args->bad_ends);
    b2_free(args->stop_strings);
    *args = (generate_args){0};
}
