# How every target of easel is compiled, and the functions that declare layers and tests.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})

find_program(EASEL_CCACHE ccache)
if(EASEL_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # By default ccache does not cache files that use a precompiled header, because it cannot see that a definition or a time
  # changed in it. Neither happens here.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
    CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${EASEL_CCACHE})
endif()

add_library(easel_options INTERFACE)
target_compile_options(easel_options INTERFACE -Wall -Wextra -Wno-unused-parameter)
target_include_directories(easel_options INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
option(EASEL_WERROR "Treat warnings as errors, with -Wshadow and -Wextra-semi; with clang also -Wthread-safety" OFF)
if(EASEL_WERROR)
  target_compile_options(easel_options INTERFACE -Werror -Wshadow -Wextra-semi
    $<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>)
endif()
find_program(EASEL_MOLD mold)
if(EASEL_MOLD AND EASEL_BUILD_TESTS) # about thirty test programs are linked against libtorch, and mold links faster
  target_link_options(easel_options INTERFACE -fuse-ld=mold)
endif()
if(EASEL_SANITIZE)
  target_compile_options(easel_options INTERFACE -fsanitize=${EASEL_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(easel_options INTERFACE -fsanitize=${EASEL_SANITIZE})
endif()

# Most of the time of compiling one of our files goes into the headers that it includes and the templates that it
# instantiates, which its neighbours need too. A unity build compiles several files as one, which takes a quarter of the
# processor time. Two files of one layer must therefore not give the same name in an anonymous namespace to different
# things; `scripts/check --all` builds without unity, which finds missing includes.
option(EASEL_UNITY "Compile several files of a layer as one translation unit" OFF)
set(EASEL_UNITY_BATCH 12 CACHE STRING "How many files a translation unit of a unity build has at most")

# easel_unite(TARGET [SEPARATE a.cpp ...]): a unity build of TARGET, in which the files after SEPARATE are compiled on their own.
function(easel_unite target)
  cmake_parse_arguments(ARG "" "" "SEPARATE" ${ARGN})
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${EASEL_UNITY} UNITY_BUILD_BATCH_SIZE ${EASEL_UNITY_BATCH})
  set_source_files_properties(${ARG_SEPARATE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# easel_add_layer(NAME SOURCES a.cpp ... [PUBLIC libs] [PRIVATE libs] [SEPARATE b.cpp ...])
# A layer is a static library easel_NAME with the alias easel::NAME. It links only what CONTRIBUTING's layer table allows.
# Files after SEPARATE belong to SOURCES too and stay out of the unity build.
function(easel_add_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE;SEPARATE" ${ARGN})
  add_library(easel_${name} STATIC ${ARG_SOURCES})
  add_library(easel::${name} ALIAS easel_${name})
  target_link_libraries(easel_${name} PUBLIC easel_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  easel_unite(easel_${name} SEPARATE ${ARG_SEPARATE})
endfunction()

# easel_add_reference(NAME SCRIPT make_x.py): a CTest test that runs SCRIPT with the reference's Python (diffusers,
# transformers) before the tests that require it. The script's only argument is the folder that it writes its vectors into,
# build/<preset>/reference/NAME.
set(EASEL_REFERENCE_PYTHON ${PROJECT_SOURCE_DIR}/.deps/reference/bin/python CACHE FILEPATH
  "Python with the pinned diffusers and transformers; scripts/test installs it")
function(easel_add_reference name)
  cmake_parse_arguments(ARG "" "SCRIPT" "" ${ARGN})
  cmake_path(ABSOLUTE_PATH ARG_SCRIPT BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  add_test(NAME reference.${name} COMMAND ${EASEL_REFERENCE_PYTHON} ${ARG_SCRIPT} ${CMAKE_BINARY_DIR}/reference/${name})
  set_tests_properties(reference.${name} PROPERTIES FIXTURES_SETUP reference_${name} LABELS reference TIMEOUT 600)
endfunction()

# easel_add_test(NAME SOURCES a_test.cpp ... LIBS libs [REFERENCE name] [LABELS labels] [SEPARATE b_test.cpp ...])
# A GoogleTest program is one CTest test, because loading libtorch takes longer than most tests. With REFERENCE it runs
# after that script, whose folder is in the macro EASEL_REFERENCE_DIR. SEPARATE has the same meaning as in easel_add_layer.
function(easel_add_test name)
  cmake_parse_arguments(ARG "" "REFERENCE" "SOURCES;LIBS;LABELS;SEPARATE" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  easel_unite(${name} SEPARATE ${ARG_SEPARATE})
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
