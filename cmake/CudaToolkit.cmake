# Finds CUDA's toolkit. Sets
#   BLIP2_WITHOUT_CUDA  why the CUDA device can't be built, in a few words; empty: it can
#   BLIP2_WITHOUT_VM    the same for the tests' GPU in software, which needs the runtime's headers only
#   BLIP2_NVCC, BLIP2_CUDA_INCLUDE, BLIP2_CUBLASLT_INCLUDE, BLIP2_CUDART_STATIC  where things are;
#   BLIP2_CUDNN_INCLUDE  may be missing
set(BLIP2_CUDA_ROOT "" CACHE PATH
  "Folder of CUDA's toolkit, the only place to look at; empty: PATH, CUDA_HOME, /usr/local/cuda")
set(BLIP2_WITHOUT_CUDA)
set(BLIP2_WITHOUT_VM)
if(BLIP2_CUDA STREQUAL "OFF")
  set(BLIP2_WITHOUT_CUDA "BLIP2_CUDA=OFF")
  set(BLIP2_WITHOUT_VM ${BLIP2_WITHOUT_CUDA})
  return()
endif()

if(DEFINED BLIP2_CUDA_ROOT_BEFORE AND NOT BLIP2_CUDA_ROOT STREQUAL "${BLIP2_CUDA_ROOT_BEFORE}")
  foreach(part NVCC CUDA_INCLUDE CUBLASLT_INCLUDE CUDART_STATIC CUDNN_INCLUDE)
    unset(BLIP2_${part} CACHE) # was found in another place
  endforeach()
endif()
set(BLIP2_CUDA_ROOT_BEFORE "${BLIP2_CUDA_ROOT}" CACHE INTERNAL "")
if(BLIP2_CUDA_ROOT)
  set(cuda_where PATHS ${BLIP2_CUDA_ROOT} NO_DEFAULT_PATH)
else()
  set(cuda_where HINTS ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda)
endif()
find_program(BLIP2_NVCC nvcc ${cuda_where} PATH_SUFFIXES bin)
if(BLIP2_NVCC AND NOT BLIP2_CUDA_ROOT)
  get_filename_component(nvcc_root ${BLIP2_NVCC} REALPATH)
  get_filename_component(nvcc_root ${nvcc_root} DIRECTORY)
  get_filename_component(nvcc_root ${nvcc_root} DIRECTORY)
  set(cuda_where HINTS ${nvcc_root} ENV CUDA_HOME ENV CUDA_PATH PATHS /usr/local/cuda)
endif()
find_path(BLIP2_CUDA_INCLUDE cuda_runtime_api.h ${cuda_where} PATH_SUFFIXES include)
find_path(BLIP2_CUBLASLT_INCLUDE cublasLt.h HINTS ${BLIP2_CUDA_INCLUDE} ${cuda_where}
  PATH_SUFFIXES include)
find_path(BLIP2_CUDNN_INCLUDE cudnn_graph.h HINTS ${BLIP2_CUDA_INCLUDE} ${cuda_where} # of version 9
  PATH_SUFFIXES include)
find_library(BLIP2_CUDART_STATIC libcudart_static.a ${cuda_where}
  PATH_SUFFIXES lib64 lib targets/${CMAKE_SYSTEM_PROCESSOR}-linux/lib)

# ---- what there is must do --------------------------------------------------------------------
# 12.8 is the first with compute capability 12.0.
set(cuda_least 12.8)

function(blip2_refuse_headers out)
  file(STRINGS ${BLIP2_CUDA_INCLUDE}/cuda_runtime_api.h line REGEX "define CUDART_VERSION +[0-9]+")
  string(REGEX REPLACE ".* ([0-9]+).*" "\\1" number "${line}") # 12080
  math(EXPR major "${number} / 1000")
  math(EXPR minor "${number} % 1000 / 10")
  if(${major}.${minor} VERSION_LESS cuda_least)
    set(${out} "CUDA's headers are version ${major}.${minor}, expected ${cuda_least} or later"
      PARENT_SCOPE)
  endif()
endfunction()

# nvcc leaves half of its work to the system's C++ compiler, which may be missing or too new: try it.
function(blip2_refuse_nvcc out)
  execute_process(COMMAND ${BLIP2_NVCC} --version OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT text MATCHES "release ([0-9]+\\.[0-9]+)")
    set(${out} "${BLIP2_NVCC} does not run" PARENT_SCOPE)
    return()
  endif()
  if(CMAKE_MATCH_1 VERSION_LESS cuda_least)
    set(${out} "nvcc is version ${CMAKE_MATCH_1}, expected ${cuda_least} or later" PARENT_SCOPE)
    return()
  endif()
  set(works "${BLIP2_NVCC} ${CMAKE_MATCH_1}")
  if(NOT BLIP2_NVCC_WORKS STREQUAL works)
    set(probe ${CMAKE_BINARY_DIR}/CMakeFiles/nvcc_probe)
    file(WRITE ${probe}.cu "#include <cuda_fp16.h>\n__global__ void probe() {}\n")
    execute_process(COMMAND ${BLIP2_NVCC} -ptx -arch=compute_80 ${probe}.cu -o ${probe}.ptx
      RESULT_VARIABLE result OUTPUT_FILE ${probe}.log ERROR_FILE ${probe}.log)
    if(NOT result EQUAL 0)
      set(${out} "nvcc does not compile (CMakeFiles/nvcc_probe.log)" PARENT_SCOPE)
      return()
    endif()
    set(BLIP2_NVCC_WORKS ${works} CACHE INTERNAL "")
  endif()
endfunction()

set(missing)
foreach(part BLIP2_NVCC=nvcc BLIP2_CUDA_INCLUDE=cuda_runtime_api.h
    BLIP2_CUBLASLT_INCLUDE=cublasLt.h BLIP2_CUDART_STATIC=libcudart_static.a)
  string(REPLACE "=" ";" part ${part})
  list(POP_FRONT part variable)
  if(NOT ${variable})
    list(APPEND missing ${part})
  endif()
endforeach()
if(NOT BLIP2_CUDA_INCLUDE)
  set(BLIP2_WITHOUT_VM "not found: cuda_runtime_api.h")
else()
  blip2_refuse_headers(BLIP2_WITHOUT_VM)
endif()
if(missing)
  string(JOIN " " BLIP2_WITHOUT_CUDA "not found:" ${missing})
elseif(BLIP2_WITHOUT_VM)
  set(BLIP2_WITHOUT_CUDA ${BLIP2_WITHOUT_VM})
else()
  blip2_refuse_nvcc(BLIP2_WITHOUT_CUDA)
endif()
