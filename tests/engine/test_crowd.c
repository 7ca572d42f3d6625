/* Thousands of requests of all tasks from several threads at once: each ends once, as it would
 * alone, and leaves nothing behind. BLIP2_TEST_DEVICE=cuda: a smaller crowd on that device. */
#include <stdlib.h>
#include <string.h>

#include "crowd.h"
#include "run.h"

#define DEMO BLIP2_SOURCE_DIR "/models/demo"
#define GOLDEN BLIP2_SOURCE_DIR "/tests/golden"

static const char *const pictures[CROWD_PICTURES] = {
    DEMO "/pictures/001.png", DEMO "/pictures/002.jpg", DEMO "/pictures/003.png",
    DEMO "/pictures/004.jpg", DEMO "/pictures/005.png", DEMO "/pictures/006.jpg",
    DEMO "/pictures/007.png", DEMO "/pictures/008.jpg"};

/* Of the demo model there are 2,000 requests together, and on a GPU in software 100. */
static const struct {
    const char *model;
    uint32_t requests, cuda_requests;
} crowds[] = {{DEMO "/caption", 1000, 50},
              {DEMO "/lavis", 600, 30},
              {DEMO "/match", 400, 20},
              {GOLDEN "/models/hf_blip2_t5", 200, 0},
              {GOLDEN "/models/hf_instructblip_llama", 200, 0}};

START_TEST(crowd) {
    const char *device = getenv("BLIP2_TEST_DEVICE");
    bool cuda = device != NULL && strcmp(device, "cuda") == 0;
    crowd_plan plan = {.model = crowds[_i].model,
                       .pictures = pictures,
                       .device = cuda ? device : "cpu",
                       .requests = cuda ? crowds[_i].cuda_requests : crowds[_i].requests,
                       .asks = cuda ? 12 : CROWD_ASKS,
                       .longest = cuda ? 6 : 20,
                       .seed = 20 + (uint64_t)_i};

    if (plan.requests > 0)
        crowd_run(&plan);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("crowd");
    TCase *tests = tcase_create("crowd");

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, crowd, 0, sizeof crowds / sizeof *crowds);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
