# cuBLASLt's stand-in, for programs that run the CUDA device on the GPU in software.
set(vm_cublaslt cublaslt.c cublaslt_check.c cublaslt_run.c)
list(TRANSFORM vm_cublaslt PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
