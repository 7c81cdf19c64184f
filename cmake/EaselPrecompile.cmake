# Reading the headers of ATen, nlohmann-json and GoogleTest takes longer than compiling most of the files that include them.
# With EASEL_PRECOMPILE they are read once per build. A precompiled header is part of every file, so a missing #include goes
# unnoticed; the preset clang, which scripts/check --all builds, has neither precompiled headers nor unity builds.
option(EASEL_PRECOMPILE "Read the headers of libtorch, nlohmann-json and GoogleTest once for all files" OFF)

# easel_add_precompiled(NAME LIBS libs HEADERS headers): precompiled headers that other targets can use.
function(easel_add_precompiled name)
  cmake_parse_arguments(ARG "" "" "LIBS;HEADERS" ${ARGN})
  add_library(${name} OBJECT ${CMAKE_BINARY_DIR}/precompiled.cpp)
  target_link_libraries(${name} PRIVATE easel_options nlohmann_json::nlohmann_json ${ARG_LIBS})
  target_precompile_headers(${name} PRIVATE <nlohmann/json.hpp> <functional> <map> <memory> <optional> <string> <vector>
    ${ARG_HEADERS})
endfunction()

if(EASEL_PRECOMPILE)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cpp CONTENT "")
  set(torch_headers <ATen/core/Tensor.h> <ATen/TensorOperators.h> <ATen/ops/cat.h>)
  set(test_headers <gtest/gtest.h> <gmock/gmock.h>)
  easel_add_precompiled(easel_precompiled)
  if(EASEL_WITH_TORCH)
    easel_add_precompiled(easel_precompiled_torch LIBS easel::torch HEADERS ${torch_headers})
  endif()
  if(EASEL_BUILD_TESTS)
    easel_add_precompiled(easel_precompiled_tests LIBS GTest::gmock HEADERS ${test_headers})
    if(EASEL_WITH_TORCH)
      easel_add_precompiled(easel_precompiled_torch_tests LIBS easel::torch GTest::gmock
        HEADERS ${torch_headers} ${test_headers})
    endif()
    foreach(name easel_precompiled_tests easel_precompiled_torch_tests)
      if(TARGET ${name}) # as tests/CMakeLists.txt has it: a header must be compiled like its files
        target_compile_options(${name} PRIVATE $<$<CONFIG:Debug>:-O0>)
      endif()
    endforeach()
  endif()
endif()

# easel_precompile(HEADERS FOLDER...): makes the targets of these folders use HEADERS, one of the targets above.
function(easel_precompile headers)
  if(NOT EASEL_PRECOMPILE)
    return()
  endif()
  foreach(folder IN LISTS ARGN)
    get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
      get_target_property(type ${target} TYPE)
      set(own ${headers})
      if(target MATCHES "weights_format") # is built without libtorch, unlike the other targets of its folder
        string(REPLACE "_torch" "" own ${headers})
      endif()
      if(type MATCHES "STATIC_LIBRARY|EXECUTABLE")
        target_precompile_headers(${target} REUSE_FROM ${own})
      endif()
    endforeach()
  endforeach()
endfunction()
