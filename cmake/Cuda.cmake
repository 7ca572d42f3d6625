# Decides whether the CUDA device is built (BLIP2_WITH_CUDA), and compiles its kernels into images.
#
# It takes nvcc, the headers of CUDA's runtime and of cuBLASLt, and the static runtime; nothing else is
# linked, cuBLASLt is found when a GPU is opened. Kernels run on a GPU in software in the tests, so
# building and testing ask for no GPU.
# BLIP2_WITH_CUDNN: the headers of cuDNN 9 are there too. The library is looked for when a picture is
# to go through it.
set(BLIP2_WITH_CUDA OFF)
set(BLIP2_CUDA_ARCHITECTURES "80;86;89;90;100;120" CACHE STRING
  "Compute capabilities that kernels are compiled for, least first: others compile its PTX")
if(NOT BLIP2_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "BLIP2_CUDA: '${BLIP2_CUDA}' is none of AUTO, ON, OFF")
endif()
include(CudaToolkit)
if(BLIP2_WITHOUT_CUDA)
  if(BLIP2_CUDA STREQUAL "ON")
    message(FATAL_ERROR "BLIP2_CUDA=ON: ${BLIP2_WITHOUT_CUDA}. Install CUDA's toolkit (12.8 or "
      "later, with cuBLAS) or fetch what is needed with scripts/get-cuda, and name its folder with "
      "BLIP2_CUDA_ROOT")
  endif()
  message(STATUS "cuda: the device is not built: ${BLIP2_WITHOUT_CUDA}")
  return()
endif()
message(STATUS "cuda: the device is built with ${BLIP2_NVCC}")
set(BLIP2_WITH_CUDA ON)
set(BLIP2_WITH_CUDNN OFF)
if(BLIP2_CUDNN_INCLUDE)
  set(BLIP2_WITH_CUDNN ON)
else()
  message(STATUS "cuda: built without cuDNN, its headers (cudnn.h of version 9) are missing")
endif()
enable_language(ASM)
find_package(Threads REQUIRED)

set(cuda_dir ${CMAKE_SOURCE_DIR}/cuda)
# The files whose kernels the device launches (cuda/image.h).
set(cuda_images norm rows kv attention_f32 attention_prefill attention_decode choose top_k sample
  activate rope itc patch resize)
file(GLOB cuda_headers CONFIGURE_DEPENDS ${cuda_dir}/*.h ${cuda_dir}/*.cuh
  ${CMAKE_SOURCE_DIR}/host/draw.h)
set(nvcc_flags -std=c++17 -Werror all-warnings)
# An image of the product: machine code for each architecture, and what ptxas says of each kernel.
set(fatbin_options -fatbin -Xptxas -v)
foreach(arch ${BLIP2_CUDA_ARCHITECTURES})
  list(APPEND fatbin_options -gencode arch=compute_${arch},code=sm_${arch})
endforeach()
list(GET BLIP2_CUDA_ARCHITECTURES 0 first)
list(APPEND fatbin_options -gencode arch=compute_${first},code=compute_${first})

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
