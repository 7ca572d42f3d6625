/* Golden cases, streaming, and the small questions of text/tokenizer.h. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "cases.h"
#include "text/utf8.h"

#define REPLACED "\xEF\xBF\xBD"

/* ---- golden cases ------------------------------------------------------------------------ */

typedef struct golden {
    json_t *json;
    b2_tokenizer *tokenizer;
    const json_t *texts, *ids, *decoded; /* rows by text */
} golden;

static golden golden_open(const char *name) {
    char path[1024];
    golden out;

    (void)snprintf(path, sizeof path, BLIP2_SOURCE_DIR "/tests/golden/%s/case.json", name);
    out.json = load_json(path);
    (void)snprintf(path, sizeof path, BLIP2_SOURCE_DIR "/tests/golden/%s/%s", name,
                   json_string_value(json_object_get(out.json, "model")));
    ck_assert_status_ok(b2_tokenizer_open(&out.tokenizer, path));
    out.texts = json_object_get(json_object_get(out.json, "inputs"), "texts");
    out.ids = json_object_get(json_object_get(out.json, "expect"), "ids");
    out.decoded = json_object_get(json_object_get(out.json, "expect"), "decoded");
    ck_assert_uint_gt(json_array_size(out.texts), 100);
    return out;
}

static void golden_close(golden *g) {
    b2_tokenizer_close(g->tokenizer);
    json_decref(g->json);
}

/* A value of expect.<key> for text i, where the case lists those that differ; else `otherwise`. */
static const json_t *listed(const golden *g, const char *key, size_t i, const json_t *otherwise) {
    const json_t *table = json_object_get(json_object_get(g->json, "expect"), key);
    char index[32];
    const json_t *value;

    (void)snprintf(index, sizeof index, "%zu", i);
    value = json_object_get(table, index);
    return value != NULL ? value : otherwise;
}

/* front, back: special tokens around each text. */
static int golden_texts(const golden *g, size_t front, size_t back) {
    int bad = 0;

    for (size_t i = 0; i < json_array_size(g->texts); i++) {
        const json_t *text = json_array_get(g->texts, i), *ids = json_array_get(g->ids, i);
        const json_t *decoded = json_array_get(g->decoded, i);
        json_t *tail = json_copy((json_t *)ids);

        bad += !encodes_to(g->tokenizer, text, true, ids);
        /* ids_without_special_equal_tail is empty: nothing else changes without them. */
        for (size_t k = 0; k < front; k++)
            ck_assert_int_eq(json_array_remove(tail, 0), 0);
        for (size_t k = 0; k < back; k++)
            ck_assert_int_eq(json_array_remove(tail, json_array_size(tail) - 1), 0);
        bad += !encodes_to(g->tokenizer, text, false, tail);
        bad += !decodes_to(g->tokenizer, ids, true, false, decoded);
        json_decref(tail);
    }
    return bad;
}

static int golden_random_ids(const golden *g) {
    const json_t *expect = json_object_get(g->json, "expect");
    const json_t *random = json_object_get(json_object_get(g->json, "inputs"), "random_ids");
    const json_t *skip = json_object_get(expect, "random_decoded");
    const json_t *keep = json_object_get(expect, "random_decoded_keep_special");
    int bad = 0;

    ck_assert_uint_gt(json_array_size(random), 30);
    for (size_t i = 0; i < json_array_size(random); i++) {
        const json_t *ids = json_array_get(random, i);

        bad += !decodes_to(g->tokenizer, ids, true, false, json_array_get(skip, i));
        bad += !decodes_to(g->tokenizer, ids, false, false, json_array_get(keep, i));
    }
    return bad;
}

static const struct {
    const char *name;
    size_t front, back;
} cases[] = {
    {"tok_opt", 1, 0}, {"tok_opt_tiny", 1, 0}, {"tok_bert", 1, 1},       {"tok_bert_tiny", 1, 1},
    {"tok_t5", 0, 1},  {"tok_llama", 1, 0},    {"tok_llama_tiny", 1, 0},
};

START_TEST(golden_cases) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        golden g = golden_open(cases[i].name);

        ck_assert_msg(golden_texts(&g, cases[i].front, cases[i].back) + golden_random_ids(&g) == 0,
                      "%s", cases[i].name);
        golden_close(&g);
    }
}
END_TEST

