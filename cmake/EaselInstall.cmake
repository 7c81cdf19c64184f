# What `cmake --install` installs: the program, the public headers, every layer as a static library, and the package
# files with which find_package(easel) defines easel::easel, the whole library. examples/generate uses it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/easel)

add_library(easel_library INTERFACE)
target_link_libraries(easel_library INTERFACE easel::pipelines easel::http easel::engine easel::image easel::tokenizers)
set_target_properties(easel_library PROPERTIES EXPORT_NAME easel)
set_target_properties(easel_options PROPERTIES EXPORT_NAME options)

get_property(layers GLOBAL PROPERTY EASEL_LAYERS)
install(TARGETS easel_library easel_options easel_httplib ${layers} EXPORT easel-targets)
install(TARGETS easel)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT easel-targets NAMESPACE easel:: DESTINATION ${package_dir})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/easel-config.cmake.in ${CMAKE_BINARY_DIR}/package/easel-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/easel-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/easel-config.cmake ${CMAKE_BINARY_DIR}/package/easel-config-version.cmake
              ${CMAKE_CURRENT_LIST_DIR}/EaselSentencepiece.cmake ${CMAKE_CURRENT_LIST_DIR}/EaselTorch.cmake
  DESTINATION ${package_dir})

# The manual page and the completion scripts, printed by the installed program.
set(generated_files
  "manual:${CMAKE_INSTALL_MANDIR}/man1/easel.1"
  "completion bash:${CMAKE_INSTALL_DATADIR}/bash-completion/completions/easel"
  "completion zsh:${CMAKE_INSTALL_DATADIR}/zsh/site-functions/_easel")
foreach(generated IN LISTS generated_files)
  string(REGEX MATCH "^(.*):(.*)$" matched "${generated}")
  set(arguments ${CMAKE_MATCH_1})
  set(file ${CMAKE_MATCH_2})
  install(CODE "
    set(prefix \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\")
    cmake_path(APPEND prefix \"${file}\" OUTPUT_VARIABLE file)
    cmake_path(GET file PARENT_PATH folder)
    file(MAKE_DIRECTORY \"\${folder}\")
    separate_arguments(arguments UNIX_COMMAND \"${arguments}\")
    execute_process(COMMAND \"\${prefix}/${CMAKE_INSTALL_BINDIR}/easel\" \${arguments} OUTPUT_FILE \"\${file}\" COMMAND_ERROR_IS_FATAL ANY)
    message(STATUS \"Installing: \${file}\")")
endforeach()
