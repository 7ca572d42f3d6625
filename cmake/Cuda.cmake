# Finds what the CUDA device is built with, and compiles its kernels into images.
#
# BLIP2_WITH_CUDA: nvcc, the headers of CUDA's runtime and of cuBLASLt, and the static runtime are
# there. Nothing else is linked; cuBLASLt is found when a GPU is opened. Kernels run on a GPU in
# software in the tests, so building and testing ask for no GPU.
set(BLIP2_WITH_CUDA OFF)
set(BLIP2_CUDA_ARCHITECTURES "80;86;89;90;100;120" CACHE STRING
  "Compute capabilities that kernels are compiled for; later GPUs compile the last one's PTX")
if(NOT BLIP2_CUDA STREQUAL "ON")
  return()
endif()

find_program(BLIP2_NVCC nvcc HINTS /usr/local/cuda/bin)
if(BLIP2_NVCC)
  get_filename_component(nvcc_root ${BLIP2_NVCC} REALPATH)
  get_filename_component(nvcc_root ${nvcc_root} DIRECTORY)
  get_filename_component(nvcc_root ${nvcc_root} DIRECTORY)
endif()
find_path(BLIP2_CUDA_INCLUDE cuda_runtime_api.h HINTS ${nvcc_root}/include /usr/local/cuda/include)
find_path(BLIP2_CUBLASLT_INCLUDE cublasLt.h HINTS ${BLIP2_CUDA_INCLUDE} /usr/local/cuda/include)
find_library(BLIP2_CUDART_STATIC libcudart_static.a
  HINTS ${nvcc_root}/lib64 ${nvcc_root}/lib ${nvcc_root}/targets/x86_64-linux/lib /usr/local/cuda/lib64)
set(missing)
foreach(part BLIP2_NVCC BLIP2_CUDA_INCLUDE BLIP2_CUBLASLT_INCLUDE BLIP2_CUDART_STATIC)
  if(NOT ${part})
    list(APPEND missing ${part})
  endif()
endforeach()
if(missing)
  string(JOIN ", " missing ${missing})
  message(FATAL_ERROR "BLIP2_CUDA=ON, but not found: ${missing}. Install CUDA's toolkit (12.8 or "
    "later, with cuBLAS), or set these variables")
endif()
set(BLIP2_WITH_CUDA ON)
enable_language(ASM)
find_package(Threads REQUIRED)

set(cuda_dir ${CMAKE_SOURCE_DIR}/cuda)
# The files whose kernels the device launches (cuda/image.h).
set(cuda_images norm rows kv attention_f32 attention_prefill attention_decode choose activate patch
  resize)
file(GLOB cuda_headers CONFIGURE_DEPENDS ${cuda_dir}/*.h ${cuda_dir}/*.cuh)
set(nvcc_flags -std=c++17 -Werror all-warnings)
# An image of the product: machine code for each architecture, and what ptxas says of each kernel.
set(fatbin_options -fatbin -Xptxas -v)
foreach(arch ${BLIP2_CUDA_ARCHITECTURES})
  list(APPEND fatbin_options -gencode arch=compute_${arch},code=sm_${arch})
endforeach()
list(GET BLIP2_CUDA_ARCHITECTURES -1 last)
list(APPEND fatbin_options -gencode arch=compute_${last},code=compute_${last})

# blip2_cuda_images(OUT DIRECTORY ENDING nvcc-option...): an assembler file for each image, made in
# DIRECTORY, that holds what nvcc makes with these options. What it says is kept in NAME.ENDING.log
# (tests/kernel_report reads it).
function(blip2_cuda_images out directory ending)
  file(MAKE_DIRECTORY ${directory})
  foreach(name ${cuda_images})
    set(file ${directory}/${name}.${ending})
    add_custom_command(OUTPUT ${file} BYPRODUCTS ${file}.log
      COMMAND sh ${CMAKE_SOURCE_DIR}/cmake/logged.sh ${file}.log
        ${BLIP2_NVCC} ${ARGN} ${nvcc_flags} ${cuda_dir}/${name}.cu -o ${file}
      DEPENDS ${cuda_dir}/${name}.cu ${cuda_headers} VERBATIM)
    configure_file(${cuda_dir}/image.S.in ${directory}/${name}.S @ONLY)
    set_property(SOURCE ${directory}/${name}.S PROPERTY OBJECT_DEPENDS ${file})
    list(APPEND sources ${directory}/${name}.S ${file})
  endforeach()
  set(${out} ${sources} PARENT_SCOPE)
endfunction()
