/* Any device with a fault point in the seam (device.h): the n-th call of all that can fail does.
 * The program is linked with --wrap=b2_device_open, so every device that the library opens is one.
 */
#ifndef B2_TESTS_FAULTS_FAILING_DEVICE_H
#define B2_TESTS_FAULTS_FAILING_DEVICE_H
#include <stdbool.h>
#include <stdint.h>

#include "blip2.h"

/* The nth call from now fails, 0: none, and does nothing but spoil what a download writes. lost: so
 * do all behind it, until this is called again. Memory: EDEVMEM, anything else: EDEVICE. */
void device_fail(uint64_t nth, bool lost);
uint64_t device_calls(void); /* since then */
/* What the failed call's status and message were. */
blip2_status device_status(void);
const char *device_message(void);
/* Devices, pieces of memory and weights that are neither closed nor freed. */
int64_t device_live(void);

#endif
