# What `cmake --install` puts where: library, header, pkg-config file and the demo model; the programs
# install themselves.

install(TARGETS blip2 blip2_static
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  PUBLIC_HEADER DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/blip2 DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# The pkg-config file finds the prefix from where it lies: what is installed can be moved.
file(RELATIVE_PATH BLIP2_PC_PREFIX ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" BLIP2_PC_PREFIX ${BLIP2_PC_PREFIX})
configure_file(cmake/blip2.pc.in blip2.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/blip2.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
# Where the program looks for it: host/cli/default_model.c.
install(DIRECTORY models/demo/caption models/demo/match models/demo/lavis models/demo/pictures
  DESTINATION ${CMAKE_INSTALL_DATADIR}/blip2/models/demo)
