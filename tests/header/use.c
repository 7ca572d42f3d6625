/* use MODEL PICTURE: the smallest program on the library. README.md shows its middle. */
#include <blip2.h>
#include <stdio.h>

int main(int argc, char **argv) {
    blip2_model *model = NULL;
    blip2_engine *engine = NULL;
    blip2_image *image = NULL;
    blip2_result *result = NULL;
    blip2_input input = {0};
    int failed = 1;

    if (argc != 3)
        return 2;
    if (blip2_model_open(&model, argv[1], NULL) < 0 ||
        blip2_engine_open(&engine, model, NULL) < 0 || blip2_image_open(&image, argv[2], NULL) < 0)
        goto out;
    input.image = image;
    if (blip2_generate(engine, &input, 1, NULL, &result) < 0)
        goto out;
    puts(blip2_result_text(result, 0));
    failed = 0;
out:
    if (failed)
        fprintf(stderr, "%s\n", blip2_error_message());
    blip2_result_free(result);
    blip2_image_free(image);
    blip2_engine_close(engine);
    blip2_model_close(model);
    return failed;
}
