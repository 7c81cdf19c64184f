# ATen's headers take longer to read than most of the files that include them take to compile. With EASEL_PRECOMPILE they
# are read once a build, which about halves the time of a build from nothing. Off where the product is built, because a
# precompiled header is in every file, whether that includes it or not: a missing include would go unnoticed.
option(EASEL_PRECOMPILE "Read the headers of libtorch and of GoogleTest once for all files" OFF)

if(EASEL_PRECOMPILE)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cpp CONTENT "")
  set(precompiled_headers <ATen/core/Tensor.h> <ATen/TensorOperators.h> <ATen/ops/cat.h> <nlohmann/json.hpp>)
  add_library(easel_precompiled OBJECT ${CMAKE_BINARY_DIR}/precompiled.cpp)
  target_link_libraries(easel_precompiled PRIVATE easel_options easel::torch nlohmann_json::nlohmann_json)
  target_precompile_headers(easel_precompiled PRIVATE ${precompiled_headers})
  if(EASEL_BUILD_TESTS)
    add_library(easel_precompiled_tests OBJECT ${CMAKE_BINARY_DIR}/precompiled.cpp)
    target_link_libraries(easel_precompiled_tests PRIVATE easel_options easel::torch nlohmann_json::nlohmann_json GTest::gmock)
    target_precompile_headers(easel_precompiled_tests PRIVATE ${precompiled_headers} <gtest/gtest.h> <gmock/gmock.h>)
  endif()
endif()

# easel_precompile(HEADERS FOLDER...): the targets of these folders that see libtorch take easel_precompiled or
# easel_precompiled_tests, as HEADERS says.
function(easel_precompile headers)
  if(NOT EASEL_PRECOMPILE)
    return()
  endif()
  foreach(folder IN LISTS ARGN)
    get_property(targets DIRECTORY ${folder} PROPERTY BUILDSYSTEM_TARGETS)
    foreach(target IN LISTS targets)
      get_target_property(type ${target} TYPE)
      if(type MATCHES "STATIC_LIBRARY|EXECUTABLE" AND NOT target MATCHES "weights_format")
        target_precompile_headers(${target} REUSE_FROM ${headers})
      endif()
    endforeach()
  endforeach()
endfunction()
