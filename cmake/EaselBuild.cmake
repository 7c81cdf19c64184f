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

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc looks for memory that it no longer needs each time its heap has doubled, from 128 MiB on, and reads what it has
  # precompiled each time. From 512 MiB on, it takes a tenth less time and up to a third more memory.
  add_compile_options(--param=ggc-min-heapsize=524288)
endif()

add_library(easel_options INTERFACE)
# BUILD_INTERFACE: what programs that use an installed easel do not get.
target_compile_options(easel_options INTERFACE $<BUILD_INTERFACE:-Wall> $<BUILD_INTERFACE:-Wextra>
  $<BUILD_INTERFACE:-Wno-unused-parameter>)
target_compile_features(easel_options INTERFACE cxx_std_20)
target_include_directories(easel_options INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:include>)
if(EASEL_SANITIZE)
  # With a sanitizer's checks in between, gcc loses track of values and warns of accesses that cannot happen.
  target_compile_options(easel_options INTERFACE -fsanitize=${EASEL_SANITIZE} -fno-omit-frame-pointer
    -Wno-maybe-uninitialized -Wno-array-bounds -Wno-stringop-overflow -Wno-restrict)
  target_link_options(easel_options INTERFACE -fsanitize=${EASEL_SANITIZE})
endif()

option(EASEL_HARDEN "Compile and link everything with the hardening flags of Debian; needs optimization" OFF)
if(EASEL_HARDEN)
  # What they cost is in docs/measurements/hardening.md. -U: some compilers define another value themselves.
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -D_GLIBCXX_ASSERTIONS -fstack-protector-strong -fstack-clash-protection)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    add_compile_options(-fcf-protection)
  endif()
  add_link_options(-Wl,-z,relro,-z,now -Wl,-z,noexecstack)
  include(CheckPIESupported)
  check_pie_supported(LANGUAGES CXX)
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
endif()

option(EASEL_WERROR "Treat warnings as errors, with -Wshadow and -Wextra-semi; with clang also -Wthread-safety" OFF)
if(EASEL_WERROR)
  # Clang reports a function of libstdc++ 12 that libstdc++ itself uses and declares deprecated.
  target_compile_options(easel_options INTERFACE $<BUILD_INTERFACE:-Werror> $<BUILD_INTERFACE:-Wshadow>
    $<BUILD_INTERFACE:-Wextra-semi> $<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:Clang>:-Wthread-safety>>
    $<BUILD_INTERFACE:$<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations>>)
endif()
find_program(EASEL_MOLD mold)
if(EASEL_MOLD AND EASEL_BUILD_TESTS) # about thirty test programs are linked against libtorch, and mold links faster
  target_link_options(easel_options INTERFACE $<BUILD_INTERFACE:-fuse-ld=mold>)
endif()
include(EaselUnity)

# easel_add_layer(NAME SOURCES a.cpp ... [PUBLIC libs] [PRIVATE libs])
# A layer is a static library easel_NAME with the alias easel::NAME. It links only what CONTRIBUTING's layer table allows.
function(easel_add_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(easel_${name} STATIC ${ARG_SOURCES})
  easel_unite(easel_${name})
  add_library(easel::${name} ALIAS easel_${name})
  target_link_libraries(easel_${name} PUBLIC easel_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
  set_target_properties(easel_${name} PROPERTIES EXPORT_NAME ${name})
  set_property(GLOBAL APPEND PROPERTY EASEL_LAYERS easel_${name}) # for EaselInstall
endfunction()

# Kernels add numbers in an order that depends on the number of threads, and the parity tests allow less than that
# changes. So the reference and the tests use the same number, with which tests also run side by side.
set(EASEL_TEST_ENVIRONMENT OMP_NUM_THREADS=1)
if(EASEL_SANITIZE MATCHES "address")
  list(APPEND EASEL_TEST_ENVIRONMENT LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/support/leaks.supp)
endif()

# easel_add_reference(NAME SCRIPT make_x.py [ENVIRONMENT A=B ...]): a CTest test that runs SCRIPT with the reference's
# Python (diffusers, transformers) before the tests that require it, unless what it made is still current. The script's only
# argument is the folder that it writes its vectors into, build/<preset>/reference/NAME.
set(EASEL_REFERENCE_PYTHON ${PROJECT_SOURCE_DIR}/.deps/reference/bin/python CACHE FILEPATH
  "Python with the pinned diffusers and transformers; scripts/test installs it")
set(EASEL_REFERENCE_VECTORS ${CMAKE_BINARY_DIR}/reference CACHE PATH
  "Folder of the reference's vectors. Where it is that of another build, they are there and no reference runs")
function(easel_add_reference name)
  if(NOT EASEL_REFERENCE_VECTORS STREQUAL "${CMAKE_BINARY_DIR}/reference")
    return()
  endif()
  cmake_parse_arguments(ARG "" "SCRIPT" "ENVIRONMENT" ${ARGN})
  cmake_path(ABSOLUTE_PATH ARG_SCRIPT BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set(folder ${EASEL_REFERENCE_VECTORS}/${name})
  add_test(NAME reference.${name}
    COMMAND ${EASEL_REFERENCE_PYTHON} -B ${PROJECT_SOURCE_DIR}/tests/support/run_reference.py ${ARG_SCRIPT} ${folder})
  set_tests_properties(reference.${name} PROPERTIES FIXTURES_SETUP reference_${name} LABELS reference TIMEOUT 600
    ENVIRONMENT "${EASEL_TEST_ENVIRONMENT};${ARG_ENVIRONMENT}")
  if(NOT ARG_ENVIRONMENT) # for references.txt, which tests/CMakeLists.txt writes
    set_property(GLOBAL APPEND_STRING PROPERTY EASEL_REFERENCES "${ARG_SCRIPT} ${folder}\n")
  endif()
endfunction()

# easel_add_test(NAME SOURCES a_test.cpp ... LIBS libs [REFERENCE name] [LABELS labels])
# A GoogleTest program is one CTest test, because loading libtorch takes longer than most tests. With REFERENCE it runs
# after that script, whose folder is in the macro EASEL_REFERENCE_DIR.
function(easel_add_test name)
  cmake_parse_arguments(ARG "" "REFERENCE" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  easel_unite(${name})
  target_link_libraries(${name} PRIVATE easel_options ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600 ENVIRONMENT "${EASEL_TEST_ENVIRONMENT}")
  if(ARG_REFERENCE)
    target_compile_definitions(${name} PRIVATE EASEL_REFERENCE_DIR="${EASEL_REFERENCE_VECTORS}/${ARG_REFERENCE}")
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED reference_${ARG_REFERENCE})
  endif()
endfunction()
