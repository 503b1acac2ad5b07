# What `cmake --install` puts where: the program, the runtime library for static linking, headers, pkg-config and CMake files, manual.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS tlbc RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES $<TARGET_FILE:tlbc_rt_archive> DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME libtlbc_rt.a)
install(FILES ${CMAKE_SOURCE_DIR}/include/tlbc/runtime.h ${CMAKE_SOURCE_DIR}/include/tlbc/open.h
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tlbc)
install(FILES ${CMAKE_SOURCE_DIR}/docs/tlbc.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES ${CMAKE_SOURCE_DIR}/tools/completion/tlbc.bash
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME tlbc)

configure_file(tlbc.pc.in ${CMAKE_BINARY_DIR}/tlbc.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tlbc.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/tlbc)
configure_package_config_file(tlbcConfig.cmake.in ${CMAKE_BINARY_DIR}/tlbcConfig.cmake INSTALL_DESTINATION ${package}
                              PATH_VARS CMAKE_INSTALL_BINDIR CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/tlbcConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/tlbcConfig.cmake ${CMAKE_BINARY_DIR}/tlbcConfigVersion.cmake DESTINATION ${package})
