/* What the files of the suite "cuda" share: a device, its memory, and its end, at which nothing is
 * left and no kernel did wrong. */
#ifndef B2_TESTS_CUDA_DEVICE_FIXTURE_H
#define B2_TESTS_CUDA_DEVICE_FIXTURE_H
#include <check.h>

#include "device.h"

b2_device *open_device(b2_compute compute);
void *upload(b2_device *device, const void *from, size_t bytes);
void close_device(b2_device *device);

/* test_pieces.c */
void suite_pieces(TCase *device);

#endif
