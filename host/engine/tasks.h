/* What a model can do, by name. */
#ifndef B2_TASKS_H
#define B2_TASKS_H
#include "model/model.h"

/* The names that blip2_model_can knows; the last one is NULL. */
extern const char *const b2_tasks[];

#endif