/* What LAVIS's tokenizer (slow, transformers 4.33.2) does otherwise. Its decoding with clean-up of
 * spaces is this library's with clean_up; its ids differ where a special token stands in the text,
 * for which this library keeps to tokenizer.json, so that these must differ here, too. */
START_TEST(golden_differences_of_lavis) {
    golden g = golden_open("tok_opt");
    int bad = 0;

    for (size_t i = 0; i < json_array_size(g.texts); i++) {
        const json_t *ids = listed(&g, "lavis_ids_where_different", i, json_array_get(g.ids, i));
        const json_t *text =
            listed(&g, "lavis_decoded_where_different", i, json_array_get(g.decoded, i));

        bad += !decodes_to(g.tokenizer, json_array_get(g.ids, i), true, true, text);
        if (ids != json_array_get(g.ids, i))
            bad += json_equal(ids, json_array_get(g.ids, i));
    }
    ck_assert_int_eq(bad, 0);
    golden_close(&g);
}
END_TEST

/* ---- streaming --------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* Feed ids one by one: no piece may end inside a character, and all together equal the decode. */
static void stream_ids(const b2_tokenizer *tokenizer, const int32_t *ids, size_t count, bool skip) {
    b2_text_buffer whole = {0}, streamed = {0};
    b2_detokenizer stream;

    b2_detokenizer_init(&stream, tokenizer, skip);
    for (size_t i = 0; i < count; i++) {
        size_t before = streamed.length;

        ck_assert_status_ok(b2_detokenizer_push(&stream, ids[i], &streamed));
        if (streamed.length > before)
            ck_assert_uint_eq(b2_utf8_valid(streamed.data + before, streamed.length - before),
                              streamed.length - before);
    }
    ck_assert_status_ok(b2_detokenizer_finish(&stream, &streamed));
    b2_detokenizer_free(&stream);
    ck_assert_status_ok(b2_tokenizer_decode(tokenizer, ids, count, skip, false, &whole));
    ck_assert_str_eq(b2_text_data(&streamed), b2_text_data(&whole));
    b2_text_free(&streamed);
    b2_text_free(&whole);
}

START_TEST(streams_equal_decode) {
    b2_tokenizer *tokenizer;
    uint32_t state = 7;

    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/hf_blip2_opt")));
    for (int i = 0; i < 300; i++) {
        int32_t ids[40];
        size_t count = next_random(&state) % 40;

        /* Mostly single bytes, so that characters are built from several tokens or left broken. */
        for (size_t k = 0; k < count; k++)
            ids[k] = (int32_t)(next_random(&state) % (next_random(&state) % 4 > 0 ? 260 : 420)) - 2;
        stream_ids(tokenizer, ids, count, i % 2 == 0);
    }
    b2_tokenizer_close(tokenizer);
}
END_TEST

START_TEST(streams_of_text_come_back) {
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        golden g = golden_open(cases[c].name);
        const json_t *random = json_object_get(json_object_get(g.json, "inputs"), "random_ids");

        for (size_t i = 0; i < json_array_size(g.texts) + json_array_size(random); i++) {
            bool text = i < json_array_size(g.texts);
            b2_tokens ids = ids_of(text ? json_array_get(g.ids, i)
                                        : json_array_get(random, i - json_array_size(g.texts)));

            stream_ids(g.tokenizer, ids.ids, ids.count, text);
            b2_tokens_free(&ids);
        }
        golden_close(&g);
    }
}
END_TEST

/* With byte fallback a run of byte tokens is certain when it is over: it is read as a whole. */
START_TEST(stream_waits_for_the_end_of_bytes) {
    static const int32_t ids[] = {3 + 0xC3, 3 + 0xA9, 3 + 0xC3, 4, 3 + 0xC3, 3 + 0xA9};
    b2_tokenizer *tokenizer;
    b2_text_buffer text = {0};
    b2_detokenizer stream;

    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/tok_llama")));
    b2_detokenizer_init(&stream, tokenizer, true);
    for (size_t i = 0; i < 6; i++) {
        ck_assert_status_ok(b2_detokenizer_push(&stream, ids[i], &text));
        ck_assert_str_eq(b2_text_data(&text), "");
    }
    ck_assert_status_ok(b2_detokenizer_push(&stream, b2_tokenizer_find(tokenizer, "a"), &text));
    ck_assert_str_eq(b2_text_data(&text),
                     REPLACED REPLACED REPLACED REPLACED REPLACED REPLACED "a");
    ck_assert_status_ok(b2_detokenizer_push(&stream, ids[0], &text));
    ck_assert_status_ok(b2_detokenizer_push(&stream, ids[1], &text));
    b2_text_clear(&text);
    ck_assert_status_ok(b2_detokenizer_finish(&stream, &text));
    ck_assert_str_eq(b2_text_data(&text), "\xC3\xA9");
    b2_detokenizer_free(&stream);
    b2_text_free(&text);
    b2_tokenizer_close(tokenizer);
}
END_TEST

