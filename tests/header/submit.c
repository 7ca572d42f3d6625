/* submit MODEL PICTURE QUESTION...: all questions about a picture at once, answers as they come.
 * The smallest program with jobs; docs/api.md shows its middle. */
#include <blip2.h>
#include <stdio.h>
#include <stdlib.h>

/* On the engine's thread. */
static void answered(blip2_job *job, void *payload) {
    const char *question = payload;
    blip2_result *result = NULL;

    if (blip2_job_take_texts(job, &result) == BLIP2_OK)
        printf("%s %s\n", question, blip2_result_text(result, 0));
    else
        printf("%s: %s\n", question, blip2_error_message());
    blip2_result_free(result);
}

int main(int argc, char **argv) {
    blip2_model *model = NULL;
    blip2_engine *engine = NULL;
    blip2_image *image = NULL;
    blip2_job **jobs = NULL;
    blip2_submit_options options;
    int count = argc - 3, submitted = 0, failed = 1;

    if (count < 1 || (jobs = calloc((size_t)count, sizeof *jobs)) == NULL)
        return 2;
    if (blip2_model_open(&model, argv[1], NULL) < 0 ||
        blip2_engine_open(&engine, model, NULL) < 0 || blip2_image_open(&image, argv[2], NULL) < 0)
        goto out;
    blip2_submit_options_init(&options, sizeof options);
    options.on_done = answered;
    for (; submitted < count; submitted++) {
        char prompt[256];
        blip2_input input;

        input.image = image;
        input.prompt = prompt; /* read before the submission returns */
        options.payload = argv[3 + submitted];
        (void)snprintf(prompt, sizeof prompt, "Question: %s Answer:", argv[3 + submitted]);
        if (blip2_submit_texts(&jobs[submitted], engine, &input, 1, NULL, &options) < 0)
            goto out;
    }
    failed = 0;
    for (int i = 0; i < count; i++)
        failed |= blip2_job_wait(jobs[i]) < 0;
out:
    if (failed)
        fprintf(stderr, "%s\n", blip2_error_message());
    for (int i = 0; i < submitted; i++)
        blip2_job_free(jobs[i]);
    free(jobs);
    blip2_image_free(image);
    blip2_engine_close(engine);
    blip2_model_close(model);
    return failed;
}
