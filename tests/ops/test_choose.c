#include <math.h>
#include <string.h>

#include "ops.h"

enum { ROWS = 3, MAX_HISTORY = 8 };

typedef struct choose_input {
    op_mat logits;
    int32_t history[ROWS][MAX_HISTORY], history_count[ROWS], ban[ROWS], stops[2];
    float penalty[ROWS];
    uint32_t stop_count;
} choose_input;

static void choose(op_context *t, choose_input *in, int32_t tokens[ROWS]) {
    int32_t poison[ROWS] = {-77, -77, -77};
    b2_choose op = {.logits = in->logits.device,
                    .history = op_upload(t, in->history, sizeof in->history),
                    .history_count = op_upload(t, in->history_count, sizeof in->history_count),
                    .history_stride = MAX_HISTORY,
                    .repetition_penalty = op_upload(t, in->penalty, sizeof in->penalty),
                    .stop_ids = op_upload(t, in->stops, sizeof in->stops),
                    .stop_count = in->stop_count,
                    .ban_stop = op_upload(t, in->ban, sizeof in->ban),
                    .tokens = op_upload(t, poison, sizeof poison)};

    op_check(t, t->device->ops->choose(t->device, &op));
    op_check(t, t->device->ops->sync(t->device));
    op_check(t, t->device->ops->download(t->device, tokens, op.tokens, sizeof poison));
    op_check(t, t->device->ops->sync(t->device));
    (void)op_mat_read(t, in->logits); /* scratch, but only inside the matrix */
}

/* The rules of device.h, one after the other. */
static int32_t expected(const choose_input *in, int r, int64_t vocabulary) {
    int32_t best = -1;
    float most = 0.0f;

    for (int32_t id = 0; id < vocabulary; id++) {
        float score = in->logits.host[r * in->logits.device.stride + id];
        bool used = false;

        for (int32_t i = 0; i < in->history_count[r]; i++)
            used = used || in->history[r][i] == id;
        if (used && score > 0.0f)
            score /= in->penalty[r];
        else if (used && score < 0.0f)
            score *= in->penalty[r];
        for (uint32_t i = 0; i < in->stop_count; i++)
            if (in->ban[r] != 0 && in->stops[i] == id)
                score = -INFINITY;
        if (!isnan(score) && (best < 0 || score > most)) {
            best = id;
            most = score;
        }
    }
    return best;
}

static void set(op_context *t, choose_input *in, int r, int64_t id, float value) {
    float *at = (float *)in->logits.device.data + r * in->logits.device.stride + id;

    in->logits.host[r * in->logits.device.stride + id] = value;
    op_check(t, t->device->ops->upload(t->device, at, &value, sizeof value));
}

static choose_input draw(op_context *t, int64_t vocabulary) {
    choose_input in = {.logits = op_mat_new(t, B2_F32, ROWS, vocabulary, 3, OP_RANDOM),
                       .stop_count = 2,
                       .stops = {(int32_t)op_integer(t, 0, vocabulary - 1),
                                 (int32_t)op_integer(t, 0, vocabulary - 1)}};

    for (int r = 0; r < ROWS; r++) {
        in.history_count[r] = (int32_t)op_integer(t, 0, MAX_HISTORY);
        in.ban[r] = (int32_t)op_integer(t, 0, 1);
        in.penalty[r] = r == 1 ? 1.0f : (float)op_uniform(t, 0.5, 2.0);
        for (int i = 0; i < MAX_HISTORY; i++)
            in.history[r][i] = (int32_t)op_integer(t, 0, vocabulary < 4 ? vocabulary - 1 : 3);
    }
    return in;
}

START_TEST(drawn) {
    static const int64_t vocabularies[5] = {1, 2, 7, 65, 50272};
    op_context t;

    if (!op_open(&t, _i))
        return;
    for (int i = 0; i < 40; i++) {
        int32_t tokens[ROWS];

        t.random += (uint64_t)i;
        choose_input in = draw(&t, vocabularies[i % 5]);
        /* The ids in the history lead, so that the penalty decides. */
        for (int r = 0; r < ROWS; r++)
            for (int64_t id = 0; id < 4 && id < vocabularies[i % 5]; id++)
                set(&t, &in, r, id, (float)op_uniform(&t, -1.5, 1.5) * (i % 3 == 0 ? 2.0f : 1.0f));
        choose(&t, &in, tokens);
        for (int r = 0; r < ROWS; r++)
            ck_assert_int_eq(tokens[r], expected(&in, r, vocabularies[i % 5]));
        op_clear(&t);
    }
    op_close(&t);
}
END_TEST

START_TEST(edges) {
    op_context t;
    int32_t tokens[ROWS];
    enum { VOCABULARY = 40 };

    if (!op_open(&t, _i))
        return;
    choose_input in = draw(&t, VOCABULARY);
    for (int r = 0; r < ROWS; r++) {
        in.history_count[r] = 0;
        in.penalty[r] = 1.0f;
        in.ban[r] = 0;
        for (int id = 0; id < VOCABULARY; id++)
            set(&t, &in, r, id, r == 0 ? NAN : r == 1 ? -INFINITY : 1.0f);
    }
    set(&t, &in, 1, 0, NAN); /* a lone NaN in front must not hide the rest */
    set(&t, &in, 2, 17, INFINITY);
    set(&t, &in, 2, 33, INFINITY);
    choose(&t, &in, tokens);
    ck_assert_int_eq(tokens[0], -1);
    ck_assert_int_eq(tokens[1], 1);
    ck_assert_int_eq(tokens[2], 17);

    /* A repeated id is penalised once: 8 / 2 still wins over 3, 8 / 2 / 2 would not. A negative
     * score moves away from zero, and a banned stop id loses. */
    in = draw(&t, VOCABULARY);
    for (int r = 0; r < ROWS; r++) {
        in.history_count[r] = 3;
        in.history[r][0] = in.history[r][2] = 5;
        in.history[r][1] = 6;
        in.penalty[r] = 2.0f;
        in.ban[r] = r == 2;
        in.stops[0] = 9;
        in.stops[1] = VOCABULARY + 100; /* no id of this vocabulary: never met */
        for (int id = 0; id < VOCABULARY; id++)
            set(&t, &in, r, id, r == 1 ? -1.5f : 0.0f);
    }
    set(&t, &in, 0, 5, 8.0f);
    set(&t, &in, 0, 7, 3.0f);
    set(&t, &in, 1, 5, -1.0f);
    set(&t, &in, 2, 9, 9.0f);
    set(&t, &in, 2, 10, 1.0f);
    choose(&t, &in, tokens);
    ck_assert_int_eq(tokens[0], 5);
    ck_assert_int_eq(tokens[1], 0);
    ck_assert_int_eq(tokens[2], 10);
    op_close(&t);
}
END_TEST

START_TEST(refusals) {
    op_context t;
    b2_choose op = {.logits = {.type = B2_F32, .rows = 1, .cols = 3, .stride = 3}};

    if (!op_open(&t, _i))
        return;
    ck_assert_status(t.device->ops->choose(t.device, &op), BLIP2_EINTERNAL);
    op_close(&t);
}
END_TEST

void suite_choose(Suite *suite) {
    op_add_case(suite, "choose", drawn);
    op_add_case(suite, "choose, edges", edges);
    op_add_case(suite, "choose refuses", refusals);
}