/* LAVIS's Vicuna: what SentencePiece makes of such runs, and another first token. */
START_TEST(characters_among_bytes_are_kept) {
    static const int32_t ids[] = {3 + 0xC7, 3 + 'Z',  3 + 0xE2, 3 + 0x82,
                                  3 + 0xC3, 3 + 0xA9, 3 + 0xF0};
    b2_tokenizer *tokenizer;
    b2_tokens tokens = {0};
    b2_text_buffer text = {0};

    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/tok_llama")));
    ck_assert_status_ok(b2_tokenizer_decode(tokenizer, ids, 7, true, false, &text));
    ck_assert_uint_eq(text.length, 7 * strlen(REPLACED));
    b2_text_clear(&text);
    b2_tokenizer_keep_characters(tokenizer);
    ck_assert_status_ok(b2_tokenizer_decode(tokenizer, ids, 7, true, false, &text));
    ck_assert_str_eq(b2_text_data(&text), REPLACED "Z" REPLACED REPLACED "\xC3\xA9" REPLACED);
    b2_tokenizer_begin_with(tokenizer, 2);
    ck_assert_status_ok(b2_tokenizer_encode(tokenizer, "a", 1, true, &tokens));
    ck_assert_uint_eq(tokens.count, 2);
    ck_assert_int_eq(tokens.ids[0], 2);
    b2_tokens_free(&tokens);
    b2_text_free(&text);
    b2_tokenizer_close(tokenizer);
    /* T5's texts begin with no token: nothing is put there. */
    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/tok_t5")));
    b2_tokenizer_begin_with(tokenizer, 2);
    ck_assert_status_ok(b2_tokenizer_encode(tokenizer, "", 0, true, &tokens));
    ck_assert_uint_eq(tokens.count, 1);
    ck_assert_int_eq(tokens.ids[0], 1);
    b2_tokens_free(&tokens);
    b2_tokenizer_close(tokenizer);
}
END_TEST

/* A character of four single-byte tokens appears when the last one arrives, not before. */
START_TEST(stream_waits_for_the_whole_character) {
    static const char face[] = "\xF0\x9F\x98\x80";
    b2_tokenizer *tokenizer;
    b2_tokens ids = {0};
    b2_text_buffer text = {0};
    b2_detokenizer stream;

    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/hf_blip2_opt")));
    ck_assert_status_ok(b2_tokenizer_encode(tokenizer, face, 4, false, &ids));
    ck_assert_uint_eq(ids.count, 4);
    b2_detokenizer_init(&stream, tokenizer, true);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_str_eq(b2_text_data(&text), "");
        ck_assert_status_ok(b2_detokenizer_push(&stream, ids.ids[i], &text));
    }
    ck_assert_str_eq(b2_text_data(&text), face);
    ck_assert_status_ok(b2_detokenizer_push(&stream, ids.ids[0], &text));
    ck_assert_str_eq(b2_text_data(&text), face);
    ck_assert_status_ok(b2_detokenizer_finish(&stream, &text));
    ck_assert_str_eq(b2_text_data(&text), "\xF0\x9F\x98\x80\xEF\xBF\xBD");
    b2_detokenizer_free(&stream);
    b2_text_free(&text);
    b2_tokens_free(&ids);
    b2_tokenizer_close(tokenizer);
}
END_TEST

/* ---- the rest of tokenizer.h ------------------------------------------------------------- */

START_TEST(finds_tokens) {
    b2_tokenizer *tokenizer;

    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/tok_opt")));
    ck_assert_uint_eq(b2_tokenizer_vocab(tokenizer), 50262);
    ck_assert_int_eq(b2_tokenizer_find(tokenizer, "</s>"), 2);
    ck_assert_int_eq(b2_tokenizer_find(tokenizer, "<image>"), 50261);
    ck_assert_int_eq(b2_tokenizer_find(tokenizer, "\xC4\x8A"), 202); /* "\n" */
    ck_assert_int_eq(b2_tokenizer_find(tokenizer, "\n"), -1);
    ck_assert(b2_tokenizer_is_special(tokenizer, 1));
    ck_assert(b2_tokenizer_is_special(tokenizer, 50261));
    ck_assert(!b2_tokenizer_is_special(tokenizer, 0));
    ck_assert(!b2_tokenizer_is_special(tokenizer, -1));
    ck_assert(!b2_tokenizer_is_special(tokenizer, 50262));
    b2_tokenizer_close(tokenizer);
    b2_tokenizer_close(NULL);
}
END_TEST

