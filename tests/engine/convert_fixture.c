#include "convert_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "run.h"

#define PTH MODELS "/lavis_stage1/blip2_pretrained.pth"
#define EVA MODELS "/lavis_vit_eva_a/eva_vit_g.pth"
#define VOCABULARY MODELS "/lavis_stage1/bert_vocab.txt"

char folder[256], out[300];

void make_folder(void) {
    temporary_path(folder, sizeof folder, "convert-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(out, sizeof out, "%s/out", folder);
}

void remove_folder(void) {
    remove_tree(folder);
}

blip2_convert_options no_options(void) {
    blip2_convert_options options;

    blip2_convert_options_init(&options, sizeof options);
    return options;
}

/* LAVIS's files, whose heads are smaller than those of the released ones. */
blip2_convert_options file_options(void) {
    blip2_convert_options options = no_options();

    options.checkpoint = PTH;
    options.vit = EVA;
    options.vocabulary = VOCABULARY;
    options.vit_layers = 3;
    options.vit_heads = 2;
    options.qformer_heads = 3;
    return options;
}

void remove_out(void) {
    remove_tree(out);
    ck_assert_int_ne(access(out, F_OK), 0);
}

/* The files in the folder of the test, "." and ".." not counted. */
size_t count_files(const char *path) {
    DIR *stream = opendir(path);
    const struct dirent *entry;
    size_t count = 0;

    ck_assert_ptr_nonnull(stream);
    while ((entry = readdir(stream)) != NULL)
        count += entry->d_name[0] != '.';
    (void)closedir(stream);
    return count;
}

bool has_file(const char *name) {
    char path[600];

    (void)snprintf(path, sizeof path, "%s/%s", out, name);
    return access(path, F_OK) == 0;
}
