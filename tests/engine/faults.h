/* A path through the library on which every allocation is made to fail. */
#ifndef B2_TESTS_ENGINE_FAULTS_H
#define B2_TESTS_ENGINE_FAULTS_H
#include "blip2.h"

/* path works, taking more than `least` allocations; each of them fails in turn, and each time path
 * answers with an error; it works again after that. */
void fail_each_allocation(blip2_status (*path)(void), int64_t least);

#endif
