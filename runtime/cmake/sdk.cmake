# What `cmake --install` gives to C and C++ programs: the header, the library,
# shared and static, and the files by which CMake and pkg-config find them.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

add_library(keras_aqe_delegate_static STATIC $<TARGET_OBJECTS:keras_aqe_objects>)
target_link_libraries(keras_aqe_delegate_static PRIVATE keras_aqe_kernels Threads::Threads ${CMAKE_DL_LIBS})
set_target_properties(keras_aqe_delegate_static PROPERTIES OUTPUT_NAME keras_aqe_delegate EXPORT_NAME delegate_static)
set_target_properties(keras_aqe_delegate PROPERTIES EXPORT_NAME delegate)
set_target_properties(keras_aqe_kernels PROPERTIES EXPORT_NAME kernels)
foreach(library keras_aqe_delegate keras_aqe_delegate_static)
  target_include_directories(${library} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

install(FILES include/keras_aqe/aqe_delegate.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/keras_aqe)
install(TARGETS keras_aqe_delegate keras_aqe_delegate_static keras_aqe_kernels EXPORT keras_aqe
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})

set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/keras_aqe)
install(EXPORT keras_aqe NAMESPACE keras_aqe:: FILE keras_aqe-targets.cmake DESTINATION ${config_folder})
configure_package_config_file(cmake/keras_aqe-config.cmake.in keras_aqe-config.cmake
  INSTALL_DESTINATION ${config_folder})
write_basic_package_version_file(keras_aqe-config-version.cmake COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/keras_aqe.pc.in keras_aqe.pc @ONLY)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/keras_aqe-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/keras_aqe-config-version.cmake
  DESTINATION ${config_folder})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/keras_aqe.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
