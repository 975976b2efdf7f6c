# cmake --install: library, headers, command, and what pkg-config and find_package(Onward) read. A fetched oneDNN goes along, in
# a folder of its own where no other program finds it by accident.
include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/Onward)
set(doc ${CMAKE_INSTALL_DATAROOTDIR}/doc/onward)

install(TARGETS onward EXPORT OnwardTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
file(GLOB public_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/runtime/include/onward/*.h)
install(FILES ${public_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/onward)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${doc})
install(FILES ${CMAKE_SOURCE_DIR}/tools/python/onward.py DESTINATION ${CMAKE_INSTALL_DATAROOTDIR}/onward/python)
if(TARGET onward_cmd)
  file(RELATIVE_PATH to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(onward_cmd PROPERTIES INSTALL_RPATH "$ORIGIN/${to_lib}")
  install(TARGETS onward_cmd RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

if(ONWARD_DNNL_PREFIX)
  set_target_properties(onward PROPERTIES INSTALL_RPATH "$ORIGIN/onward")
  file(REAL_PATH ${ONWARD_DNNL_PREFIX}/lib/libdnnl.so.3 dnnl_library)
  install(PROGRAMS ${dnnl_library} DESTINATION ${CMAKE_INSTALL_LIBDIR}/onward RENAME libdnnl.so.3)
  install(FILES ${ONWARD_DNNL_PREFIX}/share/doc/onednn/LICENSE ${ONWARD_DNNL_PREFIX}/share/doc/onednn/THIRD-PARTY-PROGRAMS
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/onward)
endif()

configure_package_config_file(runtime/package/OnwardConfig.cmake.in ${CMAKE_BINARY_DIR}/package/OnwardConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/OnwardConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/OnwardConfig.cmake ${CMAKE_BINARY_DIR}/package/OnwardConfigVersion.cmake DESTINATION ${package})
install(EXPORT OnwardTargets NAMESPACE Onward:: DESTINATION ${package})

file(RELATIVE_PATH to_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(runtime/package/onward.pc.in ${CMAKE_BINARY_DIR}/package/onward.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/package/onward.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
