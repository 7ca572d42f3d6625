/* The small files of a Hugging Face folder of BLIP-2 with OPT or for retrieval, or of InstructBLIP,
 * as the hub has them. */
#ifndef BENCH_MODEL_FILES_H
#define BENCH_MODEL_FILES_H
#include "load/config.h"

/* config.json, the processor's and generation's files, and a byte-level tokenizer without merges:
 * each byte is a token, with the id 4 + byte, but for "\n", which has OPT's stop id. For retrieval
 * and as InstructBLIP's Q-Former has it BERT's, in which each letter is a token. */
blip2_status model_files_write(const char *directory, const b2_config *config, b2_type type);

#endif
