# How every target of easel is compiled, and the functions that declare layers and tests.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

find_program(EASEL_CCACHE ccache)
if(EASEL_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Its default leaves out what uses precompiled headers, lest they hide a change of the time or of a definition.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${EASEL_CCACHE})
endif()

add_library(easel_options INTERFACE)
# BUILD_INTERFACE: what programs that use an installed easel do not get.
target_compile_options(easel_options INTERFACE $<BUILD_INTERFACE:-Wall> $<BUILD_INTERFACE:-Wextra>
  $<BUILD_INTERFACE:-Wno-unused-parameter>)
target_compile_features(easel_options INTERFACE cxx_std_20)
target_include_directories(easel_options INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:include>)
if(EASEL_SANITIZE)
  target_compile_options(easel_options INTERFACE -fsanitize=${EASEL_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(easel_options INTERFACE -fsanitize=${EASEL_SANITIZE})
endif()

# easel_add_layer(NAME SOURCES a.cpp ... [PUBLIC libs] [PRIVATE libs])
# A layer is a static library easel_NAME with the alias easel::NAME. It links what CONTRIBUTING's image allows, and no more.
function(easel_add_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(easel_${name} STATIC ${ARG_SOURCES})
  add_library(easel::${name} ALIAS easel_${name})
  target_link_libraries(easel_${name} PUBLIC easel_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  set_target_properties(easel_${name} PROPERTIES EXPORT_NAME ${name})
  set_property(GLOBAL APPEND PROPERTY EASEL_LAYERS easel_${name}) # for EaselInstall
endfunction()

# easel_add_reference(NAME SCRIPT make_x.py): runs SCRIPT with the reference's Python (diffusers, transformers) before the
# tests that ask for it; it gets one argument, the folder to write its vectors into: build/<preset>/reference/NAME.
set(EASEL_REFERENCE_PYTHON ${PROJECT_SOURCE_DIR}/.deps/reference/bin/python CACHE FILEPATH
  "Python with the pinned diffusers and transformers; scripts/test installs it")
function(easel_add_reference name)
  cmake_parse_arguments(ARG "" "SCRIPT" "" ${ARGN})
  cmake_path(ABSOLUTE_PATH ARG_SCRIPT BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  add_test(NAME reference.${name} COMMAND ${EASEL_REFERENCE_PYTHON} ${ARG_SCRIPT} ${CMAKE_BINARY_DIR}/reference/${name})
  set_tests_properties(reference.${name} PROPERTIES FIXTURES_SETUP reference_${name} LABELS reference TIMEOUT 600)
endfunction()

# easel_add_test(NAME SOURCES a_test.cpp ... LIBS libs [REFERENCE name] [LABELS labels])
# One GoogleTest program is one CTest test: starting libtorch takes longer than most tests do. With REFERENCE it runs
# after that script and finds its folder in the macro EASEL_REFERENCE_DIR.
function(easel_add_test name)
  cmake_parse_arguments(ARG "" "REFERENCE" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE easel_options ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600)
  if(ARG_REFERENCE)
    target_compile_definitions(${name} PRIVATE EASEL_REFERENCE_DIR="${CMAKE_BINARY_DIR}/reference/${ARG_REFERENCE}")
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED reference_${ARG_REFERENCE})
  endif()
endfunction()
