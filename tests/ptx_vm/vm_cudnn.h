/* What a test may ask of cuDNN's stand-in (cudnn.c). */
#ifndef VM_CUDNN_H
#define VM_CUDNN_H
#include <stdint.h>

/* The nth handle or descriptor from now is not made, for want of memory; 0: none. */
void vm_cudnn_fail(uint64_t nth);
/* Handles and descriptors that were made and not destroyed. */
uint64_t vm_cudnn_live(void);

#endif
