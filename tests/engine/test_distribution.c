/* What is drawn has the probabilities that the model's logits say: tokens of texts, and beams by
 * the rules of both originals. Log-probabilities that are kept. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chi_square.h"
#include "engine/engine.h"
#include "fixture.h"
#include "run.h"

static fixture f;

static void setup(void) {
    ck_assert_status_ok(fixture_open(&f));
}

static void teardown(void) {
    fixture_close(&f);
}

static blip2_engine *engine_of(uint32_t requests) {
    blip2_engine_options options;
    blip2_engine *engine;

    blip2_engine_options_init(&options, sizeof options);
    options.max_requests = requests;
    options.max_tokens = 128;
    ck_assert_status_ok(blip2_engine_open(&engine, f.model, &options));
    return engine;
}

/* ---- distributions ------------------------------------------------------------------------ */

typedef struct seen_row {
    float *row;
    uint32_t vocab;
} seen_row;

static void see(b2_request *request, const b2_mat *row, void *payload) {
    seen_row *seen = payload;

    seen->vocab = (uint32_t)row->cols;
    seen->row = realloc(seen->row, seen->vocab * sizeof *seen->row);
    ck_assert_ptr_nonnull(seen->row);
    ck_assert_status_ok(request->model->device->ops->download(
        request->model->device, seen->row, row->data, seen->vocab * sizeof *seen->row));
}

/* The logits of an input's first token. */
static seen_row first_logits(blip2_engine *engine, const blip2_input *input) {
    const b2_request_options options = {
        .prompt = input->prompt, .max_new_tokens = 1, .repetition_penalty = 1.0f};
    seen_row seen = {0};
    b2_request *request;
    bool busy = true;

    ck_assert_status_ok(b2_request_open(&request, f.model, input->image, &options));
    request->on_logits = see;
    request->payload = &seen;
    ck_assert_status_ok(b2_engine_submit(engine, request));
    while (busy)
        ck_assert_status_ok(b2_engine_step(engine, &busy));
    b2_request_close(request);
    return seen;
}

/* First tokens of many texts, over seeds and over the texts of one seed. */
START_TEST(texts_have_the_distribution) {
    enum { TEXTS = 1000, CALLS = 4 };
    blip2_engine *engine = engine_of(64);
    seen_row seen = first_logits(engine, &f.inputs[1]);
    uint32_t *counts = calloc(seen.vocab, sizeof *counts);
    double *p = calloc(seen.vocab, sizeof *p), total = 0.0;
    blip2_generate_options options;

    blip2_generate_options_init(&options, sizeof options);
    options.max_new_tokens = 1;
    options.num_return_sequences = TEXTS;
    options.do_sample = 1;
    options.temperature = 1.5f;
    for (uint32_t i = 0; i < seen.vocab; i++)
        total += p[i] = exp((double)seen.row[i] / 1.5);
    for (uint32_t i = 0; i < seen.vocab; i++)
        p[i] /= total;
    for (int c = 0; c < CALLS; c++) {
        blip2_result *result;

        options.seed = (uint64_t)c;
        ck_assert_status_ok(blip2_generate(engine, &f.inputs[1], 1, &options, &result));
        for (size_t i = 0; i < TEXTS; i++)
            counts[blip2_result_tokens(result, i, NULL)[0]]++;
        blip2_result_free(result);
    }
    assert_distribution(counts, p, seen.vocab, TEXTS * CALLS, "first tokens");
    free(counts);
    free(p);
    free(seen.row);
    blip2_engine_close(engine);
}
END_TEST

enum { ROWS = 2, VOCAB = 4, DRAWS = 100000, CANDIDATES = ROWS * VOCAB };

static const float logits[ROWS][VOCAB] = {{1.0f, 0.2f, -0.5f, 0.7f}, {-1.0f, 2.0f, 0.5f, 0.4f}};
static const float sums[ROWS] = {-1.0f, -1.3f};

/* Weight of each candidate, by the definitions: top_k 3 and a temperature of 0.7 on each row, which
 * LAVIS puts on the sum as well. first: both beams are the prompt's. */
static void weigh(double *weight, double *score, b2_beam_rule rule, bool first) {
    for (int b = 0; b < ROWS; b++) {
        const float *row = logits[first ? 0 : b];
        double sum = first ? 0.0 : (double)sums[b], total = 0.0;
        int worst = 0;

        for (int i = 0; i < VOCAB; i++) {
            total += exp((double)row[i]);
            worst = row[i] < row[worst] ? i : worst;
        }
        for (int i = 0; i < VOCAB; i++) {
            double lp = (double)row[i] - log(total);
            double s = rule == B2_BEAM_LAVIS ? (lp + sum) / (double)0.7f : lp / (double)0.7f + sum;

            score[b * VOCAB + i] = s;
            weight[b * VOCAB + i] =
                i == worst || (rule == B2_BEAM_HF && first && b > 0) ? 0.0 : exp(s);
        }
    }
}

