/* The files of a tokenizer. Those that are older than tokenizer.json hold a vocabulary only; the
 * rest is what the class of transformers that they are for has built in, so that they become the
 * tokenizer.json that stands for both. */
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "load/json.h"
#include "text/legacy.h"
#include "text/parts.h"

/* The largest in use has 33 MB (Gemma's). */
enum { LARGEST_FILE = 64 << 20 };

/* The bytes of a file as the value of a tokenizer.json; name: for messages. */
typedef blip2_status (*parse_fn)(json_t **out, const char *bytes, size_t size, const char *name);

static blip2_status open_file(b2_tokenizer **out, const char *path, parse_fn parse) {
    uint8_t *bytes = NULL;
    json_t *root = NULL;
    size_t size = 0;
    blip2_status status = b2_file_read(&bytes, &size, path, LARGEST_FILE);

    *out = NULL;
    if (status == BLIP2_OK)
        status = parse(&root, (const char *)bytes, size, path);
    b2_free(bytes);
    if (status == BLIP2_OK)
        status = b2_tokenizer_build(out, root, path, parse != b2_json_parse);
    json_decref(root);
    return status;
}

blip2_status b2_tokenizer_open(b2_tokenizer **out, const char *directory) {
    static const struct {
        const char *name;
        parse_fn parse;
    } files[] = {
        {"tokenizer.json", b2_json_parse},
        {"spiece.model", b2_spm_vocabulary},
        {"tokenizer.model", b2_spm_vocabulary},
        {"vocab.txt", b2_bert_vocabulary},
    };
    size_t count = sizeof files / sizeof *files, found = count;
    char *path = NULL;
    blip2_status status;

    *out = NULL;
    for (size_t i = 0; i <= count && found == count; i++) {
        b2_free(path);
        /* At last tokenizer.json again, to say that it is missing. */
        if ((path = b2_path_join(directory, files[i % count].name)) == NULL)
            return b2_fail_memory();
        if (i == count || access(path, F_OK) == 0)
            found = i % count;
    }
    status = open_file(out, path, files[found].parse);
    b2_free(path);
    return status;
}

blip2_status b2_tokenizer_open_bert(b2_tokenizer **out, const char *path) {
    return open_file(out, path, b2_bert_vocabulary);
}
