/* Viterbi over the bytes of a piece, in the library's order and arithmetic (double): on a tie the
 * way found first stays, which is the one whose last token starts further left. */
#include "text/unigram.h"

#include <string.h>

#include "base/alloc.h"
#include "text/utf8.h"

static void offer(b2_unigram_node *node, double score, int32_t id, size_t length) {
    if (node->length == 0 || score > node->score)
        *node = (b2_unigram_node){score, id, (uint32_t)length};
}

/* nodes: [length + 1], cleared. */
static void find_best(const b2_unigram *unigram, b2_unigram_node *nodes, const char *piece,
                      size_t length) {
    for (size_t start = 0; start < length;) {
        size_t size = (size_t)b2_utf8_scan(piece + start, length - start);
        b2_prefix_walk walk = b2_prefix_start(&unigram->tokens);
        bool single = false; /* is the character a token? */

        while (start + walk.depth < length && walk.low < walk.high) {
            const b2_prefix *found = b2_prefix_step(&walk, piece[start + walk.depth]);

            if (found == NULL)
                continue;
            offer(nodes + start + walk.depth, unigram->scores[found->index] + nodes[start].score,
                  (int32_t)found->index, walk.depth);
            single = single || walk.depth == size;
        }
        if (!single)
            offer(nodes + start + size, unigram->unk_score + nodes[start].score, unigram->unk,
                  size);
        start += size;
    }
}

/* A run of unknown characters: a token after all, its bytes, or unknown. */
static blip2_status append_unknown(const b2_unigram *unigram, const char *run, size_t length,
                                   b2_tokens *out) {
    const b2_entry *entry = b2_vocabulary_find(unigram->vocabulary, run, length);
    blip2_status status = BLIP2_OK;
    bool bytes = true;

    if (entry != NULL)
        return b2_tokens_append(out, entry->id);
    for (size_t i = 0; i < length && bytes; i++)
        bytes = unigram->bytes[(unsigned char)run[i]] >= 0;
    if (!bytes)
        return b2_tokens_append(out, unigram->unk);
    for (size_t i = 0; i < length && status == BLIP2_OK; i++)
        status = b2_tokens_append(out, unigram->bytes[(unsigned char)run[i]]);
    return status;
}

/* Links of the best way lead from the end of each token to its start; make them lead from its start
 * to its end, the id along with them. */
static void turn_around(b2_unigram_node *nodes, size_t length) {
    b2_unigram_node ahead = {0};

    for (size_t at = length;;) {
        b2_unigram_node here = nodes[at];

        nodes[at] = ahead;
        if (at == 0)
            break;
        ahead = here;
        at -= here.length;
    }
}

blip2_status b2_unigram_encode(const b2_unigram *unigram, b2_unigram_scratch *scratch,
                               const char *piece, size_t length, b2_tokens *out) {
    b2_unigram_node *nodes = scratch->nodes;
    size_t run = 0; /* bytes of unknown characters in front of `at` */
    blip2_status status = BLIP2_OK;

    if (length + 1 > scratch->capacity) {
        nodes = b2_realloc_array(nodes, length + 1, sizeof *nodes);
        if (nodes == NULL)
            return b2_fail_memory();
        scratch->nodes = nodes;
        scratch->capacity = length + 1;
    }
    memset(nodes, 0, (length + 1) * sizeof *nodes);
    find_best(unigram, nodes, piece, length);
    turn_around(nodes, length);
    for (size_t at = 0; at < length && status == BLIP2_OK; at += nodes[at].length) {
        if (nodes[at].id == unigram->unk) {
            run += nodes[at].length;
            continue;
        }
        if (run > 0)
            status = append_unknown(unigram, piece + at - run, run, out);
        run = 0;
        if (status == BLIP2_OK)
            status = b2_tokens_append(out, nodes[at].id);
    }
    if (run > 0 && status == BLIP2_OK)
        status = append_unknown(unigram, piece + length - run, run, out);
    return status;
}

void b2_unigram_scratch_free(b2_unigram_scratch *scratch) {
    b2_free(scratch->nodes);
    *scratch = (b2_unigram_scratch){0};
}
