/* blip2/index.h - a big gallery: pictures embedded into one file, and found by text or by picture;
 * part of blip2.h, which includes it.
 *
 *     blip2_index_build(engine, "photos.index", paths, count, NULL, NULL);
 *     ...
 *     blip2_index_open(&index, "photos.index", NULL);
 *     query.prompt = "a big red star";
 *     blip2_index_search(index, engine, &query, 1, NULL, hits);   // blip2_hit hits[10]
 *     puts(blip2_index_path(index, hits[0].picture));
 */
#ifndef BLIP2_INDEX_H
#define BLIP2_INDEX_H
#ifndef BLIP2_H
#error "include blip2.h"
#endif
#ifdef __cplusplus
extern "C" {
#endif

/* ---- making one --------------------------------------------------------------------------- */

typedef struct blip2_index_build_options {
    size_t size;    /* set by _init */
    int half;       /* non-zero: vectors are kept as F16, half the size; default F32 */
    uint32_t group; /* pictures that are decoded together; default 32 */
    /* Picture `number` of paths cannot be read, and why; it is left out. May be NULL. */
    void (*on_unreadable)(size_t number, const char *why, void *payload);
    /* Pictures so far, of all; non-zero stops (BLIP2_ESTOP). May be NULL. */
    int (*on_progress)(uint64_t done, uint64_t total, void *payload);
    void *payload;
} blip2_index_build_options;
BLIP2_API void blip2_index_build_options_init(blip2_index_build_options *options, size_t size);

/* What a build did. */
typedef struct blip2_index_counts {
    uint64_t pictures;   /* that are in the file */
    uint64_t embedded;   /* of those: read by the model */
    uint64_t kept;       /* of those: known already */
    uint64_t removed;    /* that were in the file before */
    uint64_t unreadable; /* that could not be read */
} blip2_index_counts;

/* Embed the pictures paths [count] into file, in that order; a path that is named twice counts
 * once. If file is there, it must be an index of the same model and type; the vectors of pictures
 * that have not changed (path, size and time of change; else the pixels) are taken from it. What
 * was embedded before a stop or a failure is kept in file.part1, file.part2, ... (256 pictures
 * each) and taken up by the next call. The file is replaced when it is complete. counts may be
 * NULL. ENOTSUP: the checkpoint has no contrast heads. EINVAL: the index is of another model, or no
 * picture could be read. */
BLIP2_API blip2_status blip2_index_build(blip2_engine *engine, const char *file,
                                         const char *const *paths, size_t count,
                                         const blip2_index_build_options *options,
                                         blip2_index_counts *counts);

/* ---- using one ---------------------------------------------------------------------------- */

typedef struct blip2_index blip2_index; /* a file, mapped; serves one thread at a time */

typedef struct blip2_index_options {
    size_t size;      /* set by _init */
    uint32_t threads; /* CPU threads of the search, as in blip2_model_options */
} blip2_index_options;
BLIP2_API void blip2_index_options_init(blip2_index_options *options, size_t size);

/* The file must not be changed while it is open; _build replaces it, which does no harm. EFORMAT:
 * it is cut short, or no index. */
BLIP2_API blip2_status blip2_index_open(blip2_index **out, const char *file,
                                        const blip2_index_options *options);
BLIP2_API void blip2_index_close(blip2_index *index);
BLIP2_API size_t blip2_index_count(const blip2_index *index); /* pictures */
/* The path of a picture as it was given; NULL if there is no such picture. */
BLIP2_API const char *blip2_index_path(const blip2_index *index, size_t picture);

typedef struct blip2_hit {
    size_t picture; /* its number in the index */
    float itc;      /* cosine of the query and the picture's best vector */
    float score;    /* logit of a match + itc, as in blip2_similarity; -100: not matched */
} blip2_hit;

typedef struct blip2_search_options {
    size_t size;     /* set by _init */
    uint32_t top;    /* pictures of each query; default 10 */
    uint32_t rerank; /* so many of each text, best by contrast, are opened and matched; default 0 */
    uint32_t max_text_tokens; /* longer texts are cut; default 35, as in blip2_similarity */
    /* Non-zero: candidates by faiss's approximate nearest neighbours, scored exactly; so many of
     * each query vector. What is not among them is not found. The structure (HNSW) is built at the
     * first such search. ENOTSUP: this build has no faiss. */
    uint32_t ann;
    /* A picture to be matched has gone or changed, and how; it keeps its place. May be NULL. */
    void (*on_changed)(size_t picture, const char *why, void *payload);
    /* Work so far, of a total that is not exceeded; non-zero stops (BLIP2_ESTOP). May be NULL. */
    int (*on_progress)(uint64_t done, uint64_t total, void *payload);
    void *payload;
} blip2_search_options;
BLIP2_API void blip2_search_options_init(blip2_search_options *options, size_t size);

/* The best pictures of count queries, each a text (prompt, not empty) or a picture (image), the
 * other NULL. hits [count, min(top, pictures)]: best first, the first of the index among equals;
 * those that were matched come in the order of their scores. A picture as a query is compared by
 * its best pair of vectors, and is not matched. All queries share one pass over the file. With ann
 * a query may find fewer: picture is SIZE_MAX in hits without one. EINVAL: the index is of another
 * model. EFORMAT: vectors that are no numbers. */
BLIP2_API blip2_status blip2_index_search(blip2_index *index, blip2_engine *engine,
                                          const blip2_input *queries, size_t count,
                                          const blip2_search_options *options, blip2_hit *hits);

#ifdef __cplusplus
}
#endif
#endif
