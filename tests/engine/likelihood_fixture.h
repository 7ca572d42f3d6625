/* Models, texts and engines for what is asked of given texts. */
#ifndef B2_TESTS_LIKELIHOOD_FIXTURE_H
#define B2_TESTS_LIKELIHOOD_FIXTURE_H
#include "fixture.h"

enum { MODELS = 4, TEXTS = 7, TOKENS = 128, OPT = 0, T5 = 1, LLAMA = 2 };

extern const char *const model_folders[MODELS];
/* Of one token, of many, of more than a step has logits (16 with one request), over pages. */
extern const char *const given_texts[TEXTS];

/* On $BLIP2_TEST_DEVICE, in fp32. */
void open_model_of(fixture *f, const char *folder);
blip2_engine *open_engine_of(const fixture *f, uint32_t requests, uint32_t max_tokens);
blip2_likelihood_options likelihood_options(uint32_t top);
/* Picture and prompt of an input of the fixture's, with texts. */
blip2_candidates candidates_of(const fixture *f, size_t input, const char *const *list,
                               size_t count);
/* Text `text` of an input as the first one of the first input of alone. */
void assert_same_likelihood(const blip2_likelihood *a, size_t input, size_t text,
                            const blip2_likelihood *alone);

#endif