/* Two of the candidates as one outcome; at first beams are not told apart. */
static uint32_t outcome(int a, int b, bool first) {
    int x = first ? a % VOCAB : a, y = first ? b % VOCAB : b;

    return (uint32_t)(x < y ? x * CANDIDATES + y : y * CANDIDATES + x);
}

START_TEST(drawn_beams_have_the_distribution) {
    b2_beam_rule rule = _i % 2 == 0 ? B2_BEAM_HF : B2_BEAM_LAVIS;
    bool first = _i >= 2;
    double weight[CANDIDATES], score[CANDIDATES], total = 0.0, p[CANDIDATES * CANDIDATES] = {0};
    uint32_t counts[CANDIDATES * CANDIDATES] = {0}, running = first ? 1 : ROWS;
    b2_choice choice = {.sample = true, .warpers = {0.7f, 3, 1.0f, 0.0f, 1.0f, 2}, .seed = 3};
    b2_device *device = f.model->device;
    b2_processors none = {.repetition_penalty = 1.0f};

    ck_assert_status_ok(b2_choice_init(&choice, VOCAB, false, ROWS, 1));
    weigh(weight, score, rule, first);
    for (int a = 0; a < CANDIDATES; a++)
        total += weight[a];
    for (int a = 0; a < CANDIDATES; a++)
        for (int b = 0; b < CANDIDATES; b++)
            if (a != b)
                p[outcome(a, b, first)] += weight[a] / total * weight[b] / (total - weight[a]);
    for (uint32_t i = 0; i < DRAWS; i++) {
        b2_beam_draw draw = {.choice = &choice, .rule = rule, .step = i};
        b2_continuation got[2];

        for (uint32_t r = 0; r < running; r++)
            ck_assert_status_ok(b2_beam_draw_add(
                &draw, device, b2_mat_of((void *)(uintptr_t)logits[r], B2_F32, 1, VOCAB), &none, r,
                first ? 0.0f : sums[r], rule == B2_BEAM_LAVIS && first ? ROWS : 1));
        ck_assert_uint_eq(b2_beam_draw_end(&draw, 2, got), 2);
        for (int k = 0; k < 2; k++) {
            ck_assert_uint_lt(got[k].beam, running);
            ck_assert_double_eq_tol((double)got[k].sum,
                                    score[got[k].beam * VOCAB + (uint32_t)got[k].token], 1e-5);
        }
        counts[outcome((int)got[0].beam * VOCAB + got[0].token,
                       (int)got[1].beam * VOCAB + got[1].token, first)]++;
    }
    assert_distribution(counts, p, CANDIDATES * CANDIDATES, DRAWS, "two of two beams");
    b2_choice_free(&choice);
}
END_TEST

/* ---- log-probabilities --------------------------------------------------------------------- */

START_TEST(logprobs_are_of_the_logits) {
    blip2_engine *engine = engine_of(8);
    seen_row seen = first_logits(engine, &f.inputs[2]);
    blip2_generate_options options;
    blip2_result *result;
    size_t steps, columns, count;
    double total = 0.0;

    blip2_generate_options_init(&options, sizeof options);
    options.logprobs = 7;
    options.repetition_penalty = 3.0f; /* changes choices, not what is told */
    options.min_new_tokens = 3;
    ck_assert_status_ok(blip2_generate(engine, f.inputs, INPUTS, &options, &result));
    const blip2_logprob *lp = blip2_result_logprobs(result, 2, &steps, &columns);
    const int32_t *tokens = blip2_result_tokens(result, 2, &count);
    ck_assert_uint_eq(steps, count);
    ck_assert_uint_eq(columns, 8);
    for (uint32_t i = 0; i < seen.vocab; i++)
        total += exp((double)seen.row[i]);
    for (size_t i = 0; i < columns; i++)
        ck_assert_double_eq_tol((double)lp[i].log_prob, (double)seen.row[lp[i].token] - log(total),
                                1e-4);
    for (size_t s = 0; s < steps; s++) {
        const blip2_logprob *row = lp + s * columns;
        bool known = false;

        ck_assert_int_eq(row[0].token, tokens[s]);
        for (size_t i = 2; i < columns; i++)
            ck_assert(row[i - 1].log_prob >= row[i].log_prob);
        for (size_t i = 1; i < columns; i++)
            known = known || (row[i].token == row[0].token && row[i].log_prob == row[0].log_prob);
        ck_assert(known || row[0].log_prob <= row[columns - 1].log_prob);
    }
    ck_assert_ptr_null(blip2_result_logprobs(result, 99, &steps, &columns));
    ck_assert_uint_eq(steps + columns, 0);
    blip2_result_free(result);
    free(seen.row);
    blip2_engine_close(engine);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("distribution");
    TCase *tests = tcase_create("distribution");

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, texts_have_the_distribution);
    tcase_add_loop_test(tests, drawn_beams_have_the_distribution, 0, 4);
    tcase_add_test(tests, logprobs_are_of_the_logits);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
