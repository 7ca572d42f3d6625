# Compiler flags and the one way to declare a room.

add_library(blip2_flags INTERFACE)
target_compile_options(blip2_flags INTERFACE -Wall -Wextra -Wconversion
  $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>)
target_compile_definitions(blip2_flags INTERFACE _POSIX_C_SOURCE=200809L
  BLIP2_VERSION="${PROJECT_VERSION}")
target_include_directories(blip2_flags INTERFACE ${CMAKE_SOURCE_DIR}/include
  ${CMAKE_SOURCE_DIR}/host)
if(BLIP2_WERROR)
  target_compile_options(blip2_flags INTERFACE -Werror)
endif()
if(BLIP2_SANITIZE)
  string(REPLACE "," ";" sanitizers "${BLIP2_SANITIZE}")
  foreach(sanitizer ${sanitizers})
    if(NOT sanitizer MATCHES "^(address|undefined|thread)$")
      message(FATAL_ERROR "BLIP2_SANITIZE: '${sanitizer}' is none of address, undefined, thread")
    endif()
    add_compile_options(-fsanitize=${sanitizer})
    add_link_options(-fsanitize=${sanitizer})
  endforeach()
  add_compile_options(-fno-omit-frame-pointer -fno-sanitize-recover=all -g)
endif()

# blip2_room(NAME SOURCES a.c b.c [USES target...])
# A room is an object library `room_NAME`; tests of a room link it with the rooms below it only, which
# keeps the dependencies pointing one way. Its outside libraries go to blip2_requirements.
add_library(blip2_requirements INTERFACE)
function(blip2_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;USES" ${ARGN})
  add_library(room_${name} OBJECT ${ROOM_SOURCES})
  target_link_libraries(room_${name} PRIVATE blip2_flags ${ROOM_USES})
  target_link_libraries(blip2_requirements INTERFACE ${ROOM_USES})
  set_property(GLOBAL APPEND PROPERTY blip2_rooms room_${name})
endfunction()
