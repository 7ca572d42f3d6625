/* LAVIS's compute_sim_matrix: the contrast of all pictures and texts, both matrices of matching,
 * and the order of what was matched. */
#include "base/alloc.h"
#include "kinds.h"
#include "stage1_case.h"

enum { LAVIS_TOKENS = 35 };

typedef struct matrices {
    const blip2_similarity *similarity;
    size_t rows, cols, most; /* of the direction; how many of a row are matched */
    blip2_direction direction;
    float *scores; /* [cols] */
    size_t *order; /* [most] */
} matrices;

static json_t *row_of(const matrices *m, char what, size_t row) {
    json_t *list;
    size_t count;

    if (what == 'c')
        return number_list(blip2_similarity_itc(m->similarity) + row * m->cols, m->cols);
    if (what == 's') {
        if (blip2_similarity_scores(m->similarity, m->direction, row, m->scores) < 0)
            return NULL;
        return number_list(m->scores, m->cols);
    }
    list = json_array();
    count = blip2_similarity_best(m->similarity, m->direction, row, m->most, m->order);
    for (size_t i = 0; i < count; i++)
        list_add(&list, json_integer((json_int_t)m->order[i]));
    return list;
}

static json_t *matrix_of(const matrices *m, char what) {
    json_t *rows = json_array();

    for (size_t i = 0; i < m->rows; i++)
        list_add(&rows, row_of(m, what, i));
    return rows;
}

static blip2_status compare(const blip2_similarity *similarity, blip2_direction direction,
                            size_t k_test, verdict *v) {
    bool texts = direction == BLIP2_TEXTS_OF_IMAGE;
    size_t images = blip2_similarity_images(similarity), n = blip2_similarity_texts(similarity);
    matrices m = {.similarity = similarity,
                  .rows = texts ? images : n,
                  .cols = texts ? n : images,
                  .most = k_test,
                  .direction = direction};
    blip2_status status;

    m.scores = b2_alloc_array(m.cols, sizeof *m.scores);
    m.order = b2_alloc_array(k_test, sizeof *m.order);
    if (m.scores == NULL || m.order == NULL)
        status = b2_fail_memory();
    else if ((status = verdict_numbers(v, texts ? "score_i2t" : "score_t2i", matrix_of(&m, 's'),
                                       "score")) == BLIP2_OK)
        status = verdict_value(v, texts ? "rank_i2t" : "rank_t2i", matrix_of(&m, 'r'), NULL);
    if (status == BLIP2_OK && texts)
        status = verdict_numbers(v, "sims_i2t", matrix_of(&m, 'c'), "sims");
    b2_free(m.scores);
    b2_free(m.order);
    return status;
}

static blip2_status run(const stage1_case *c, verdict *v) {
    const json_t *k_test = json_object_get(c->golden->inputs, "k_test");
    blip2_similarity_options options;
    blip2_similarity *similarity = NULL;
    blip2_status status;

    if (!json_is_integer(k_test) || json_integer_value(k_test) < 1 ||
        json_integer_value(k_test) > UINT32_MAX)
        return golden_bad(c->golden, "inputs.k_test", "a whole number above 0", k_test);
    blip2_similarity_options_init(&options, sizeof options);
    options.rerank = (uint32_t)json_integer_value(k_test);
    status =
        blip2_similarity_compute(c->engine, (const blip2_image *const *)c->images, c->image_count,
                                 c->texts, c->text_count, &options, &similarity);
    if (status == BLIP2_OK)
        status = compare(similarity, BLIP2_TEXTS_OF_IMAGE, options.rerank, v);
    if (status == BLIP2_OK)
        status = compare(similarity, BLIP2_IMAGES_OF_TEXT, options.rerank, v);
    blip2_similarity_free(similarity);
    return status < 0 ? status : stage1_case_compare_ids(c, v);
}

blip2_status run_similarity(const golden_case *golden, const char *device, verdict *v) {
    static const char *const known[] = {"images",     "texts",  "image_size", "preprocess",
                                        "max_length", "k_test", NULL};
    stage1_case c;
    const json_t *length = json_object_get(golden->inputs, "max_length");
    blip2_status status;

    if (!json_is_integer(length) || json_integer_value(length) != LAVIS_TOKENS)
        return b2_fail(BLIP2_ENOTSUP, "inputs.max_length other than %d", LAVIS_TOKENS);
    status = stage1_case_open(&c, golden, device, known, LAVIS_TOKENS);

    if (status == BLIP2_OK)
        status = run(&c, v);
    stage1_case_close(&c);
    return status;
}