START_TEST(invalid_text_is_encoded_as_decoded) {
    static const char bytes[] = "a\xC3(\xF0\x9F\x98";
    static const char text[] = "a\xEF\xBF\xBD(\xEF\xBF\xBD";
    b2_tokenizer *tokenizer;
    b2_tokens a = {0}, b = {0};
    b2_text_buffer back = {0};

    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/tok_opt")));
    ck_assert_status_ok(b2_tokenizer_encode(tokenizer, bytes, sizeof bytes - 1, true, &a));
    ck_assert_status_ok(b2_tokenizer_encode(tokenizer, text, sizeof text - 1, true, &b));
    ck_assert_uint_eq(a.count, b.count);
    ck_assert_mem_eq(a.ids, b.ids, a.count * sizeof *a.ids);
    ck_assert_status_ok(b2_tokenizer_decode(tokenizer, a.ids, a.count, true, false, &back));
    ck_assert_str_eq(b2_text_data(&back), text);
    b2_text_free(&back);
    b2_tokens_free(&a);
    b2_tokens_free(&b);
    b2_tokenizer_close(tokenizer);
}
END_TEST

/* Encoding and decoding append: what was in the buffers stays, clean-up included. */
START_TEST(outputs_are_appended) {
    b2_tokenizer *tokenizer;
    b2_tokens ids = {0};
    b2_text_buffer text = {0};

    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/tok_opt")));
    ck_assert_status_ok(b2_tokens_append(&ids, 7));
    ck_assert_status_ok(b2_tokenizer_encode(tokenizer, "it 's so .", 10, true, &ids));
    ck_assert_int_eq(ids.ids[0], 7);
    ck_assert_int_eq(ids.ids[1], 2);
    b2_text_append(&text, "x .", 3);
    ck_assert_status_ok(
        b2_tokenizer_decode(tokenizer, ids.ids + 1, ids.count - 1, true, true, &text));
    ck_assert_str_eq(b2_text_data(&text), "x .it's so.");
    ck_assert_status_ok(b2_tokenizer_decode(tokenizer, ids.ids, 0, true, true, &text));
    ck_assert_str_eq(b2_text_data(&text), "x .it's so.");
    b2_text_free(&text);
    b2_tokens_free(&ids);
    b2_tokenizer_close(tokenizer);
}
END_TEST

/* One word of 300,000 bytes: the time is n log n, so that this ends at once or the test times out.
 */
START_TEST(long_words_take_no_quadratic_time) {
    static const char *const units[] = {"a", " ", "'", "\xE4\xB8\xAD", "ab1", "\x01"};
    b2_tokenizer *tokenizer;

    ck_assert_status_ok(b2_tokenizer_open(&tokenizer, in_tests("golden/models/tok_opt")));
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        b2_text_buffer text = {0};
        b2_tokens ids = {0};

        while (text.length < 300000)
            b2_text_append(&text, units[i], strlen(units[i]));
        ck_assert_status_ok(b2_tokenizer_encode(tokenizer, text.data, text.length, true, &ids));
        ck_assert_uint_gt(ids.count, 1000);
        b2_tokens_free(&ids);
        b2_text_free(&text);
    }
    b2_tokenizer_close(tokenizer);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("text");
    TCase *tcase = tcase_create("text");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, golden_cases);
    tcase_add_test(tcase, golden_differences_of_lavis);
    tcase_add_test(tcase, streams_equal_decode);
    tcase_add_test(tcase, streams_of_text_come_back);
    tcase_add_test(tcase, stream_waits_for_the_whole_character);
    tcase_add_test(tcase, stream_waits_for_the_end_of_bytes);
    tcase_add_test(tcase, characters_among_bytes_are_kept);
    tcase_add_test(tcase, finds_tokens);
    tcase_add_test(tcase, invalid_text_is_encoded_as_decoded);
    tcase_add_test(tcase, outputs_are_appended);
    tcase_add_test(tcase, long_words_take_no_quadratic_time);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
