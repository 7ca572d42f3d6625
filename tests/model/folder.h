/* A copy of a model folder in a temporary one, its files linked, one text of config.json replaced.
 */
#ifndef B2_TESTS_MODEL_FOLDER_H
#define B2_TESTS_MODEL_FOLDER_H

/* The path, until remove_folder. */
const char *make_folder(const char *model, const char *before, const char *after);
void remove_folder(void);

#endif
