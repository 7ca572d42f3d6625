/* One place of an order, as rank and search print it. */
#ifndef B2_RANKED_H
#define B2_RANKED_H
#include <stdbool.h>
#include <stddef.h>

/* row: whose order it is, or NULL: not shown. what: a text or a picture's path. score: -100 where
 * it was not matched. */
void b2_ranked_print(size_t place, const char *row, const char *what, float score, float itc);
/* key: what text is, "text" or "picture". False when out of memory. */
bool b2_ranked_print_json(size_t place, const char *path, const char *key, const char *text,
                          float score, float itc);

#endif
